"""Everything that kantor raises.

    KantorError
    ├── InvalidArgumentError   also a ValueError: an argument is wrong, and it says which
    ├── ServerNotFoundError    no address was given and there is no binary to start
    ├── ServerStartError       the binary was started and did not get ready
    ├── ClosedError            the client or the stream was closed before
    └── CallError              the server did not answer the call with a result
        ├── UnavailableError   it cannot be reached, or went away; the call was retried
        ├── DeadlineError      also a TimeoutError: the timeout came first
        ├── CancelledError     the call was cancelled
        ├── OverloadedError    it is out of room; where it said when to come back, the client did
        ├── TooLargeError      the request or its answer is larger than the server's limit
        ├── UnauthenticatedError  it wants a token, or another one
        ├── UnsupportedError   it is too old to know the call
        └── InternalError      its own fault, or one nobody thought of

That a solver did not converge is no error: it is in the result.
"""

from __future__ import annotations

import re


class KantorError(Exception):
    """Whatever kantor raises."""


class InvalidArgumentError(KantorError, ValueError):
    """An argument is wrong; the call was not computed.

    The message says which, what it is and what it should be. The same call fails again.

    Attributes:
        field: where it stands in the request: `inputs["source"].points`, `objective.terms[1].sinkhorn.blur`.
        argument: the same in the words of the Python call: `source.points`, `terms[1].blur`.
        reason: what is wrong with it.
    """

    def __init__(self, field: str, reason: str) -> None:
        self.field = field
        self.reason = reason
        self.argument: str = _argument(field)
        super().__init__(f"{self.argument}: {reason}" if field else reason)

    def __reduce__(self) -> tuple[type[InvalidArgumentError], tuple[str, str]]:
        return type(self), (self.field, self.reason)


class ServerNotFoundError(KantorError):
    """There is no server to talk to: no address was given and no binary was found.

    The message says where was looked. Install a wheel of kantor, build one with `make build`, or give an address;
    `python -m kantor doctor` checks all of it.
    """


class ServerStartError(KantorError):
    """The server was started and ended, or did not get ready in time.

    The message ends with what the server wrote, which says why; `python -m kantor doctor` looks at the binary.
    """


class ClosedError(KantorError):
    """The client or the stream has been closed.

    Make another, or leave the `with` only after the last call.
    """


class CallError(KantorError):
    """The server did not answer with a result.

    Attributes:
        code: the gRPC status code's name: `UNAVAILABLE`.
        message: what the server or gRPC said.
        retry_after: seconds after which the server wants to be asked again, where it says so; negative: never.
        tries: how often the call was made.
        seconds: that these tries took together.
        hint: what else is known, such as how a server that the client started has ended.
        broken: whether it is not the server's word but that of a connection, such as one whose bytes were damaged.
    """

    def __init__(self, code: str, message: str, retry_after: float | None = None) -> None:
        self.code = code
        self.message = message
        self.retry_after = retry_after
        self.tries = 1
        self.seconds: float = 0.0
        self.hint = ""
        self.broken = False
        super().__init__(code, message, retry_after)

    def __str__(self) -> str:
        often = f", {self.tries} tries in {self.seconds:.1f} s" if self.tries > 1 else ""
        return f"{self.message} [{self.code}{often}]" + (f"; {self.hint}" if self.hint else "")


class UnavailableError(CallError):
    """The server cannot be reached, or went away.

    The client tried again before it raised this: half a minute a server that it has seen, three seconds another. Look
    whether it runs at the address; its log says why it ended. `python -m kantor doctor` says what does not work.
    """


class DeadlineError(CallError, TimeoutError):
    """The timeout came before the result, and the server stopped to compute it.

    Give more (`timeout=`), ask for less (fewer points, a larger tolerance or blur), or see in the message what went
    wrong meanwhile.
    """


class CancelledError(CallError):
    """The call was cancelled: its stream was closed, or the server gave it up.

    Where neither was meant, what closes streams is to be looked for; the call itself may be made again.
    """


class OverloadedError(CallError):
    """The server is out of room. Where it said when to come back the client did, until its patience or time was up.

    Send less at once, from fewer clients, or give the server more processors or memory.
    """


class TooLargeError(CallError):
    """The request, or its answer, is larger than the server's limit; it was not tried again, and a stream lives on.

    The message says how many bytes there are, how many there may be, and which input is the largest. Send fewer rows or
    problems at once, or float32, or ask for fewer gradients and extras; or raise the limit of the server with `kantor
    serve --max-message-size SIZE`.

    Attributes:
        limit: bytes that a message may have; 0: not known.
    """

    limit: int = 0


class UnauthenticatedError(CallError):
    """The server wants a token that it knows, and the call had none or another.

    Give it as `Client(token=...)`, in KANTOR_TOKEN, or in a file that KANTOR_TOKEN_FILE names; whoever runs the server
    has it. Where tokens are replaced, a client with a file takes the new one with its next call.
    """


class UnsupportedError(CallError):
    """The server does not know the call: it is older than this client, or not a kantor.

    Start one of the client's own version; `client.info().build.version` tells the server's.
    """


class InternalError(CallError):
    """The server failed by its own fault, or in a way that nobody thought of.

    Please report it, with the request that KANTOR_DUMP=DIR keeps and the server's log.
    """


def refusal_of_a_second_derivative(hint: str = "") -> RuntimeError:
    """Returns what the front ends of frameworks raise that differentiate; the hint says what to do instead."""
    return RuntimeError(f"kantor's losses can be differentiated once, and this asks for a second derivative{hint}")


def _argument(field: str) -> str:
    """Says a path in the request in the words of the Python call."""
    field = re.sub(r"^(open\.|batch\.)?(objective\.)?", "", field)
    field = re.sub(r'^inputs\["([^"]*)"\](\.prior(\.[a-z_]+)?(?=\.))?', r"\1", field)
    return re.sub(r"^(terms\[\d+\])\.(?!name$|weight$)[a-z_]+\.", r"\1.", field)
