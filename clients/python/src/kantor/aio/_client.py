"""The client for asyncio."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Iterable, Mapping
from types import TracebackType

from kantor import _client, _codec
from kantor._diagnostics import Diagnostics
from kantor._errors import ClosedError
from kantor._inputs import Input
from kantor._objective import Terms
from kantor._results import DiagnosticResult, Evaluation, ServerInfo
from kantor._retry import Deadline
from kantor._security import Token
from kantor._tls import TLS
from kantor._transport import LARGE_BYTES
from kantor.aio._stream import Stream
from kantor.aio._threads import Made, retrying, watching


class Client:
    """A client of a kantor server, which it starts if need be, as kantor.Client is.

    It is used in an `async with`, or closed by aclose(). Without an address the server starts with the first call, or
    where the `async with` begins. Tasks may share a client, and so may event loops, one after the other or in threads.
    It can be pickled once it has a server's address: the copy talks to the same server and never ends it.

    Args:
        address: of a running server: `host:port` or `unix:/path`. None: that in $KANTOR_ADDRESS; without it the client
            starts a server of its own.
        binary: the server to start. None: as kantor.Client finds it.
        timeout: seconds that a call may take, repetitions included; None: no limit.
        token: as kantor.Client takes it.
        tls: as kantor.Client takes it.

    Raises:
        ServerNotFoundError: from the first call: there is no address and no binary.
        ServerStartError: from the first call: the binary was started and did not get ready.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        binary: str | os.PathLike[str] | None = None,
        timeout: float | None = 600,
        token: Token | None = None,
        tls: bool | str | os.PathLike[str] | TLS | None = None,
    ) -> None:
        self._timeout = timeout
        self._closed = False
        self._core = Made(
            functools.partial(_client.Client, address, binary=binary, timeout=timeout, token=token, tls=tls)
        )
        if address or (binary is None and os.environ.get("KANTOR_ADDRESS")):
            self._core.make_now()  # nothing has to start

    async def evaluate(
        self,
        terms: Terms,
        inputs: Mapping[str, Input] | None = None,
        /,
        *,
        gradients: Iterable[str] = (),
        extras: Iterable[str] = (),
        gradients_per_term: bool = False,
        seed: int = 0,
        timeout: float | None = None,
        **named: Input,
    ) -> Evaluation:
        """Computes an objective, with gradients: arguments, result and errors of kantor.Client.evaluate."""
        request, size = _codec.request(
            terms,
            _codec.merge(inputs, named),
            gradients=gradients,
            extras=extras,
            gradients_per_term=gradients_per_term,
            seed=_codec.seed(seed),
        )
        core = await self._started()

        async def compute() -> Evaluation:
            deadline = Deadline(self._seconds(timeout))
            if size >= LARGE_BYTES:  # which asks the server, perhaps
                await asyncio.to_thread(core._check, request, request.inputs, size, deadline)
            answer = await retrying(
                lambda left: core._transport().evaluate_later(request, left), deadline.left(), core._patience
            )
            return _codec.evaluation(answer)

        return await watching(compute, lambda: request, next(core._calls))

    def stream(
        self,
        terms: Terms,
        *,
        gradients: Iterable[str] = (),
        extras: Iterable[str] = (),
        gradients_per_term: bool = False,
        unordered: bool = False,
    ) -> Stream:
        """Returns a stream that computes one objective for batch after batch, to be used in an `async with`.

            async with client.stream(kantor.Sinkhorn(blur=0.5), gradients=["source.points"]) as stream:
                for step, (x, y) in enumerate(batches):
                    result = await stream.evaluate(source=x, target=y, seed=step)

        It opens where the `async with` begins, or with the first batch. The arguments are those of
        kantor.Client.stream.

        Raises:
            InvalidArgumentError: the objective is wrong, and where: here what cannot be sent, the rest where it opens.
        """
        objective = _codec.objective(terms, gradients, extras, gradients_per_term=gradients_per_term)
        return Stream(self, objective, unordered=unordered)

    async def diagnose(
        self,
        diagnostics: Diagnostics,
        inputs: Mapping[str, Input] | None = None,
        /,
        *,
        seed: int = 0,
        timeout: float | None = None,
        **named: Input,
    ) -> dict[str, DiagnosticResult]:
        """Computes numbers to look at once in a while: arguments, result and errors of kantor.Client.diagnose."""
        request, size = _codec.diagnose_request(diagnostics, _codec.merge(inputs, named), seed=_codec.seed(seed))
        core = await self._started()
        deadline = Deadline(self._seconds(timeout))
        if size >= LARGE_BYTES:  # which asks the server, perhaps
            await asyncio.to_thread(core._check, request, request.inputs, size, deadline)
        answer = await retrying(
            lambda left: core._transport().diagnose_later(request, left), deadline.left(), core._patience
        )
        return _codec.diagnosis(answer)

    async def info(self, *, timeout: float | None = None) -> ServerInfo:
        """Asks the server what it is and what it accepts."""
        core = await self._started()
        answer = await retrying(lambda left: core._transport().info_later(left), self._seconds(timeout), core._patience)
        return _codec.server_info(answer)

    async def aclose(self) -> None:
        """Closes the connection, which ends calls and streams, and ends the server if this client started it."""
        self._closed = True
        core = await self._core.get_if_asked_for()
        if core is not None:
            await asyncio.to_thread(core.close)

    async def _started(self) -> _client.Client:
        if self._closed:
            raise ClosedError("the client is closed")
        return await self._core.get()

    def _seconds(self, timeout: float | None) -> float | None:
        return self._timeout if timeout is None else timeout

    async def __aenter__(self) -> Client:
        await self._started()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __reduce__(self) -> tuple[functools.partial[Client], tuple[str]]:
        core = self._core.peek()
        if core is None:
            raise TypeError("cannot pickle a kantor.aio.Client whose server has not started: it has no address yet")
        token, tls = core._access.given
        return functools.partial(Client, timeout=self._timeout, token=token, tls=tls), (core.address,)
