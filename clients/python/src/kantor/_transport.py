"""The methods over gRPC, one channel per process."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

import grpc
from google.protobuf.message import Message

from kantor._errors import CallError, ClosedError, DeadlineError, KantorError, TooLargeError
from kantor._fork import ForkedError, gate
from kantor._retry import Deadline
from kantor._security import Access
from kantor._status import from_rpc, too_large
from kantor.v1 import diagnostic_service_pb2, info_service_pb2, input_pb2, loss_service_pb2

T = TypeVar("T")

# Bytes of arrays above which a server is asked for its limit before it is sent them: an answer costs less than those.
LARGE_BYTES = 4 << 20
# A request has fewer bytes than these beside its arrays. Nearer to the limit it is measured, which is as much work as
# to write it.
_BESIDE_ARRAYS = 1 << 20
_MOST_MEASURED = 1 << 30  # at 2 GiB messages end

# Seconds that two clocks, and what wakes up by them, may be apart.
_CLOCKS = 0.01

_OPTIONS = [
    # The server has the limit, and an error that says it.
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # gRPC waits a second or more before it connects again, and refuses all calls until then; our own tries are closer
    # together than that.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
    # Despite its name how long one connection may take to come about, which over a long way, with TLS or on a busy
    # machine is more than any pause above.
    ("grpc.min_reconnect_backoff_ms", 5000),
    # A server that is gone without a word, as behind a firewall that forgot the connection, is found out within 45 s
    # of a call, which is then made again elsewhere. The server allows a ping every 10 s; by default gRPC sends
    # none, and no more than two in a row without data, of which a long computation has none.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 15_000),
    ("grpc.http2.max_pings_without_data", 0),
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
    """A channel to a server and the methods of kantor.v1.

    They stand here by name because no grpcio-tools wheel is both old enough for the oldest protobuf that the client
    supports and new enough for today's Pythons, so that there is no generated stub.
    """

    def __init__(self, address: str, access: Access | None = None) -> None:
        self._access = access or Access(address)
        self._limit = 0  # bytes that the server takes in one message; 0: it was not asked
        self.left = False  # its calls were ended for a fork, and it takes no others
        options = [*_OPTIONS, ("grpc.enable_http_proxy", 0)] if is_local(address) else _OPTIONS
        with gate.inside(lambda: None):
            self._channel = self._access.channel(address, options)
        self._evaluate = self._unary("LossService/Evaluate", loss_service_pb2.EvaluateResponse)
        self._diagnose = self._unary("DiagnosticService/Diagnose", diagnostic_service_pb2.DiagnoseResponse)
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

    def evaluate(
        self, request: loss_service_pb2.EvaluateRequest, timeout: float | None, *, size: int = 0
    ) -> loss_service_pb2.EvaluateResponse:
        """Computes one objective, whose arrays have size bytes; raises a KantorError."""
        deadline = Deadline(timeout)
        self.check(request, request.inputs, size, timeout)
        try:
            return self._call(self._evaluate, request, deadline.left())  # type: ignore[no-any-return]
        except TooLargeError as error:
            raise too_large(request.ByteSize(), error.limit, request.inputs) if error.limit else error from None

    def check(self, request: Message, inputs: Mapping[str, input_pb2.Input], size: int, timeout: float | None) -> None:
        """Refuses a request that is larger than the server takes, before it is sent.

        Args:
            request: or a batch of a stream.
            inputs: of it.
            size: bytes of the arrays in it.
            timeout: seconds that the server may take to tell its limit; it is asked when that is first of interest.

        Raises:
            TooLargeError: it is too large.
        """
        if size < LARGE_BYTES or size + _BESIDE_ARRAYS <= self._limit:
            return
        # Before a refusal it is asked again: it may have been started again with a higher limit.
        self._limit = self.info(timeout).limits.message_bytes
        if size + _BESIDE_ARRAYS > self._limit > 0:
            measured = size if size > _MOST_MEASURED else request.ByteSize()
            if measured > self._limit:
                raise too_large(measured, self._limit, inputs)

    def diagnose(self, request: Any, timeout: float | None) -> diagnostic_service_pb2.DiagnoseResponse:
        """Computes diagnostics; raises a KantorError."""
        return self._call(self._diagnose, request, timeout)  # type: ignore[no-any-return]

    def info(self, timeout: float | None) -> info_service_pb2.GetServerInfoResponse:
        """Asks the server what it is; raises a KantorError."""
        return self._call(self._info, info_service_pb2.GetServerInfoRequest(), timeout)  # type: ignore[no-any-return]

    def evaluate_later(self, request: Any, timeout: float | None) -> Underway:
        """Starts to compute one objective, and does not wait. Whether it is too large was asked of check() before."""
        return Underway(self, self._evaluate, request, timeout)

    def diagnose_later(self, request: Any, timeout: float | None) -> Underway:
        """Starts to compute diagnostics, and does not wait."""
        return Underway(self, self._diagnose, request, timeout)

    def info_later(self, timeout: float | None) -> Underway:
        """Starts to ask the server what it is, and does not wait."""
        return Underway(self, self._info, info_service_pb2.GetServerInfoRequest(), timeout)

    def evaluate_stream(self, requests: Iterator[Any]) -> Any:
        """Starts a stream of batches and returns gRPC's iterator of its answers."""
        return self._stream(requests, metadata=self._access.metadata())

    def _call(self, method: Any, request: Any, timeout: float | None) -> Any:
        try:
            with gate.inside(self._leave_for_fork):
                return _call(method, request, timeout, self._access.metadata())
        except (CallError, ValueError) as error:
            if self.left:
                raise ForkedError from None
            if isinstance(error, ValueError) and "closed channel" in str(error):  # by another thread, just now
                raise ClosedError("the client is closed") from None
            raise

    def _leave_for_fork(self) -> None:
        """Ends the calls, as their threads cannot, by the end of the channel."""
        self.left = True
        self._channel.close()

    def close(self) -> None:
        """Ends what is under way and the connection."""
        self._channel.close()


def _call(method: Any, request: Any, timeout: float | None, metadata: Any) -> Any:
    start = time.monotonic()
    try:
        return method(request, timeout=timeout, metadata=metadata)
    except grpc.RpcError as error:
        raise _failure(error, start, timeout) from None


def _failure(error: grpc.RpcError, start: float, timeout: float | None) -> KantorError:
    spent = time.monotonic() - start
    # The server has the deadline too. Where its clock comes first it resets the call, which reads so here.
    if error.code() is grpc.StatusCode.CANCELLED and timeout is not None and spent > timeout - _CLOCKS:
        return DeadlineError("DEADLINE_EXCEEDED", f"no result within {timeout:g} s")
    return from_rpc(error)


class Underway:
    """A call that was started and that nobody need wait for. A fork ends it, as it ends others."""

    def __init__(self, transport: Transport, method: Any, request: Any, timeout: float | None) -> None:
        self._transport = transport
        self._start = time.monotonic()
        self._timeout = timeout
        with contextlib.ExitStack() as inside:
            inside.enter_context(gate.inside(transport._leave_for_fork))
            try:
                self._call = method.future(request, timeout=timeout, metadata=transport._access.metadata())
            except grpc.RpcError as error:  # it could not be made
                raise self._failed(error) from None
            except ValueError:  # gRPC's, of a channel that another thread closed just now
                raise (ForkedError() if transport.left else ClosedError("the client is closed")) from None
            leave = inside.pop_all()
        self._call.add_done_callback(lambda _: leave.close())

    def add_done_callback(self, call: Callable[[Any], object]) -> None:
        """Calls, from a thread of gRPC's, when the call has ended; at once if it has."""
        self._call.add_done_callback(call)

    def result(self) -> Any:
        """Returns the answer of a call that has ended; raises a KantorError."""
        try:
            return self._call.result()
        except grpc.RpcError as error:
            raise self._failed(error) from None

    def _failed(self, error: grpc.RpcError) -> KantorError:
        return ForkedError() if self._transport.left else _failure(error, self._start, self._timeout)

    def cancel(self) -> None:
        """Ends the call, so that the server stops to compute it."""
        self._call.cancel()


def is_local(address: str) -> bool:
    """Whether an address is of this machine, where a proxy named in the environment can only break it."""
    host = re.sub("^(dns|ipv4|ipv6):/*", "", address.lower())
    return host.startswith(("unix:", "localhost:", "127.", "[::1]"))
