"""A server of the client's own: found, started on a private Unix socket, and ended with the process."""

from __future__ import annotations

import collections
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import weakref
from dataclasses import dataclass
from pathlib import Path

from kantor._errors import ServerNotFoundError, ServerStartError

READY_SECONDS = 20.0  # a start takes some 20 ms; the rest is for a machine that is busy
_STOP_SECONDS = 10.0
LOG_LINES = 1000
# A server that ends so often within so many seconds is not started again.
MOST_DEATHS = 5
DEATHS_SECONDS = 60.0
_SOCKET_PATH_BYTES = 100  # the kernel takes 108 on Linux, 104 on macOS


@dataclass(frozen=True)
class Place:
    """Where a server's binary may be.

    Attributes:
        path: of the binary; None: the place has none.
        source: how the place is called: `KANTOR_BINARY=`.
        fault: why what is there cannot be used; empty: it can be.
    """

    path: Path | None
    source: str
    fault: str

    def __str__(self) -> str:
        return f"{self.source}{'' if self.path is None else self.path} {self.fault}".rstrip()


def places() -> list[Place]:
    """Returns the places that are looked at, in their order: $KANTOR_BINARY, the wheel, the checkout, PATH."""
    named = os.environ.get("KANTOR_BINARY")
    here = Path(__file__).resolve()
    found = [
        _place(named, "KANTOR_BINARY=") if named else Place(None, "KANTOR_BINARY", "is not set"),
        _place(here.parent / "_bin" / "kantor", "the wheel's "),
    ]
    if len(here.parents) > 4 and (here.parents[4] / "go.mod").is_file():
        found.append(_place(here.parents[4] / "bin" / "kantor", "the checkout's "))
    on_path = shutil.which("kantor")
    found.append(_place(on_path, "PATH's ") if on_path else Place(None, "PATH", "has no kantor"))
    return found


def find_binary(binary: str | os.PathLike[str] | None = None) -> Path:
    """Returns the server's binary: the argument's, or that of the first place that has one.

    Raises:
        ServerNotFoundError: if there is none, or the one that was named cannot be used.
    """
    looked = [_place(binary, "binary=")] if binary else places()
    if looked[0].path is not None and looked[0].fault:
        raise ServerNotFoundError(str(looked[0]))
    for place in looked:
        if place.path is not None and not place.fault:
            return place.path
    raise ServerNotFoundError(
        f"no address was given and there is no kantor server to start: {'; '.join(map(str, looked))}. Install a wheel "
        "of kantor, which has one, or build one with `make build` in a checkout of kantor and put its path into "
        "KANTOR_BINARY, or give the address of a running one as Client(address) or in KANTOR_ADDRESS"
    )


def _place(path: str | os.PathLike[str], source: str) -> Place:
    if not Path(path).exists():
        fault = "does not exist"
    elif not Path(path).is_file() or not os.access(path, os.X_OK):
        fault = "is no executable file"
    else:
        fault = ""
    return Place(Path(path), source, fault)


class Server:
    """A running `kantor serve` on a private socket.

    It reads from a pipe that nobody writes to, and ends when this process is gone, however it went. If it ends before,
    it is started again on the same socket, a few times a minute at most.
    """

    def __init__(self, binary: Path, threads: int = 0) -> None:
        self._pid = os.getpid()
        self._binary = binary
        self._threads = threads
        self._directory = private_directory()
        self._socket = str(Path(self._directory, "kantor.sock"))
        self.address = f"unix:{self._socket}"
        self._log: collections.deque[str] = collections.deque(maxlen=LOG_LINES)
        self._deaths: collections.deque[float] = collections.deque(maxlen=MOST_DEATHS)
        self._last_death = ""
        self._given_up = False
        self._ready = False
        self._stopping = threading.Event()
        self._spawning = threading.Lock()
        try:
            self._process = self._spawn()
        except OSError as error:
            self._remove_directory()
            raise ServerStartError(f"{binary} cannot be started: {error}") from error
        self._watcher = threading.Thread(target=self._watch, name="kantor-server-log", daemon=True)
        self._watcher.start()
        _running.add(self)
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def _spawn(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [
                *[str(self._binary), "serve", "--listen", self.address, "--exit-with-stdin", "--remove-directory"],
                *["--log-format", "json", "--threads", str(self._threads)],
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,  # an interrupt at the terminal is this process's to handle
        )

    @property
    def log(self) -> tuple[str, ...]:
        """The last lines that the server wrote to its standard error, JSON each."""
        return tuple(self._log)

    @property
    def trouble(self) -> str:
        """How the server has ended when nobody asked it to; empty: it has not, or this is not its process."""
        if not self._last_death or os.getpid() != self._pid:
            return ""
        again = "and is not started again" if self._given_up else "and was started again"
        return f"the server that this client started {self._last_death}, {again}"

    @property
    def given_up(self) -> bool:
        """Whether it ended too often to be started again."""
        return self._given_up and os.getpid() == self._pid

    def _watch(self) -> None:
        """Reads the log and, where the server ends by itself, starts it again."""
        while True:
            self._read_log(self._process)
            ended = f"ended with {status_text(self._process.wait())}"
            with self._spawning:
                if self._stopping.is_set() or not self._ready:
                    return
                self._note_death(ended)
                if self._given_up:
                    return
                if self._process.stdin is not None:
                    self._process.stdin.close()
                try:
                    self._process = self._spawn()
                except OSError as error:
                    self._last_death, self._given_up = f"{ended}, cannot be started again: {error}", True
                    return

    def _note_death(self, how: str) -> None:
        now = time.monotonic()
        self._deaths.append(now)
        recent = sum(now - death < DEATHS_SECONDS for death in self._deaths)
        self._given_up = recent >= MOST_DEATHS
        self._last_death = how if recent == 1 else f"{how}, as {recent} times within {DEATHS_SECONDS:g} s"

    def _read_log(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stderr is not None
        with process.stderr as lines:
            for line in lines:
                self._log.append(line.decode(errors="replace").rstrip())

    def _wait_until_ready(self) -> None:
        if fault := await_socket(self._process, self._socket):
            self.stop()
            raise ServerStartError("\n".join([f"{self._binary} serve {fault}", *self.log[-10:]]))
        self._ready = True

    def revive(self) -> None:
        """Does nothing: a server that ends is started again by the thread that watches it."""

    def stop(self) -> None:
        """Ends the server and waits for it. In a forked child, whose parent's the server is, it does nothing."""
        if os.getpid() != self._pid or self._stopping.is_set():
            return
        self._stopping.set()
        with self._spawning:
            process = self._process
        if process.stdin is not None:
            process.stdin.close()
        try:
            for end in (process.terminate, process.kill):
                try:
                    process.wait(_STOP_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    end()
        finally:  # an interrupt asks for the end now
            process.kill()
            process.wait()
            self._watcher.join(_STOP_SECONDS)
            self._remove_directory()

    def let_go(self) -> None:
        """Closes a forked child's end of the pipe, so that the server ends with the process that started it."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    def _remove_directory(self) -> None:
        shutil.rmtree(self._directory, ignore_errors=True)


def status_text(code: int) -> str:
    """Says how a process ended: `status 3`, `SIGKILL`."""
    try:
        return f"status {code}" if code >= 0 else signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def private_directory() -> str:
    """Makes a directory that only this user may enter (mode 0700), with a name short enough for a socket in it."""
    directory = tempfile.mkdtemp(prefix="kantor-")
    if not fits(directory):
        Path(directory).rmdir()
        directory = tempfile.mkdtemp(prefix="kantor-", dir="/tmp")
    return directory


def fits(directory: str | os.PathLike[str]) -> bool:
    """Whether the path of a socket in the directory is short enough for the kernel."""
    return len(os.fsencode(directory)) + len("/kantor.sock") <= _SOCKET_PATH_BYTES


def await_socket(process: subprocess.Popen[bytes], path: str) -> str:
    """Waits for a server to listen; returns what came instead, empty: it does."""
    deadline = time.monotonic() + READY_SECONDS
    while not accepts(path):
        status = process.poll()
        if status is not None:
            return f"ended with {status_text(status)}"
        if time.monotonic() > deadline:
            return f"was not ready after {READY_SECONDS:g} s"
        time.sleep(0.002)
    return ""


def accepts(path: str) -> bool:
    """Whether somebody listens on a Unix socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except BlockingIOError:  # too many others wait to be accepted
            return True
        except OSError:
            return False
        return True


_running: weakref.WeakSet[Server] = weakref.WeakSet()


def _let_go() -> None:
    for server in list(_running):
        server.let_go()
    _running.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
