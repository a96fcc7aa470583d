"""From a gRPC status to the exception that says it."""

from __future__ import annotations

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
    UnavailableError,
    UnsupportedError,
)

_CLASSES: dict[str, type[CallError]] = {
    "UNAVAILABLE": UnavailableError,
    "DEADLINE_EXCEEDED": DeadlineError,
    "CANCELLED": CancelledError,
    "RESOURCE_EXHAUSTED": OverloadedError,
    "UNIMPLEMENTED": UnsupportedError,
    "INTERNAL": InternalError,
    "UNKNOWN": InternalError,
    "DATA_LOSS": InternalError,
}


def from_rpc(error: Any) -> KantorError:
    """Returns the exception for a grpc.RpcError, with the details that the server sent in its trailers."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            return from_status(status_pb2.Status.FromString(value))
    code: grpc.StatusCode = error.code()
    return _exception(code.name, error.details() or "")


def from_status(status: status_pb2.Status) -> KantorError:
    """Returns the exception for a status message: a trailer's, or that of a failed batch."""
    for detail in status.details:
        bad = error_details_pb2.BadRequest()
        if detail.Unpack(bad) and bad.field_violations:
            first = bad.field_violations[0]
            return InvalidArgumentError(first.field, first.description)
    return _exception(code_pb2.Code.Name(status.code), status.message)


def _exception(code: str, message: str) -> KantorError:
    if code == "INVALID_ARGUMENT":
        return InvalidArgumentError("", message)
    return _CLASSES.get(code, CallError)(code, message)
