"""The client."""

from __future__ import annotations

import functools
import itertools
import os
import weakref
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any

from kantor import _codec, _dump
from kantor._diagnostics import Diagnostics
from kantor._errors import ClosedError
from kantor._inputs import Input
from kantor._objective import Terms
from kantor._results import DiagnosticResult, Evaluation, ServerInfo
from kantor._retry import Deadline, Patience, retrying
from kantor._security import Access, Token
from kantor._server import Server, find_binary
from kantor._shared_server import SharedServer, start
from kantor._stream import Stream
from kantor._tls import TLS
from kantor._transport import PerProcess, Transport
from kantor.v1 import loss_service_pb2


class Client:
    """A client of a kantor server, which it starts if need be.

    It is used in a `with`, closed, or left to the end of the process. Threads may share it, a forked child may go on
    with it, and it can be pickled: the copy talks to the same server and never ends it.

    Args:
        address: of a running server: `host:port` or `unix:/path`. None: that in $KANTOR_ADDRESS; without it the client
            starts a server of its own on a private Unix socket, which ends with the client, or with the process however
            that ends. Ranks of one job on one machine, under torchrun, SLURM or Open MPI, share one.
        binary: the server to start. None: that in $KANTOR_BINARY, in the wheel, in the checkout that the package is
            installed from or on PATH.
        timeout: seconds that a call may take, repetitions included; None: no limit.
        threads: that compute in the server that the client starts. None: $KANTOR_THREADS; 0, and without it: as many as
            the process may use by its affinity mask and its control group's quota.
        share: whether a server is shared with the other ranks of the job. A name: with every process of the user's that
            gives it. None: $KANTOR_SHARE, which is 0, 1 or a name; without it, they share.
        token: that the server at the address wants: its text, a path of a file with it, or a function that returns it;
            the latter two are asked for every call, so that it can be replaced. None: $KANTOR_TOKEN or, in a file,
            $KANTOR_TOKEN_FILE. It is never sent in plain text to another machine.
        tls: how the connection is encrypted: a path of the authorities' certificates, True for those that gRPC comes
            with, or a TLS, which can show a certificate too. None: the path in $KANTOR_TLS_CA; without it, not at all.

    A call that finds the server away is made again: for half a minute if that server has answered before or is the
    client's own, which is started again; else for three seconds.

    Raises:
        InvalidArgumentError: threads, share, token or tls are wrong.
        ServerNotFoundError: there is no address and no binary.
        ServerStartError: the binary was started and did not get ready.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        binary: str | os.PathLike[str] | None = None,
        timeout: float | None = 600,
        threads: int | None = None,
        share: bool | str | None = None,
        token: Token | None = None,
        tls: bool | str | os.PathLike[str] | TLS | None = None,
    ) -> None:
        self._server: Server | SharedServer | None = None
        if address and (threads is not None or share is not None):
            raise ValueError("want an address or, for a server that the client starts, threads and share, not both")
        if binary is None:
            address = address or os.environ.get("KANTOR_ADDRESS")
        elif address:
            raise ValueError("want an address or a binary, not both")
        if not address:
            if token is not None or tls is not None:
                raise ValueError("token and tls are for a server at an address, and there is none")
            self._server = start(find_binary(binary), threads, share)
            address = self._server.address
            self._stop = weakref.finalize(self, self._server.stop)
        self._access = Access(address, token, tls, os.environ if self._server is None else {})
        self.address = address
        self._timeout = timeout
        self._closed = False
        self._calls = itertools.count(1)
        self._patience = Patience(self._server)
        self._transports = PerProcess(functools.partial(Transport, address, self._access), Transport.close)

    def evaluate(
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
        """Computes an objective, with gradients.

            client.evaluate(kantor.Sinkhorn(blur=0.5), source=x, target=y, gradients=["source.points"])

        Args:
            terms: what to compute: a term, a sum of terms, or a list of them.
            inputs: the arguments by the names that the terms use: a Measure (or an array, its points), a Gaussian, a
                Prior, such as StandardNormal(), or a ConeCriticState. As a mapping here or as keywords, whatever reads
                better; a name that is a keyword of this method's, such as `seed`, only here.
            gradients: which to return, as `input.field`: `source.points`, `posterior.log_variance`.
            extras: what else to return, as `term.extra`: `sinkhorn.potentials`.
            gradients_per_term: returns them for each term's own unweighted value as well, in its result.
            seed: of everything random that the server does.
            timeout: seconds; None: the client's timeout.
            **named: the arguments by name.

        Raises:
            InvalidArgumentError: an argument is wrong, and which.
            CallError: the server did not answer with a result.
        """
        request, size = _codec.request(
            terms,
            _codec.merge(inputs, named),
            gradients=gradients,
            extras=extras,
            gradients_per_term=gradients_per_term,
            seed=_codec.seed(seed),
        )
        timeout = self._timeout if timeout is None else timeout

        def compute() -> Evaluation:
            answer = retrying(
                lambda left: self._transport().evaluate(request, left, size=size), timeout, self._patience
            )
            return _codec.evaluation(answer)

        return _dump.watching(compute, lambda: request, next(self._calls))

    def stream(
        self,
        terms: Terms,
        *,
        gradients: Iterable[str] = (),
        extras: Iterable[str] = (),
        gradients_per_term: bool = False,
        unordered: bool = False,
    ) -> Stream:
        """Opens a stream that computes one objective for batch after batch, so that a step sends its data only.

            with client.stream(kantor.Sinkhorn(blur=0.5), gradients=["source.points"]) as stream:
                for step, (x, y) in enumerate(batches):
                    result = stream.evaluate(source=x, target=y, seed=step)

        Args:
            terms: as in evaluate.
            gradients: as in evaluate.
            extras: as in evaluate.
            gradients_per_term: as in evaluate.
            unordered: whether answers of batches that were submitted together may come as they finish.

        Raises:
            InvalidArgumentError: the objective is wrong, and where.
            CallError: the stream could not be opened.
        """
        objective = _codec.objective(terms, gradients, extras, gradients_per_term=gradients_per_term)
        stream = self._unopened(objective, unordered=unordered)
        # The objective is refused here, not with the first batch.
        stream._session(stream._deadline(None))
        return stream

    def _unopened(self, objective: loss_service_pb2.Objective, *, unordered: bool) -> Stream:
        return Stream(self._transport, objective, unordered=unordered, timeout=self._timeout, patience=self._patience)

    def diagnose(
        self,
        diagnostics: Diagnostics,
        inputs: Mapping[str, Input] | None = None,
        /,
        *,
        seed: int = 0,
        timeout: float | None = None,
        **named: Input,
    ) -> dict[str, DiagnosticResult]:
        """Computes numbers that tell how a latent space is doing, to look at once in a while: they have no gradients.

            client.diagnose(kantor.ActiveUnits(), posterior=kantor.Gaussian(mean, log_variance))["active_units"].value

        Args:
            diagnostics: one, such as Entropy(), or a list of them.
            inputs: the arguments, as in evaluate.
            seed: of everything random that the server does.
            timeout: seconds; None: the client's timeout.
            **named: the arguments by name.

        Returns:
            The results by the diagnostics' names.

        Raises:
            InvalidArgumentError: an argument is wrong, and which.
            CallError: the server did not answer with a result.
        """
        request, size = _codec.diagnose_request(diagnostics, _codec.merge(inputs, named), seed=_codec.seed(seed))
        deadline = Deadline(self._timeout if timeout is None else timeout)
        self._check(request, request.inputs, size, deadline)
        return _codec.diagnosis(
            retrying(lambda left: self._transport().diagnose(request, left), deadline.left(), self._patience)
        )

    def info(self, *, timeout: float | None = None) -> ServerInfo:
        """Asks the server what it is and what it accepts."""
        timeout = self._timeout if timeout is None else timeout
        return _codec.server_info(retrying(lambda left: self._transport().info(left), timeout, self._patience))

    @property
    def server_log(self) -> tuple[str, ...]:
        """The last lines, JSON each, that a server of this client's own wrote to its log.

        After close() the very last one has its counts, unless other ranks go on with it. Empty where the server is
        another's.
        """
        return self._server.log if self._server else ()

    def close(self) -> None:
        """Closes the connection, which ends its streams, and ends a server of this client's own.

        One that it shares with other ranks ends with the last of them.
        """
        self._closed = True
        transport = self._transports.pop()
        if transport is not None:
            transport.close()
        if self._server is not None:
            self._stop()

    def _check(self, request: Any, inputs: Mapping[str, Any], size: int, deadline: Deadline) -> None:
        """Raises a TooLargeError for a request, or a batch of a stream, that the server does not take."""
        retrying(lambda left: self._transport().check(request, inputs, size, left), deadline.left(), self._patience)

    def _transport(self) -> Transport:
        if self._closed:
            raise ClosedError("the client is closed")
        transport = self._transports.get()
        if transport.left:
            self._transports.drop(transport)
            transport = self._transports.get()
        return transport

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[functools.partial[Client], tuple[str]]:
        token, tls = self._access.given
        return functools.partial(Client, timeout=self._timeout, token=token, tls=tls), (self.address,)

    def __repr__(self) -> str:
        return f"kantor.Client({self.address!r})"


@functools.cache
def shared() -> Client:
    """Returns the client of whoever did not make one; its server, if it had to start one, ends with the process."""
    return Client()
