"""Between an event loop and the threads that calls end in."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any, Generic, Protocol, TypeVar

from kantor import _dump
from kantor._errors import CallError, KantorError
from kantor._fork import ForkedError, gate
from kantor._results import Evaluation
from kantor._retry import Attempt, Patience
from kantor._transport import Underway
from kantor.v1 import loss_service_pb2

T = TypeVar("T")


class Made(Generic[T]):
    """Something that a thread makes once, with the first who asks for it, because that takes long."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: Future[T] | None = None
        self._lock = threading.Lock()

    def make_now(self) -> None:
        """Makes it here."""
        made: Future[T] = Future()
        made.set_result(self._make())
        self._made = made

    async def get(self) -> T:
        """Waits for it; raises, each time, why it could not be made."""
        with self._lock:
            if self._made is None:
                self._made = Future()
                threading.Thread(target=self._run, args=(self._made,), name="kantor-start", daemon=True).start()
        await ended(self._made)
        return self._made.result()

    async def get_if_asked_for(self) -> T | None:
        """Waits for it if somebody asked for it; None: nobody did, or it could not be made."""
        if self._made is None:
            return None
        await ended(self._made)
        return None if self._made.exception() else self._made.result()

    def peek(self) -> T | None:
        """Returns it if it is there."""
        made = self._made
        return made.result() if made is not None and made.done() and not made.exception() else None

    def _run(self, made: Future[T]) -> None:
        try:
            made.set_result(self._make())
        except Exception as error:  # for whoever asks
            made.set_exception(error)


class Source(Protocol):
    """What ends in another thread."""

    def add_done_callback(self, fn: Callable[[Any], object], /) -> object: ...


async def ended(source: Source, seconds: float | None = None) -> bool:
    """Waits until something of another thread has ended, at most so many seconds; returns whether it has.

    Unlike asyncio.wrap_future it leaves the source alone when it is cancelled, and a loop that has been closed too.
    """
    loop = asyncio.get_running_loop()
    end = loop.create_future()
    source.add_done_callback(lambda _: call_soon(loop, end.set_result, None))
    await asyncio.wait((end,), timeout=seconds)
    return end.done()


def call_soon(loop: asyncio.AbstractEventLoop, call: Callable[..., object], *args: object) -> None:
    """Lets a loop call from whatever thread this is, unless it has been closed, when nobody waits any more."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(call, *args)


async def retrying(start: Callable[[float | None], Underway], timeout: float | None, patience: Patience) -> Any:
    """Does what kantor._retry.retrying does, of calls that are underway."""
    attempt = Attempt(timeout, patience)
    while True:
        left = attempt.left()
        try:
            call = start(left)
            try:
                await ended(call)
            except asyncio.CancelledError:
                call.cancel()
                raise
            answer = call.result()
        except ForkedError:  # not the server's fault, and no try
            await asyncio.to_thread(gate.wait)
        except CallError as error:
            await asyncio.sleep(attempt.pause(error))
        else:
            attempt.answered()
            return answer


async def watching(
    compute: Callable[[], Awaitable[Evaluation]], request: Callable[[], loss_service_pb2.EvaluateRequest], step: int
) -> Evaluation:
    """Does what kantor._dump.watching does, which may write a file, beside the loop."""
    if not os.environ.get("KANTOR_DUMP"):
        return await compute()
    outcome: Future[Evaluation] = Future()
    try:
        outcome.set_result(await compute())
    except KantorError as error:
        outcome.set_exception(error)
    return await asyncio.to_thread(_dump.watching, outcome.result, request, step)
