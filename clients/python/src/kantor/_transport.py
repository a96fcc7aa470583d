"""The four methods over gRPC, one channel per process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

import grpc

from kantor._errors import CancelledError, DeadlineError
from kantor._status import from_rpc
from kantor.v1 import info_service_pb2, loss_service_pb2

T = TypeVar("T")

MESSAGE_BYTES = 128 << 20  # the server's limit, in either direction

# Seconds that two clocks, and what wakes up by them, may be apart.
_CLOCKS = 0.01

_OPTIONS = [
    ("grpc.max_send_message_length", MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    # gRPC waits a second or more before it connects again, and refuses all calls until then; our own tries are closer
    # together than that.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
    # Despite its name how long one connection may take to come about, which over a long way, with TLS or on a busy
    # machine is more than any pause above.
    ("grpc.min_reconnect_backoff_ms", 5000),
    # A channel made after a fork must not find the connection of the one made before.
    ("grpc.use_local_subchannel_pool", 1),
]


class PerProcess(Generic[T]):
    """Something that must not be used on the other side of a fork, made anew in every process that asks for it.

    Without a lock, which another thread could hold across the fork.
    """

    def __init__(self, make: Callable[[], T], close: Callable[[T], None]) -> None:
        self._make = make
        self._close = close
        self._made: dict[int, T] = {}

    def get(self) -> T:
        """Returns this process's one."""
        pid = os.getpid()
        made = self._made.get(pid)
        if made is None:
            made = self._make()
            kept = self._made.setdefault(pid, made)
            if kept is not made:  # another thread was faster
                self._close(made)
            made = kept
        return made

    def drop(self, made: T) -> None:
        """Forgets this process's one, if it is that one still."""
        if self._made.get(os.getpid()) is made:
            self._made.pop(os.getpid(), None)

    def pop(self) -> T | None:
        """Takes this process's one away, if there is one."""
        return self._made.pop(os.getpid(), None)


class Transport:
    """A channel to a server and the four methods of kantor.v1.

    They stand here by name because no grpcio-tools wheel is both old enough for the oldest protobuf that the client
    supports and new enough for today's Pythons, so that there is no generated stub.
    """

    def __init__(self, address: str) -> None:
        options = [*_OPTIONS, ("grpc.enable_http_proxy", 0)] if is_local(address) else _OPTIONS
        self._channel = grpc.insecure_channel(address, options=options)
        self._evaluate = self._unary("LossService/Evaluate", loss_service_pb2.EvaluateResponse)
        self._info = self._unary("InfoService/GetServerInfo", info_service_pb2.GetServerInfoResponse)
        self._stream = self._channel.stream_stream(
            "/kantor.v1.LossService/EvaluateStream",
            request_serializer=loss_service_pb2.EvaluateStreamRequest.SerializeToString,
            response_deserializer=loss_service_pb2.EvaluateStreamResponse.FromString,
        )

    def _unary(self, method: str, response: Any) -> Any:
        return self._channel.unary_unary(
            f"/kantor.v1.{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=response.FromString,
        )

    def evaluate(self, request: Any, timeout: float | None) -> loss_service_pb2.EvaluateResponse:
        """Computes one objective; raises a KantorError."""
        return _call(self._evaluate, request, timeout)  # type: ignore[no-any-return]

    def info(self, timeout: float | None) -> info_service_pb2.GetServerInfoResponse:
        """Asks the server what it is; raises a KantorError."""
        return _call(self._info, info_service_pb2.GetServerInfoRequest(), timeout)  # type: ignore[no-any-return]

    def evaluate_stream(self, requests: Iterator[Any]) -> Any:
        """Starts a stream of batches and returns gRPC's iterator of its answers."""
        return self._stream(requests)

    def close(self) -> None:
        """Ends what is under way and the connection."""
        self._channel.close()


def _call(method: Any, request: Any, timeout: float | None) -> Any:
    start = time.monotonic()
    try:
        return method(request, timeout=timeout)
    except grpc.RpcError as error:
        failure, spent = from_rpc(error), time.monotonic() - start
        # The server has the deadline too. Where its clock comes first it resets the call, which reads so here.
        if isinstance(failure, CancelledError) and timeout is not None and spent > timeout - _CLOCKS:
            failure = DeadlineError("DEADLINE_EXCEEDED", f"no result within {timeout:g} s")
        raise failure from None


def is_local(address: str) -> bool:
    """Whether an address is of this machine, where a proxy named in the environment can only break it."""
    host = address.removeprefix("dns:").lstrip("/")
    return host.startswith(("unix:", "localhost:", "127.", "[::1]"))
