"""When a call that failed is made again, and when it is given up.

Calls are pure, so that making one again is always safe. Worth it is only what can pass: a server that is away, or one
that says itself when to come back.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from kantor._errors import CallError, DeadlineError, UnavailableError
from kantor._fork import ForkedError, gate

T = TypeVar("T")

_FIRST_PAUSE = 0.05  # seconds before the second try; twice that before the third, and so on
_LONGEST_PAUSE = 1.0
_MOST_TRIES = 64
# Seconds that the tries of one call may take: a server that never answered is probably not there; one that did is
# being restarted.
_NEVER_SEEN_SECONDS = 3.0
_LOST_SECONDS = 30.0


class Deadline:
    """The end of what a call may take, from now; seconds=None: there is none."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._end = None if seconds is None else time.monotonic() + seconds

    def left(self) -> float | None:
        """Returns the seconds until then, 0 when it has passed; None: there is no end."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def error(self, what: str, more: str = "") -> DeadlineError:
        """Returns the error that says what did not happen in time."""
        return DeadlineError("DEADLINE_EXCEEDED", f"{what} within {self._seconds:g} s{more}")


class _Server(Protocol):
    """What Patience looks at of a server that the client started itself."""

    @property
    def trouble(self) -> str: ...

    @property
    def given_up(self) -> bool: ...

    def revive(self) -> None: ...


class Patience:
    """How long a client waits for its server, from what it knows of it.

    Attributes:
        answered: whether the server has answered this client before.
    """

    def __init__(self, server: _Server | None = None) -> None:
        self.answered = False
        self._server = server

    def seconds(self) -> float:
        """How long the tries of one call may take."""
        if self._server is not None and self._server.given_up:
            return 0
        return _LOST_SECONDS if self.answered or self._server is not None else _NEVER_SEEN_SECONDS

    def revive(self) -> None:
        """Tells a server of the client's own that a call did not reach it."""
        if self._server is not None:
            self._server.revive()

    def trouble(self) -> str:
        """What happened to a server of the client's own; empty: nothing, or it is another's."""
        return self._server.trouble if self._server is not None else ""


def retryable(error: Exception) -> bool:
    """Whether another try may end otherwise: a server says when to come back, or that it is not to be asked again."""
    if not isinstance(error, CallError):
        return False
    return isinstance(error, UnavailableError) or error.broken if error.retry_after is None else error.retry_after >= 0


class Tries:
    """The tries that failed of one call, or of one stream since its last answer."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._begun = time.monotonic()
        self._start = self._begun  # of patience: when the first try failed, which may have computed for long before
        self._count = 0

    def pause(self, error: Exception) -> float | None:
        """Counts a try that ended in error; returns the seconds until the next, or None: there is none."""
        if self._count == 0:
            self._start = time.monotonic()
        self._count += 1
        if not isinstance(error, CallError) or not retryable(error):
            return None
        if isinstance(error, UnavailableError):
            self._patience.revive()
        # Trainers that lost one server at once must not come back in step.
        pause = min(_FIRST_PAUSE * 2.0 ** (self._count - 1), _LONGEST_PAUSE) * random.uniform(0.5, 1)
        if error.retry_after is not None:
            pause = error.retry_after * random.uniform(1, 1.1)  # not before it is asked to
        late = time.monotonic() - self._start + pause > self._patience.seconds()
        told = error.retry_after is not None  # a server that is busy, and says for how long
        return None if late or (self._count >= _MOST_TRIES and not told) else pause

    def told(self, error: Exception) -> Exception:
        """Returns an error that says how often the call was tried, and what is known of the server."""
        if isinstance(error, CallError):
            error.tries, error.seconds = self._count, time.monotonic() - self._begun
            if isinstance(error, UnavailableError):
                error.hint = self._patience.trouble()
        return error


class Attempt:
    """One call, made again while that may help, without the waiting: whoever makes it waits in their own way."""

    def __init__(self, timeout: float | None, patience: Patience) -> None:
        self._deadline = Deadline(timeout)
        self._patience = patience
        self._tries = Tries(patience)
        self._left: float | None = None
        self._last = ""

    def left(self) -> float | None:
        """Returns what the next try may take of the timeout, in seconds; None: as long as it wants.

        Raises:
            DeadlineError: the timeout is over, with what the last try met.
        """
        self._left = self._deadline.left()
        if self._left == 0:
            raise self._tries.told(self._deadline.error("no result", self._last))
        return self._left

    def pause(self, error: CallError) -> float:
        """Returns the seconds to wait after a try that failed; raises the error, with how many there were, at the end.

        Raises:
            CallError: no other try would help.
        """
        pause = self._tries.pause(error)
        if pause is None:
            raise self._tries.told(error) from None
        self._last = f"; the last try met: {error}"
        return pause if self._left is None else min(pause, self._left)

    def answered(self) -> None:
        """Notes that the server is there."""
        self._patience.answered = True


def retrying(call: Callable[[float | None], T], timeout: float | None, patience: Patience) -> T:
    """Calls, with what is left of the timeout (seconds, None: no limit), again while that may help.

    Raises:
        CallError: of the last try, with how many there were.
        DeadlineError: when the timeout came first, with what the last try met.
    """
    attempt = Attempt(timeout, patience)
    while True:
        left = attempt.left()
        try:
            answer = call(left)
        except ForkedError:  # not the server's fault, and no try
            gate.wait()
        except CallError as error:
            time.sleep(attempt.pause(error))
        else:
            attempt.answered()
            return answer
