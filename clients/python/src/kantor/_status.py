"""From a gRPC status to the exception that says it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import grpc
from google.rpc import code_pb2, error_details_pb2, status_pb2

from kantor._errors import (
    CallError,
    CancelledError,
    DeadlineError,
    InternalError,
    InvalidArgumentError,
    KantorError,
    OverloadedError,
    TooLargeError,
    UnauthenticatedError,
    UnavailableError,
    UnsupportedError,
)
from kantor.v1 import input_pb2

_CLASSES: dict[str, type[CallError]] = {
    "UNAVAILABLE": UnavailableError,
    "DEADLINE_EXCEEDED": DeadlineError,
    "CANCELLED": CancelledError,
    "RESOURCE_EXHAUSTED": OverloadedError,
    "UNAUTHENTICATED": UnauthenticatedError,
    "UNIMPLEMENTED": UnsupportedError,
    "INTERNAL": InternalError,
    "UNKNOWN": InternalError,
    "DATA_LOSS": InternalError,
}


# What gRPC says of a message above the limit.
_LARGER = re.compile(r"larger than max \((\d+) vs\. (\d+)\)")
# What it says of a stream that the other side ended without a status.
_RESET = "RST_STREAM"
_RAISE = "`kantor serve --max-message-size SIZE` raises the limit"


def from_rpc(error: Any) -> KantorError:
    """Returns the exception for a grpc.RpcError, with the details that the server sent in its trailers."""
    trailers = dict(error.trailing_metadata() or ())
    retry_after = _pushback(trailers.get("grpc-retry-pushback-ms"))
    if "grpc-status-details-bin" in trailers:
        return from_status(status_pb2.Status.FromString(trailers["grpc-status-details-bin"]), retry_after)
    code: grpc.StatusCode = error.code()
    if code is grpc.StatusCode.CANCELLED and _RESET in (error.details() or ""):  # a balancer's that has lost the server
        return UnavailableError("UNAVAILABLE", error.details(), retry_after)
    failure = _exception(code.name, error.details() or "", retry_after)
    if isinstance(failure, InternalError):  # of a kantor it has details
        failure.broken = True
    return failure


def from_status(status: status_pb2.Status, retry_after: float | None = None) -> KantorError:
    """Returns the exception for a status message: a trailer's, or that of a failed batch."""
    for detail in status.details:
        bad, retry, info = error_details_pb2.BadRequest(), error_details_pb2.RetryInfo(), error_details_pb2.ErrorInfo()
        if detail.Unpack(bad) and bad.field_violations:
            first = bad.field_violations[0]
            return InvalidArgumentError(first.field, first.description)
        if detail.Unpack(retry) and retry_after is None:
            retry_after = retry.retry_delay.seconds + retry.retry_delay.nanos * 1e-9
        if detail.Unpack(info) and info.reason == "RESPONSE_TOO_LARGE":
            return TooLargeError("RESOURCE_EXHAUSTED", f"{status.message}; {_RAISE}")
    return _exception(code_pb2.Code.Name(status.code), status.message, retry_after)


def _pushback(text: str | None) -> float | None:
    """Reads gRPC's way to say when to come back, in milliseconds; negative, or no number (gRFC A6): never."""
    if text is None:
        return None
    try:
        return int(text) / 1000
    except ValueError:
        return -1


def _exception(code: str, message: str, retry_after: float | None) -> KantorError:
    if code == "INVALID_ARGUMENT":
        return InvalidArgumentError("", message)
    larger = _LARGER.search(message)
    if code == "RESOURCE_EXHAUSTED" and larger:
        return too_large(int(larger[1]), int(larger[2]))
    return _CLASSES.get(code, CallError)(code, message, retry_after)


def too_large(size: int, limit: int, inputs: Mapping[str, input_pb2.Input] | None = None) -> TooLargeError:
    """Returns the error of a request that is larger than the server takes; it names the largest of the inputs."""
    largest = ""
    if inputs:
        sizes = {name: given.ByteSize() for name, given in inputs.items()}
        name = max(sizes, key=lambda name: sizes[name])
        largest = f"; its largest input, {name}, has {_bytes(sizes[name])}"
    error = TooLargeError(
        "RESOURCE_EXHAUSTED",
        f"the request has {_bytes(size)}, more than the {_bytes(limit)} that the server takes{largest}: "
        f"send fewer rows or problems at once, or float32; {_RAISE}",
    )
    error.limit = limit
    return error


def _bytes(count: int) -> str:
    return f"{count} bytes ({count / (1 << 20):.1f} MiB)"
