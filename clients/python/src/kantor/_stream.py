"""An objective computed for batch after batch."""

from __future__ import annotations

import itertools
import os
import queue
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from types import TracebackType

import grpc

from kantor import _codec
from kantor._errors import ClosedError, DeadlineError, KantorError, UnavailableError
from kantor._inputs import Input
from kantor._results import Evaluation
from kantor._status import from_rpc, from_status
from kantor._transport import PerProcess, Transport, retrying
from kantor.v1 import loss_service_pb2

_Answer = Future[loss_service_pb2.EvaluateResponse]

_CLOSE_SECONDS = 5.0


class Pending:
    """A batch that was sent; made by Stream.submit."""

    def __init__(self, stream: Stream, request: loss_service_pb2.EvaluateStreamRequest, answer: _Answer) -> None:
        self._stream = stream
        self._request = request
        self._answer = answer

    def done(self) -> bool:
        """Whether result() would return, or raise, at once."""
        return self._answer.done()

    def result(self, timeout: float | None = None) -> Evaluation:
        """Waits for the answer, at most timeout seconds (None: the client's timeout, or without limit).

        If the server went away before it answered, the batch is sent again.

        Raises:
            KantorError: why this batch failed; the stream lives on. After a DeadlineError result() may be called again.
        """

        def wait(left: float | None) -> loss_service_pb2.EvaluateResponse:
            if self._answer.done() and isinstance(self._answer.exception(), UnavailableError):
                self._answer = self._stream._send(self._request, left)
            return _wait(self._answer, left)

        return _codec.evaluation(retrying(wait, self._stream._default_timeout if timeout is None else timeout))


class Stream:
    """A stream to the server; made by Client.stream, to be used in a `with` or closed.

    Threads may share it, and a forked child may go on with it: it opens a stream of its own. A batch that fails raises
    from its own call, and the stream lives on. If the server goes away the stream opens again with the next batch.
    """

    def __init__(
        self,
        transport: Callable[[], Transport],
        objective: loss_service_pb2.Objective,
        *,
        unordered: bool,
        timeout: float | None,
    ) -> None:
        opening = loss_service_pb2.Open(objective=objective, unordered=unordered)
        self._default_timeout = timeout
        self._ids = itertools.count(1)
        self._closed = False
        self._calls = PerProcess(lambda: _Call(transport(), opening), _Call.finish)
        # Dropped without a close, the call still ends; for that nothing that it holds may hold the stream. At the exit
        # of the process it ends by itself.
        weakref.finalize(self, _finish, self._calls).atexit = False
        # The objective is refused here, not with the first batch.
        retrying(self._call, timeout)

    def evaluate(
        self,
        inputs: Mapping[str, Input] | None = None,
        /,
        *,
        overrides: Mapping[str, float] | None = None,
        seed: int = 0,
        timeout: float | None = None,
        **named: Input,
    ) -> Evaluation:
        """Computes one batch and waits for it.

        Args:
            inputs: the arguments by name, as in Client.evaluate; or as keywords.
            overrides: numbers of the terms that differ for this batch, by `term.field`: `{"kl.weight": 0.1}`.
            seed: of everything random that the server does.
            timeout: seconds; None: the client's timeout.
            **named: the arguments by name.

        Raises:
            KantorError: why this batch failed; the stream lives on.
        """
        return self.submit(inputs, overrides=overrides, seed=seed, timeout=timeout, **named).result(timeout)

    def submit(
        self,
        inputs: Mapping[str, Input] | None = None,
        /,
        *,
        overrides: Mapping[str, float] | None = None,
        seed: int = 0,
        timeout: float | None = None,
        **named: Input,
    ) -> Pending:
        """Sends one batch without waiting for its answer, so that the next can be prepared meanwhile.

        It waits while the server's window is full of batches in flight, at most timeout seconds. The arguments are
        those of evaluate.
        """
        # Filled where it will be sent from: a batch that became part of a request later would be copied.
        request = loss_service_pb2.EvaluateStreamRequest()
        batch = request.batch
        batch.id, batch.seed = next(self._ids), _codec.seed(seed)
        _codec.write_inputs(batch.inputs, _codec.merge(inputs, named))
        for name, number in (overrides or {}).items():
            batch.overrides[name] = number
        return Pending(
            self,
            request,
            retrying(lambda left: self._send(request, left), self._default_timeout if timeout is None else timeout),
        )

    def _send(self, request: loss_service_pb2.EvaluateStreamRequest, timeout: float | None) -> _Answer:
        deadline = None if timeout is None else time.monotonic() + timeout
        call = self._call(timeout)
        return call.send(request, None if deadline is None else deadline - time.monotonic())

    def _call(self, timeout: float | None) -> _Call:
        """Returns this process's call, opened; a new one where the last is going away."""
        if self._closed:
            raise ClosedError("the stream is closed")
        call = self._calls.get()
        if call.leaving:
            self._calls.drop(call)
            call = self._calls.get()
        call.wait_until_open(timeout)
        return call

    def close(self) -> None:
        """Ends the stream. Batches without an answer are given up."""
        self._closed = True
        call = self._calls.pop()
        if call is not None:
            call.finish()
            call.join()

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Call:
    """One EvaluateStream call: a queue of what to send, and a thread that reads the answers."""

    def __init__(self, transport: Transport, opening: loss_service_pb2.Open) -> None:
        self._changed = threading.Condition()  # guards the five below
        self._window = 0  # 0: not open yet
        self._draining = False
        self._forking = False
        self._ended: KantorError | None = None
        self._answers: dict[int, _Answer] = {}
        self._requests: queue.SimpleQueue[loss_service_pb2.EvaluateStreamRequest | None] = queue.SimpleQueue()
        self._requests.put(loss_service_pb2.EvaluateStreamRequest(open=opening))
        self._rpc = transport.evaluate_stream(iter(self._requests.get, None))
        self._reader = threading.Thread(target=self._read, name="kantor-stream", daemon=True)
        self._reader.start()
        _living.add(self)

    @property
    def leaving(self) -> bool:
        """Whether the server takes no more batches here."""
        return self._draining or self._ended is not None

    def wait_until_open(self, timeout: float | None) -> None:
        """Waits for the server to accept the objective, or raises why it does not."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._window or self._ended, timeout):
                raise DeadlineError("DEADLINE_EXCEEDED", "the stream did not open in time")
            if self._ended and not self._window:
                raise self._ended

    def send(self, request: loss_service_pb2.EvaluateStreamRequest, timeout: float | None) -> _Answer:
        """Sends the request of a batch when the window has room for it, and returns where its answer will be."""
        answer: _Answer = Future()
        with self._changed:
            if not self._changed.wait_for(lambda: self.leaving or len(self._answers) < self._window, timeout):
                raise DeadlineError("DEADLINE_EXCEEDED", f"{len(self._answers)} earlier batches are in flight still")
            if self.leaving:
                raise self._ended or UnavailableError("UNAVAILABLE", "the server is going away")
            self._answers[request.batch.id] = answer
            self._requests.put(request)
        return answer

    def _read(self) -> None:
        """Deals out answers until the call ends, then that end to whoever still waits."""
        end: KantorError = UnavailableError("UNAVAILABLE", "the server ended the stream")
        try:
            for message in self._rpc:
                self._receive(message)
        except grpc.RpcError as error:
            end = from_rpc(error)
        with self._changed:
            if self._forking:
                end = UnavailableError("UNAVAILABLE", "the process forked")  # so that batches are sent again
            self._ended = end
            unanswered = list(self._answers.values())
            self._answers.clear()
            self._changed.notify_all()
        self._requests.put(None)
        for answer in unanswered:
            answer.set_exception(end)

    def _receive(self, message: loss_service_pb2.EvaluateStreamResponse) -> None:
        kind = message.WhichOneof("message")
        if kind == "result":
            self._take(message.result.id).set_result(message.result.response)
        elif kind == "failure":
            self._take(message.failure.id).set_exception(from_status(message.failure.status))
        else:
            with self._changed:
                if kind == "opened":
                    self._window = message.opened.window
                elif kind == "draining":
                    self._draining = True
                    self._requests.put(None)  # what was sent is still answered
                self._changed.notify_all()

    def _take(self, batch: int) -> _Answer:
        with self._changed:
            self._changed.notify_all()
            return self._answers.pop(batch)

    def finish(self) -> None:
        """Ends the call, without waiting for that. Batches without an answer are given up."""
        with self._changed:
            idle = not self._answers
        if idle:
            self._requests.put(None)
        else:
            self._rpc.cancel()

    def join(self) -> None:
        """Waits for the end."""
        self._reader.join(_CLOSE_SECONDS)

    def leave_for_fork(self) -> None:
        """Ends the call in a way that sends batches without an answer again, over the next call."""
        with self._changed:
            self._forking = True
        self.finish()
        self.join()


_living: weakref.WeakSet[_Call] = weakref.WeakSet()


def _finish(calls: PerProcess[_Call]) -> None:
    call = calls.pop()
    if call is not None:
        call.finish()


def _leave_for_fork() -> None:
    """Ends every call before a fork: the child of a process with threads inside gRPC crashes now and then."""
    for call in list(_living):
        call.leave_for_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_leave_for_fork)


def _wait(answer: _Answer, timeout: float | None) -> loss_service_pb2.EvaluateResponse:
    try:
        return answer.result(timeout)
    except FutureTimeoutError as error:
        if answer.done():  # just now; or the answer itself is a DeadlineError, which is a TimeoutError too
            return answer.result()
        raise DeadlineError("DEADLINE_EXCEEDED", f"no result within {timeout:g} s") from error
