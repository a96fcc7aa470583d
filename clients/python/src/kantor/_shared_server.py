"""A server that several processes of this machine share: whoever comes first starts it, and it ends after the last.

They meet in a directory that belongs to the user alone and is named after what they have in common. Every process holds
a shared lock on the file `lease`; the server waits for the exclusive one, which the kernel grants when the last of them
is gone, however it went. With it in hand the server removes the directory, `lease` as the last of its files. A process
that gets a lock and finds that the file is no longer at its path begins again. Who has the lease and finds no server
starts one, with a lock on `lease.start` meanwhile, so that nobody else does.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import stat
import subprocess
import tempfile
import threading
import time
import weakref
from pathlib import Path

from kantor import _server
from kantor._errors import InvalidArgumentError, KantorError, ServerStartError
from kantor._jobs import job
from kantor._server import Server
from kantor._version import VERSION

_JOIN_PAUSE = 0.005  # seconds until another look at a lock
_LOG_TAIL_BYTES = 1 << 18
# Variables that a server of Go's, or kantor's kernels, look at: with other values it is another server.
_VARIABLES = ("KANTOR_VEC", "GOMAXPROCS", "GOGC", "GOMEMLIMIT", "GODEBUG")


def start(binary: Path, threads: int | None = None, share: bool | str | None = None) -> Server | SharedServer:
    """Starts a server, or joins the one that this process's job has.

    Args:
        binary: of the server.
        threads: that compute. None: $KANTOR_THREADS; 0, and without it: as many as this process may use.
        share: as in `kantor._jobs.job`.

    Raises:
        InvalidArgumentError: the number of threads is none, or the name is empty.
        ServerStartError: it did not get ready.
    """
    threads = _threads(threads)
    name = job(share)
    return SharedServer(binary, name, threads) if name else Server(binary, threads)


def _threads(threads: int | None) -> int:
    given = os.environ.get("KANTOR_THREADS", "").strip() or "0" if threads is None else str(threads)
    if not given.isdecimal():
        field = "KANTOR_THREADS" if threads is None else "threads"
        raise InvalidArgumentError(field, f"got {given!r}, want a number of threads, 0 for all")
    return int(given)


class SharedServer:
    """This process's hold on a server that others use too.

    Nobody watches the server. When a call finds it gone, the first process that gets `lease.start` starts it again on
    the same socket, a few times a minute at most.
    """

    def __init__(self, binary: Path, name: str, threads: int) -> None:
        self.directory = _directory(binary, name, threads)
        self._name = name
        self._socket = str(self.directory / "kantor.sock")
        self.address = f"unix:{self._socket}"
        self._lease_path = str(self.directory / "lease")
        self.log_path = self._lease_path + ".log"
        life = ["--exit-with-lease", self._lease_path, "--remove-directory"]
        rest = ["--listen", self.address, "--log-format", "json", "--threads", str(threads)]
        self._command = [str(binary), "serve", *life, *rest]
        self._pid = os.getpid()
        self._locks: set[int] = set()  # descriptors of all files that this process has locked
        self._lease = -1
        self._last_log: tuple[str, ...] = ()
        self._trouble = ""
        self._given_up = False
        self._reviving = threading.Lock()
        _held.add(self)
        self._join()

    @property
    def log(self) -> tuple[str, ...]:
        """The last lines that the server wrote, JSON each, whoever started it; of a closed client those at its end."""
        return self._last_log if self._lease < 0 and os.getpid() == self._pid else self._read_log()

    @property
    def trouble(self) -> str:
        """What happened to the server, as far as this process has met it; empty: nothing."""
        return self._trouble

    @property
    def given_up(self) -> bool:
        """Whether it ended too often to be started again."""
        return self._given_up

    def revive(self) -> None:
        """Sees, beside whoever calls, that the server is started again if it is gone and no other process does."""
        if not self._given_up and self._reviving.acquire(blocking=False):
            threading.Thread(target=self._revive, name="kantor-server-start", daemon=True).start()

    def _revive(self) -> None:
        try:
            closed = self._lease < 0 and os.getpid() == self._pid
            if not closed and not _server.accepts(self._socket) and not self._try_to_join():
                self._trouble = self._told("has ended, and another process is starting it again")
        except (KantorError, OSError) as error:
            self._trouble, self._given_up = str(error), True
        finally:
            self._reviving.release()

    def stop(self) -> None:
        """Leaves the server to the others; it ends with the last. In a forked child it does nothing."""
        if os.getpid() != self._pid or self._lease < 0:
            return
        starting = not self._reviving.acquire(timeout=_server.READY_SECONDS)
        self._last_log = self._read_log()
        lease, self._lease = self._lease, -1
        self._unlock(lease)
        if not starting:
            self._reviving.release()

    def let_go(self) -> None:
        """Closes a forked child's copies of the locks, so that they end with the process that took them."""
        for descriptor in self._locks:
            os.close(descriptor)
        self._locks.clear()
        self._lease = -1
        self._reviving = threading.Lock()

    def _join(self) -> None:
        limit = 2 * _server.READY_SECONDS  # for another to start it; and one that ends may take as long
        deadline = time.monotonic() + limit
        while not self._try_to_join():
            if time.monotonic() > deadline:
                who = f"another process holds {self._lease_path}.start, or an old server does not end"
                advice = "KANTOR_SHARE=0 gives every process one of its own"
                raise ServerStartError(self._told(f"was not there after {limit:g} s: {who}; {advice}"))
            time.sleep(_JOIN_PAUSE)

    def _told(self, what: str) -> str:
        return f"the server that {self._name} shares {what}; its log is {self.log_path}"

    def _try_to_join(self) -> bool:
        """Takes the lease and sees that there is a server; False: another process has to do something first."""
        descriptors: list[int] = []
        try:
            _make(self.directory)
            for path, how in ((self._lease_path, fcntl.LOCK_SH), (f"{self._lease_path}.start", fcntl.LOCK_EX)):
                descriptor = self._lock(path, how)
                if descriptor is None:
                    return False
                descriptors.append(descriptor)
            if not _server.accepts(self._socket):
                self._start(descriptors[1])
            if os.getpid() == self._pid:  # a forked child may start the server again, for its parent
                descriptors[0], self._lease = self._lease, descriptors[0]
            return True
        except FileNotFoundError:  # a server has just removed the directory
            return False
        except OSError as error:
            raise ServerStartError(f"no server can be shared in {self.directory}: {error}") from error
        finally:
            for descriptor in descriptors:
                self._unlock(descriptor)

    def _lock(self, path: str, how: int) -> int | None:
        """Opens and locks a file; None: another process has it, or has removed it."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        self._locks.add(descriptor)
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), os.lstat(path)):
                return descriptor
        except (BlockingIOError, FileNotFoundError):
            pass
        except OSError as error:
            self._unlock(descriptor)
            advice = "set TMPDIR to a folder on a disk of this machine, or KANTOR_SHARE=0: a server for every process"
            raise ServerStartError(f"{path} cannot be locked: {error.strerror}; {advice}") from error
        self._unlock(descriptor)
        return None

    def _unlock(self, descriptor: int) -> None:
        if descriptor in self._locks:
            self._locks.discard(descriptor)
            os.close(descriptor)

    def _start(self, starts: int) -> None:
        """Starts the server, with `lease.start` in hand, which keeps the times of the last starts."""
        now = time.monotonic()  # of all processes of a machine alike
        recent = [t for t in map(float, os.pread(starts, 1 << 12, 0).split()) if now - t < _server.DEATHS_SECONDS]
        if len(recent) >= _server.MOST_DEATHS:
            often = f"was started {len(recent)} times within {_server.DEATHS_SECONDS:g} s"
            raise ServerStartError(self._told(f"{often}, and is not started again"))
        if recent:
            self._trouble = self._told("has ended, and was started again")
        self._sweep()
        os.ftruncate(starts, 0)
        os.pwrite(starts, " ".join(map(repr, [*recent, now])).encode(), 0)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        log = os.open(self.log_path, flags, 0o600)
        try:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,  # it is not for a signal to this process's group
            )
        except OSError as error:
            raise ServerStartError(f"{self._command[0]} cannot be started: {error}") from error
        finally:
            os.close(log)
        if fault := _server.await_socket(process, self._socket):
            process.kill()
            process.wait()
            text = f"{self._command[0]} serve {fault}; its log is {self.log_path}"
            raise ServerStartError("\n".join([text, *self._read_log()[-10:]]))
        threading.Thread(target=_reap, args=(process.pid, self.log_path), name="kantor-server", daemon=True).start()
        process.returncode = 0  # not this object's to wait for: it warns if it is dropped before the end

    def _sweep(self) -> None:
        """Removes what jobs have left behind that were killed together with their server."""
        for directory in self.directory.parent.glob(f"kantor-{os.getuid()}-*"):
            lease = directory / "lease"
            with contextlib.suppress(OSError, ServerStartError):  # somebody else does the same, or has come
                if directory == self.directory or _fault(directory):
                    continue
                descriptor = self._lock(str(lease), fcntl.LOCK_EX) if lease.exists() else -1
                if descriptor is None:
                    continue
                try:
                    for name in ("kantor.sock", "lease.log", "lease.start", "lease"):
                        (directory / name).unlink(missing_ok=True)
                    directory.rmdir()
                finally:
                    self._unlock(descriptor)

    def _read_log(self) -> tuple[str, ...]:
        try:
            with Path(self.log_path).open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - _LOG_TAIL_BYTES))
                lines = file.read().decode(errors="replace").splitlines()
        except OSError as error:
            return (json.dumps({"level": "WARN", "msg": f"no log: {error}"}),)
        return tuple(lines[size > _LOG_TAIL_BYTES :][-_server.LOG_LINES :])


def _reap(pid: int, log: str) -> None:
    """Waits for the server, as its parent has to, and writes down what it cannot say itself: how it was ended."""
    try:
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if status:
            line = json.dumps({"level": "ERROR", "msg": f"the server ended with {_server.status_text(status)}"})
            file = os.open(log, os.O_WRONLY | os.O_APPEND)
            os.write(file, line.encode() + b"\n")
            os.close(file)
    except OSError:  # the program has waited for all its children, or there is no log any more
        pass


def _directory(binary: Path, name: str, threads: int) -> Path:
    """Where the processes meet that have the name, the binary, its settings and the processors in common."""
    file = binary.resolve()
    state = file.stat()
    processors = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    settings = [os.environ.get(variable) for variable in _VARIABLES]
    # A temporary directory may be several machines', a binary may be built anew. A server of ranks that are bound to
    # their own processors has those of one of them; they have one each.
    what = [name, platform.node(), VERSION, str(file), state.st_ino, state.st_size, state.st_mtime_ns]
    key = hashlib.sha256(repr([*what, threads, settings, processors]).encode()).hexdigest()[:16]
    directory = Path(tempfile.gettempdir(), f"kantor-{os.getuid()}-{key}")
    return directory if _server.fits(directory) else Path("/tmp", directory.name)


def _make(directory: Path) -> None:
    """Makes the directory; raises a ServerStartError if it is there and another user's, a link, or open to others."""
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        pass
    except OSError as error:
        advice = "set TMPDIR to a folder you may write to"
        raise ServerStartError(f"{directory} cannot be made: {error.strerror}; {advice}") from error
    if fault := _fault(directory):
        advice = "remove it, set TMPDIR to a folder of your own, or KANTOR_SHARE=0"
        raise ServerStartError(f"{directory} {fault}: {advice}")


def _fault(directory: Path) -> str:
    """Says why a directory is not one that nobody but this user can have put something into; empty: it is."""
    found, user = directory.lstat(), os.getuid()
    if stat.S_ISDIR(found.st_mode) and found.st_uid == user and not stat.S_IMODE(found.st_mode) & 0o077:
        return ""
    mode = stat.filemode(found.st_mode)
    return f"is {mode} of user {found.st_uid}, want a directory of user {user} alone (drwx------)"


_held: weakref.WeakSet[SharedServer] = weakref.WeakSet()


def _let_go() -> None:
    for server in list(_held):
        server.let_go()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
