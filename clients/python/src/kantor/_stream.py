"""An objective computed for batch after batch."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Mapping
from types import TracebackType

from kantor import _codec, _dump
from kantor._errors import ClosedError
from kantor._fork import ForkedError
from kantor._inputs import Input
from kantor._results import Evaluation
from kantor._retry import Deadline, Patience, retrying
from kantor._session import Answer, Session
from kantor._transport import LARGE_BYTES, PerProcess, Transport
from kantor.v1 import loss_service_pb2


class Pending:
    """A batch that was sent; made by Stream.submit."""

    def __init__(
        self, stream: Stream, request: loss_service_pb2.EvaluateStreamRequest, session: Session, answer: Answer
    ) -> None:
        self._stream = stream
        self._request = request
        self._session = session
        self._answer = answer

    def done(self) -> bool:
        """Whether result() would return, or raise, at once."""
        return self._answer.done() and not isinstance(self._answer.exception(), ForkedError)

    def result(self, timeout: float | None = None) -> Evaluation:
        """Waits for the answer, at most timeout seconds (None: the client's timeout).

        If the server goes away before it answered, the stream opens again and sends the batch again.

        Raises:
            KantorError: why this batch failed; the stream lives on. After a DeadlineError result() may be called again.
        """
        return self._result(self._stream._deadline(timeout))

    def _result(self, deadline: Deadline) -> Evaluation:
        batch = self._request.batch
        return _dump.watching(
            lambda: self._computed(deadline), lambda: _dump.whole(self._stream._objective, batch), batch.id
        )

    def _computed(self, deadline: Deadline) -> Evaluation:
        while True:
            try:
                return _codec.evaluation(self._session.wait(self._answer, deadline))
            except ForkedError:
                self._session = self._stream._session(deadline)
                self._answer = self._session.send(self._request, deadline)

    def _give_up(self) -> None:
        self._session.give_up(self._request.batch.id)


class Stream:
    """A stream to the server; made by Client.stream, to be used in a `with` or closed.

    Threads may share it, and a forked child may go on with it: it opens a stream of its own. A batch that fails raises
    from its own call, and the stream lives on. If the server goes away the stream opens again, for half a minute at
    most, and sends the batches that have no answer again, in order; each is answered once.
    """

    def __init__(
        self,
        transport: Callable[[], Transport],
        objective: loss_service_pb2.Objective,
        *,
        unordered: bool,
        timeout: float | None,
        patience: Patience,
    ) -> None:
        opening = loss_service_pb2.Open(objective=objective, unordered=unordered)
        self._transport = transport
        self._patience = patience
        self._objective = objective
        self._default_timeout = timeout
        self._ids = itertools.count(1)
        self._closed = False
        self._sessions = PerProcess(lambda: Session(transport, opening, patience), Session.finish)
        # Dropped without a close, the call still ends; for that nothing that it holds may hold the stream. At the exit
        # of the process it must end before the server does: whoever looks for another one then, on Python 3.12, hangs
        # in gRPC, which gets no thread any more.
        weakref.finalize(self, _finish, self._sessions)

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
            timeout: seconds, after which the server stops to compute it; None: the client's timeout.
            **named: the arguments by name.

        Raises:
            KantorError: why this batch failed; the stream lives on.
        """
        deadline = self._deadline(timeout)
        pending = self._submit(_codec.merge(inputs, named), overrides, seed, deadline)
        try:
            return pending._result(deadline)
        except BaseException:  # the timeout, or an interrupt: nobody can ask for the answer again
            if not pending.done():
                pending._give_up()
            raise

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
        return self._submit(_codec.merge(inputs, named), overrides, seed, self._deadline(timeout))

    def _submit(
        self, inputs: Mapping[str, Input], overrides: Mapping[str, float] | None, seed: int, deadline: Deadline
    ) -> Pending:
        request, size = self._batch(inputs, overrides, seed)
        if size >= LARGE_BYTES:  # in time: the server would end the call, and what else it computes
            retrying(lambda left: self._check(request, size, left), deadline.left(), self._patience)
        session = self._session(deadline)
        return Pending(self, request, session, session.send(request, deadline))

    def _batch(
        self, inputs: Mapping[str, Input], overrides: Mapping[str, float] | None, seed: int
    ) -> tuple[loss_service_pb2.EvaluateStreamRequest, int]:
        return _codec.batch(next(self._ids), inputs, overrides, _codec.seed(seed))

    def _check(self, request: loss_service_pb2.EvaluateStreamRequest, size: int, timeout: float | None) -> None:
        self._transport().check(request, request.batch.inputs, size, timeout)

    def _deadline(self, timeout: float | None) -> Deadline:
        return Deadline(self._default_timeout if timeout is None else timeout)

    def _session(self, deadline: Deadline) -> Session:
        """Returns this process's, which has opened once."""
        if self._closed:
            raise ClosedError("the stream is closed")
        session = self._sessions.get()
        if not session.opened:
            session.open(deadline)
        return session

    def close(self) -> None:
        """Ends the stream. Batches without an answer are given up."""
        session = self._end()
        if session is not None:
            session.join()

    def _end(self) -> Session | None:
        """Ends the stream without waiting for that, and returns what ends."""
        self._closed = True
        return _finish(self._sessions)

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _finish(sessions: PerProcess[Session]) -> Session | None:
    session = sessions.pop()
    if session is not None:
        session.finish()
    return session
