"""An objective computed for batch after batch, for asyncio."""

from __future__ import annotations

import asyncio
import collections
from collections.abc import Generator, Mapping
from concurrent.futures import Future
from types import TracebackType
from typing import TYPE_CHECKING, Any

from kantor import _codec, _dump, _stream
from kantor._errors import ClosedError, DeadlineError, KantorError
from kantor._fork import ForkedError
from kantor._inputs import Input
from kantor._results import Evaluation
from kantor._retry import Deadline
from kantor._session import Answer, Session
from kantor._transport import LARGE_BYTES
from kantor.aio._threads import Made, call_soon, ended, watching
from kantor.v1 import loss_service_pb2

if TYPE_CHECKING:
    from kantor.aio._client import Client


class Pending:
    """A batch that was sent; made by Stream.submit. To await it is to await its result()."""

    def __init__(
        self, stream: Stream, request: loss_service_pb2.EvaluateStreamRequest, session: Session, answer: Answer
    ) -> None:
        self._stream = stream
        self._request = request
        self._session = session
        self._answer = answer

    def done(self) -> bool:
        """Whether there is a result, or an error."""
        return self._answer.done() and not isinstance(self._answer.exception(), ForkedError)

    async def result(self, timeout: float | None = None) -> Evaluation:
        """Waits for the answer, at most timeout seconds (None: the client's timeout).

        To cancel this gives up the batch, for whoever else waits for it too; asyncio.shield keeps it.

        Raises:
            KantorError: why this batch failed; the stream lives on. After a DeadlineError result() may be called again.
        """
        return await self._result(self._stream._deadline(timeout))

    def __await__(self) -> Generator[Any, Any, Evaluation]:
        return self.result().__await__()

    async def _result(self, deadline: Deadline) -> Evaluation:
        async def compute() -> Evaluation:
            try:
                return await self._computed(deadline)
            except asyncio.CancelledError:
                self._give_up()
                raise

        batch = self._request.batch
        return await watching(compute, lambda: _dump.whole(self._stream._objective, batch), batch.id)

    async def _computed(self, deadline: Deadline) -> Evaluation:
        while True:
            if not await ended(self._answer, deadline.left()):
                raise deadline.error("no result", self._session._trouble)
            try:
                return _codec.evaluation(self._answer.result())
            except ForkedError:
                self._session, self._answer = await self._stream._send(self._request, deadline)

    def _give_up(self) -> None:
        if not self.done():
            self._session.give_up(self._request.batch.id)
            self._stream._send_waiting()


class Stream:
    """A stream to the server; made by Client.stream, to be used in an `async with` or closed by aclose().

    Tasks of one event loop share it. A batch that fails raises from its own await, and the stream lives on. If the
    server goes away the stream opens again and sends again what has no answer, as kantor.Stream does.
    """

    def __init__(self, client: Client, objective: loss_service_pb2.Objective, *, unordered: bool) -> None:
        self._client = client
        self._objective = objective
        self._unordered = unordered
        self._closed = False
        self._core: _stream.Stream | None = None
        self._session = Made(self._open)
        self._waiting: collections.deque[_Waiting] = collections.deque()

    async def evaluate(
        self,
        inputs: Mapping[str, Input] | None = None,
        /,
        *,
        overrides: Mapping[str, float] | None = None,
        seed: int = 0,
        timeout: float | None = None,
        **named: Input,
    ) -> Evaluation:
        """Computes one batch and waits for it: arguments, result and errors of kantor.Stream.evaluate."""
        deadline = self._deadline(timeout)
        pending = await self._submit(_codec.merge(inputs, named), overrides, seed, deadline)
        try:
            return await pending._result(deadline)
        except DeadlineError:  # nobody can ask for the answer again
            pending._give_up()
            raise

    async def submit(
        self,
        inputs: Mapping[str, Input] | None = None,
        /,
        *,
        overrides: Mapping[str, float] | None = None,
        seed: int = 0,
        timeout: float | None = None,
        **named: Input,
    ) -> Pending:
        """Sends one batch; what it returns is awaited for the answer, while the next batch is made.

            pending = [await stream.submit(source=x, target=y) for x, y in batches]
            values = [(await p).value for p in pending]

        It waits, in turn, while the server's window is full of batches in flight, at most timeout seconds. The
        arguments are those of evaluate.
        """
        return await self._submit(_codec.merge(inputs, named), overrides, seed, self._deadline(timeout))

    async def _submit(
        self, inputs: Mapping[str, Input], overrides: Mapping[str, float] | None, seed: int, deadline: Deadline
    ) -> Pending:
        core = await self._opened()
        request, size = core._batch(inputs, overrides, seed)
        if size >= LARGE_BYTES:  # which asks the server, perhaps
            client = await self._client._started()
            await asyncio.to_thread(client._check, request, request.batch.inputs, size, deadline)
        return Pending(self, request, *await self._send(request, deadline))

    async def _send(
        self, request: loss_service_pb2.EvaluateStreamRequest, deadline: Deadline
    ) -> tuple[Session, Answer]:
        """Sends a batch when the window has room for it, after those that wait already."""
        waiting = _Waiting(request)
        self._waiting.append(waiting)
        self._send_waiting()
        try:
            await ended(waiting.sent, deadline.left())
        except asyncio.CancelledError:
            if waiting.sent.done() and not waiting.sent.exception():
                waiting.sent.result()[0].give_up(request.batch.id)
                self._send_waiting()
            waiting.abandoned = True
            raise
        if not waiting.sent.done():
            waiting.abandoned = True
            raise deadline.error("no earlier batch was answered")
        return waiting.sent.result()

    def _send_waiting(self) -> None:
        """Sends what the window has room for, in order; each answer makes room and calls this again."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            first = self._waiting[0]
            if not first.abandoned:
                try:
                    session = self._process_session()
                    answer = session.send(first.request, Deadline(0))
                except DeadlineError:
                    return  # no room
                except KantorError as error:
                    first.sent.set_exception(error)
                else:
                    first.sent.set_result((session, answer))
                    answer.add_done_callback(lambda _: call_soon(loop, self._send_waiting))
            self._waiting.popleft()

    def _process_session(self) -> Session:
        if self._closed or self._core is None:
            raise ClosedError("the stream is closed")
        return self._core._session(self._deadline(None))

    def _deadline(self, timeout: float | None) -> Deadline:
        return Deadline(self._client._seconds(timeout))

    async def _opened(self) -> _stream.Stream:
        if self._closed:
            raise ClosedError("the stream is closed")
        if self._core is None:
            core = await self._client._started()
            self._core = self._core or core._unopened(self._objective, unordered=self._unordered)
        await self._session.get()
        return self._core

    def _open(self) -> Session:
        """Waits for the server to accept the objective, in a thread."""
        return self._process_session()

    async def aclose(self) -> None:
        """Ends the stream. Batches without an answer are given up."""
        self._closed = True
        if self._core is not None:
            await asyncio.to_thread(self._core.close)
        self._send_waiting()

    async def __aenter__(self) -> Stream:
        try:
            await self._opened()
        except asyncio.CancelledError:
            self._closed = True
            if self._core is not None:
                self._core._end()  # and with it the thread that opens it
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class _Waiting:
    """A batch that the window has no room for yet."""

    def __init__(self, request: loss_service_pb2.EvaluateStreamRequest) -> None:
        self.request = request
        self.sent: Future[tuple[Session, Answer]] = Future()
        self.abandoned = False
