"""Keeps threads out of gRPC while the process forks.

A thread that is inside gRPC at that moment leaves its locks behind, which nobody opens in the child: it hangs or is
aborted with the first call that it makes itself.

Certain is this: at the fork no thread of Python's is inside a call of this client, no call of its is under way, and the
child makes a channel of its own. Not certain is what gRPC's own threads do at that moment. They have locks too, each
for moments, while they clean up after a call, and can be neither stopped nor asked whether they are done: gRPC's own
support for forks has to be chosen in the environment before gRPC is imported. So after calls that a fork has ended they
are given a pause, and after others none. A child that must not hang for certain is one that is spawned, which inherits
no lock.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from kantor._errors import UnavailableError

# A call may end by itself before it is ended; it is made again after the fork.
_GRACE_SECONDS = 0.1
_END_SECONDS = 5.0
_SETTLE_SECONDS = 0.02


class ForkedError(UnavailableError):
    """Where the answer would be when the process forked: whoever wants it asks again."""

    def __init__(self) -> None:
        super().__init__("UNAVAILABLE", "the process forked")


class Gate:
    """What every call passes on its way into gRPC; closed around a fork, with nobody behind it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()  # guards all that follows
        self._forks = 0  # under way
        self._inside: list[Callable[[], None]] = []  # how each call that is inside is ended

    @property
    def closed(self) -> bool:
        """Whether the process is about to fork."""
        return self._forks > 0

    @contextlib.contextmanager
    def inside(self, end: Callable[[], None]) -> Iterator[None]:
        """Holds a fork up while the block runs; end() is called from another thread to make it return soon.

        Raises:
            ForkedError: where the gate is closed.
        """
        with self._changed:
            if self._forks:
                raise ForkedError
            self._inside.append(end)
        try:
            yield
        finally:
            with self._changed:
                if end in self._inside:  # not where this thread itself has forked
                    self._inside.remove(end)
                self._changed.notify_all()

    def wait(self) -> None:
        """Waits for the gate to be open."""
        with self._changed:
            self._changed.wait_for(lambda: not self._forks)

    def close(self) -> None:
        """Lets nobody in."""
        with self._changed:
            self._forks += 1

    def clear(self, settle: bool) -> None:
        """Waits for who is inside to come out, and ends the calls that last.

        Args:
            settle: whether calls were ended just now. gRPC cleans up after one on threads of its own, and nothing tells
                the end of that, so that they are given a moment: likely enough, not certainly.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: not self._inside, _GRACE_SECONDS):
                settle = True
            ends = list(self._inside)
        for end in ends:
            end()
        with self._changed:
            self._changed.wait_for(lambda: not self._inside, _END_SECONDS)
        if settle:
            time.sleep(_SETTLE_SECONDS)

    def open(self) -> None:
        """Lets callers in again, after the fork."""
        with self._changed:
            self._forks -= 1
            self._changed.notify_all()

    def renew(self) -> None:
        """Makes it that of a forked child, which has one thread: another may have held the lock."""
        self.__init__()  # type: ignore[misc]


gate = Gate()
