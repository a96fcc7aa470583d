"""A stream as one process has it: the batches without an answer, and the call that they are sent over."""

from __future__ import annotations

import os
import queue
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import grpc

from kantor._errors import (
    CancelledError,
    ClosedError,
    InternalError,
    KantorError,
    OverloadedError,
    TooLargeError,
    UnauthenticatedError,
    UnavailableError,
)
from kantor._fork import ForkedError, gate
from kantor._retry import Deadline, Patience, Tries
from kantor._status import from_rpc, from_status, too_large
from kantor._transport import Transport
from kantor.v1 import loss_service_pb2

Answer = Future[loss_service_pb2.EvaluateResponse]

_CLOSE_SECONDS = 5.0
# A batch that was sent so often, over one call after the other, may be what ends them.
_MOST_SENDS = 8


class _GivenUpError(UnavailableError):
    """What a call is ended with when one of its batches is given up."""

    def __init__(self) -> None:
        super().__init__("UNAVAILABLE", "a batch before was given up")


class _Batch:
    """A batch that has no answer yet."""

    def __init__(self, request: loss_service_pb2.EvaluateStreamRequest) -> None:
        self.request = request
        self.answer: Answer = Future()
        self.call: _Call | None = None  # that it was last sent over
        self.sends = 0
        self.tries: Tries | None = None  # those that a busy server refused


class _Call:
    """One EvaluateStream call and the queue of what it sends."""

    def __init__(self, transport: Transport, opening: loss_service_pb2.Open) -> None:
        self.requests: queue.SimpleQueue[loss_service_pb2.EvaluateStreamRequest | None] = queue.SimpleQueue()
        self.requests.put(loss_service_pb2.EvaluateStreamRequest(open=opening))
        self.rpc: Any = transport.evaluate_stream(iter(self.requests.get, None))
        self.open = False  # the server has accepted the objective, and takes batches
        self.end: KantorError | None = None  # why this side ended it


class Session:
    """Answers batches, each once, over one call after the other.

    A thread reads the answers. When a call ends with batches unanswered it makes the next one and sends them again, in
    their order, until Tries gives up. It ends with a call that nobody waits for; the next batch starts another.
    """

    def __init__(self, transport: Callable[[], Transport], opening: loss_service_pb2.Open, patience: Patience) -> None:
        self._transport = transport
        self._opening = opening
        self._patience = patience
        self._changed = threading.Condition()  # guards all that follows
        self._batches: dict[int, _Batch] = {}  # by id, oldest first
        self._window = 0  # how many of them there may be; 0: no call was accepted yet
        self._call: _Call | None = None
        self._thread: threading.Thread | None = None
        self._leaving: type[KantorError] | None = None  # why no other call is made
        self._refusal: Exception | None = None  # why there is no thread, while no call was accepted
        self._trouble = ""  # what the last call ended with, until the next answer
        self._answers = 0
        self._pauses: set[threading.Timer] = set()  # of batches that a busy server is to get again
        _living.add(self)

    @property
    def opened(self) -> bool:
        """Whether a server has accepted the objective."""
        return self._window > 0

    @property
    def running(self) -> bool:
        """Whether there is a call, or one is being made."""
        return self._thread is not None

    def open(self, deadline: Deadline) -> None:
        """Waits for a server to accept the objective, or raises why none does."""
        with self._changed:
            self._start()
            if not self._changed.wait_for(lambda: self._window or self._refusal, deadline.left()):
                raise deadline.error("the stream did not open", self._trouble)
            if self._refusal is not None:
                raise self._refusal

    def send(self, request: loss_service_pb2.EvaluateStreamRequest, deadline: Deadline) -> Answer:
        """Takes a batch on when the window has room for it, and returns where its answer will be."""
        batch = _Batch(request)
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._batches) < self._window, deadline.left()):
                raise deadline.error(f"none of {len(self._batches)} earlier batches was answered", self._trouble)
            self._start()
            self._batches[request.batch.id] = batch
            self._send_waiting()
        return batch.answer

    def wait(self, answer: Answer, deadline: Deadline) -> loss_service_pb2.EvaluateResponse:
        """Waits for an answer; raises a DeadlineError that says what the stream has met, if it met something."""
        done = threading.Event()
        if not answer.done():
            answer.add_done_callback(lambda _: done.set())
            if not done.wait(deadline.left()):
                raise deadline.error("no result", self._trouble)
        return answer.result()

    def give_up(self, batch: int) -> None:
        """Forgets a batch. Its call ends, so that the server stops to compute, and what else it had is sent again."""
        with self._changed:
            given_up = self._batches.pop(batch, None)
            call = self._call
            if given_up is not None and call is not None and given_up.call is call:
                for other in self._batches.values():
                    other.sends -= other.call is call
                call.end = _GivenUpError()
                call.rpc.cancel()
            self._changed.notify_all()
        if given_up is not None:  # for whoever else waits
            given_up.answer.set_exception(CancelledError("CANCELLED", "it was given up before the answer"))

    def finish(self) -> None:
        """Ends it, without waiting for that. Batches without an answer are given up."""
        self._leave(CancelledError)

    def join(self) -> None:
        """Waits for the end."""
        thread = self._thread
        if thread is not None:
            thread.join(_CLOSE_SECONDS)

    def leave_for_fork(self) -> None:
        """Ends the call and its thread, so that no other process has a half of them."""
        pauses = self._leave(ForkedError)
        self.join()
        for pause in pauses:
            pause.join(_CLOSE_SECONDS)

    def go_on(self) -> None:
        """Wakes up who waits for the end of a fork."""
        with self._changed:
            self._changed.notify_all()

    def _leave(self, why: type[KantorError]) -> list[threading.Timer]:
        """Ends the call; returns the timers that end with it."""
        with self._changed:
            self._leaving = why
            pauses = list(self._pauses)
            if self._call is not None and not self._batches:
                self._call.requests.put(None)
            elif self._call is not None:
                self._call.rpc.cancel()
            self._changed.notify_all()
        for pause in pauses:
            pause.cancel()
        return pauses

    def _start(self) -> None:
        if self._leaving is CancelledError:
            raise ClosedError("the stream is closed")
        self._changed.wait_for(lambda: not gate.closed)
        if self._thread is None:
            self._leaving = self._refusal = None
            self._thread = threading.Thread(target=self._run, name="kantor-stream", daemon=True)
            self._thread.start()

    def _send_waiting(self) -> None:
        """Sends what was not sent over this call yet, in order."""
        call = self._call
        if call is None or not call.open:
            return
        for batch in self._batches.values():
            if batch.call is not call:
                batch.call = call
                batch.sends += 1
                call.requests.put(batch.request)

    def _run(self) -> None:
        """Makes call after call until nobody waits or there is no hope."""
        tries, answers = Tries(self._patience), self._answers
        while True:
            end = self._converse()
            with self._changed:
                self._call = None
                if self._answers > answers:
                    tries, answers = Tries(self._patience), self._answers
                refused = isinstance(end, TooLargeError) and self._refuse_larger(end.limit)
                if self._leaving is not None or (self._window and not self._batches):
                    return self._stop(end)
                if refused or isinstance(end, _GivenUpError):
                    continue
                pause = tries.pause(end)
                if pause is None or max((b.sends for b in self._batches.values()), default=0) >= _MOST_SENDS:
                    return self._stop(tries.told(end))
                self._trouble = f"; the server went away: {end}"
                self._changed.wait_for(lambda: self._leaving, pause)
                if self._leaving is not None:
                    return self._stop(end)

    def _refuse_larger(self, limit: int) -> bool:
        """Answers the batches that are larger than the server takes; returns whether there were any.

        Stream looks before, but not at small batches, and the server may be another one since.
        """
        large = {i: batch for i, batch in self._batches.items() if 0 < limit < batch.request.ByteSize()}
        for i, batch in large.items():
            del self._batches[i]
            batch.answer.set_exception(too_large(batch.request.ByteSize(), limit, batch.request.batch.inputs))
        return bool(large)

    def _stop(self, end: Exception) -> None:
        """Gives up the batches without an answer and ends the thread, which holds the lock."""
        if self._leaving is ForkedError:
            end = ForkedError()
        elif self._leaving is not None:
            end = CancelledError("CANCELLED", "the stream was closed before the answer")
        if not self._window:
            self._refusal = end
        self._thread, self._trouble = None, ""
        unanswered = list(self._batches.values())
        self._batches.clear()
        for batch in unanswered:
            batch.answer.set_exception(end)
        self._changed.notify_all()

    def _converse(self) -> Exception:
        """Makes one call and deals out its answers; returns why it ended."""
        try:
            call = _Call(self._transport(), self._opening)
        except KantorError as error:
            return error
        except ValueError:  # gRPC's, of a channel that another thread closed just now
            return ClosedError("the client is closed")
        try:
            with self._changed:
                self._call = call
                if self._leaving is not None:
                    call.rpc.cancel()
            for message in call.rpc:
                self._receive(call, message)
            return UnavailableError("UNAVAILABLE", "the server ended the stream")
        except grpc.RpcError as error:
            return call.end or from_rpc(error)
        except KantorError as error:
            call.rpc.cancel()
            return call.end or error
        finally:
            call.requests.put(None)

    def _receive(self, call: _Call, message: loss_service_pb2.EvaluateStreamResponse) -> None:
        kind = message.WhichOneof("message")
        if call.end is not None:
            return  # it is being cancelled, and all that has no answer will be sent again
        if kind == "result":
            self._take(message.result.id).set_result(message.result.response)
        elif kind == "failure":
            error = from_status(message.failure.status)
            # It stops, and another may compute this; or the token was replaced, and there is another.
            if isinstance(error, (UnavailableError, UnauthenticatedError)):
                call.end = error
                call.rpc.cancel()
            elif not self._pause(call, message.failure.id, error):
                self._take(message.failure.id).set_exception(error)
        elif kind == "opened":
            self._patience.answered = True
            with self._changed:
                call.open, self._window, self._trouble = True, message.opened.window, ""
                self._send_waiting()
                self._changed.notify_all()
        elif kind == "draining":
            with self._changed:
                call.open = False
                call.requests.put(None)  # what was sent is still answered

    def _pause(self, call: _Call, number: int, error: KantorError) -> bool:
        """Sends a batch again after a while, if the server says that it is busy; returns whether it will."""
        with self._changed:
            batch = self._batches.get(number)
            if batch is None or not isinstance(error, OverloadedError):
                return False
            if self._leaving is not None:
                return True  # why is what the batch ends with
            batch.tries = batch.tries or Tries(self._patience)
            pause = batch.tries.pause(error)
            if pause is None:
                batch.tries.told(error)
                return False
            batch.sends -= 1  # nothing says that the batch is to blame
            timer = threading.Timer(pause, lambda: self._resume(call, number, timer))
            timer.daemon = True
            self._pauses.add(timer)
            timer.start()
            return True

    def _resume(self, call: _Call, number: int, timer: threading.Timer) -> None:
        with self._changed:
            self._pauses.discard(timer)
            batch = self._batches.get(number)
            if batch is not None and batch.call is call:  # else another call has it, or it was given up
                batch.call = None
                self._send_waiting()

    def _take(self, batch: int) -> Answer:
        with self._changed:
            if batch not in self._batches:
                raise InternalError("INTERNAL", f"the server answered batch {batch}, which waits for no answer")
            self._answers += 1
            self._changed.notify_all()
            return self._batches.pop(batch).answer


_living: weakref.WeakSet[Session] = weakref.WeakSet()


def _before_fork() -> None:
    """Ends every call before a fork: the child of a process with threads inside gRPC hangs or crashes."""
    gate.close()
    running = [session for session in list(_living) if session.running]
    for session in running:
        session.leave_for_fork()
    gate.clear(settle=bool(running))


def _after_fork() -> None:
    gate.open()
    for session in list(_living):
        session.go_on()


def _after_fork_in_child() -> None:
    # The child's copies have no thread, and perhaps a lock that a thread of the parent's held.
    _living.clear()
    gate.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)
