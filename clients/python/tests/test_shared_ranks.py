"""One server for several processes: who starts it, who ends it, and what is left behind."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

import kantor
from conftest import BINARY
from shared_rank import servers, value
from test_server import wait_until_gone

TESTS = Path(__file__).parent
SECONDS = 60.0  # for what takes a moment on a machine that is not busy


class Rank:
    """A process of shared_rank.py."""

    def __init__(self, environment: dict[str, str], binary: Path = BINARY) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", TESTS / "shared_rank.py", binary],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**{k: v for k, v in os.environ.items() if k != "KANTOR_SHARE"}, **environment},
            bufsize=0,
        )
        self._directory: Path | None = None

    @property
    def directory(self) -> Path:
        """Where its server is."""
        if self._directory is None:
            self._directory = Path(self.told())
        return self._directory

    @property
    def server(self) -> int:
        """The only server there."""
        self.tell("pid")
        (pid,) = self.told().split()
        return int(pid)

    def tell(self, word: str) -> None:
        assert self.directory
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n".encode())

    def told(self) -> str:
        out = self.process.stdout
        assert out is not None
        assert select.select([out], [], [], SECONDS)[0], "no answer"
        return out.readline().decode().rstrip("\n")

    def ask(self, word: str) -> str:
        self.tell(word)
        return self.told()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


class Job:
    """Ranks that are killed at the end of a test."""

    def __init__(self, temporary: Path) -> None:
        self.temporary = temporary
        self.ranks: list[Rank] = []

    def start(self, count: int = 1, **environment: str) -> list[Rank]:
        environment.setdefault("TMPDIR", str(self.temporary))
        started = [Rank(environment) for _ in range(count)]
        self.ranks += started
        return started


@pytest.fixture
def launched(temporary: Path) -> Iterator[Job]:
    made = Job(temporary)
    yield made
    for rank in made.ranks:
        rank.kill()


def slurm(step: str = "0") -> dict[str, str]:
    return {"SLURM_JOB_ID": "17", "SLURM_STEP_ID": step, "SLURM_LOCALID": "1", "SLURM_TASKS_PER_NODE": "4"}


def starts(directory: Path) -> int:
    """How many servers were started there, by what whoever starts one notes."""
    return len((directory / "lease.start").read_text().split())


def test_ranks_of_slurm_share_one_server_to_the_end_of_the_last(launched: Job) -> None:
    ranks = launched.start(3, **slurm())
    (other,) = launched.start(1, **slurm("1"))
    (directory,) = {rank.directory for rank in ranks}
    assert [rank.ask("value") for rank in (*ranks, other)] == ["2.0"] * 4
    (pid,) = {rank.server for rank in ranks}
    assert starts(directory) == 1
    assert other.directory != directory
    assert other.server != pid

    # The one that started it goes first; the server is adopted by another process.
    parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    starter = next(rank for rank in ranks if rank.process.pid == parent)
    starter.kill()
    rest = [rank for rank in ranks if rank is not starter]
    assert [rank.ask("value") for rank in rest] == ["2.0"] * 2
    assert '"method":"kantor.v1.LossService/Evaluate"' in rest[0].ask("log")
    assert rest[0].ask("close") == "closed"
    assert '"method":"kantor.v1.LossService/Evaluate"' in rest[0].ask("log")
    assert rest[1].ask("value") == "2.0"
    assert rest[1].server == pid

    rest[1].kill()
    wait_until_gone(pid, SECONDS)
    assert not directory.exists()
    assert other.ask("value") == "2.0"


def test_a_server_that_is_killed_is_started_once_for_all(launched: Job) -> None:
    ranks = launched.start(3, KANTOR_SHARE="these")
    (directory,) = {rank.directory for rank in ranks}
    first = ranks[0].server
    os.kill(first, signal.SIGKILL)
    wait_until_gone(first, SECONDS)
    for rank in ranks:
        rank.tell("value")
    assert [rank.told() for rank in ranks] == ["2.0"] * 3
    assert len({rank.server for rank in ranks}) == 1
    assert starts(directory) == 2
    pid = ranks[0].server
    for rank in ranks:
        rank.kill()
    wait_until_gone(pid, SECONDS)
    assert not directory.exists()


RACE = """
import os, sys
from pathlib import Path
from kantor import _server
from kantor._shared_server import start

go, come = os.pipe()
children = []
for _ in range(8):
    pid = os.fork()
    children.append(pid)
    if pid == 0:
        os.close(come)
        os.read(go, 1)  # all at once
        try:
            for _ in range(10):
                server = start(Path(sys.argv[1]), share="race")
                assert _server.accepts(str(server.directory / "kantor.sock"))
                assert len((server.directory / "lease.start").read_text().split()) == 1
                server.stop()
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
os.close(come)
print([os.waitpid(pid, 0)[1] for pid in children])
"""


def test_processes_that_come_and_go_at_once(temporary: Path) -> None:
    """Ends of servers and starts overlap; there is one to whoever has joined, never two in one place."""
    out = subprocess.run(
        [sys.executable, "-c", RACE, BINARY],
        env={**os.environ, "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert out.stdout == f"{[0] * 8}\n", out.stderr
    for path in temporary.iterdir():
        for pid in servers(str(path)):
            wait_until_gone(pid, SECONDS)
    assert list(temporary.iterdir()) == []


TORCHRUN = """
import os, sys, time
from pathlib import Path
import kantor
from shared_rank import servers, value

def wait(for_what):
    deadline = time.monotonic() + 60
    while not for_what():
        assert time.monotonic() < deadline
        time.sleep(0.01)

def is_gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True

out, rank, attempt = Path(sys.argv[2]), os.environ["LOCAL_RANK"], os.environ["TORCHELASTIC_RESTART_COUNT"]
client = kantor.Client(binary=sys.argv[1], timeout=60)
assert value(client) == 2
directory = client.address.removeprefix("unix:").removesuffix("/kantor.sock")
(out / f"{attempt}.{rank}.new").write_text(f"{os.getpid()} {directory}")
(out / f"{attempt}.{rank}.new").rename(out / f"{attempt}.{rank}")
everyone = [out / f"{attempt}.{i}" for i in range(4)]
wait(lambda: all(path.exists() for path in everyone))
(pid,) = servers(directory)
first = int(everyone[0].read_text().split()[0])
if attempt == "0":
    wait(lambda: rank == "1")  # which fails; the others are ended by torchrun
    os.kill(os.getpid(), 9)
if rank != "0":  # which is through first
    wait(lambda: is_gone(first))
assert value(client) == 2
assert servers(directory) == [pid]
(out / f"done.{rank}").write_text(f"{pid} {directory}")
"""


@pytest.mark.needs("torch")
def test_torchrun(temporary: Path) -> None:
    """Four ranks have one server, also after an elastic restart, and the first that is through does not end it."""
    script, out = temporary / "rank.py", temporary / "out"
    script.write_text(TORCHRUN)
    out.mkdir()
    torchrun = str(Path(sys.executable).with_name("torchrun"))
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(TESTS), "KANTOR_SHARE": "1"}
    ran = subprocess.run(
        [
            *[torchrun, "--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", "4", "--max-restarts", "1"],
            *map(str, [script, BINARY, out]),
        ],
        env=environment,
        capture_output=True,
        text=True,
        timeout=4 * SECONDS,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert len(list(out.glob("0.?"))) == len(list(out.glob("1.?"))) == 4
    (told,) = {path.read_text() for path in out.glob("done.*")}
    assert len(list(out.glob("done.*"))) == 4
    pid, directory = told.split()
    wait_until_gone(int(pid), SECONDS)
    assert not Path(directory).exists()


def test_a_forked_child_uses_the_server_and_does_not_keep_it(launched: Job) -> None:
    code = f"""
        import os, signal, sys
        sys.path.insert(0, {str(TESTS)!r})
        import kantor
        from shared_rank import servers, value
        client = kantor.Client(binary={str(BINARY)!r}, share="family", timeout=60)
        directory = client.address.removeprefix("unix:").removesuffix("/kantor.sock")
        (pid,) = servers(directory)
        os.kill(pid, signal.SIGKILL)
        child = os.fork()
        if child == 0:
            print(value(client), flush=True)  # which starts the server again
            print(*servers(directory), directory, flush=True)
            os.kill(os.getppid(), signal.SIGKILL)
            os.read(0, 1)  # lives until the test closes its standard input
            os._exit(0)
        os.waitpid(child, 0)
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "TMPDIR": str(launched.temporary)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    assert parent.stdin is not None
    assert parent.stdout.readline() == "2.0\n"
    pid, directory = parent.stdout.readline().split()
    parent.wait(SECONDS)
    wait_until_gone(int(pid), SECONDS)
    assert not Path(directory).exists()
    parent.stdin.close()
    parent.stdout.close()


def test_what_jobs_left_that_were_killed_with_their_server_is_removed_by_the_next(launched: Job) -> None:
    (rank,) = launched.start(1, KANTOR_SHARE="killed")
    assert rank.ask("value") == "2.0"
    pid, left = rank.server, rank.directory
    os.kill(pid, signal.SIGSTOP)  # it must not see that the last is gone
    rank.kill()
    os.kill(pid, signal.SIGKILL)
    wait_until_gone(pid, SECONDS)
    (left / "lease.start").rename(left / "of another's")
    empty = launched.temporary / f"kantor-{os.getuid()}-empty"
    empty.mkdir(mode=0o700)
    with kantor.Client(binary=BINARY, share="one") as one:
        assert [path.name for path in left.iterdir()] == ["of another's"]
        assert not empty.exists()
        with kantor.Client(binary=BINARY, share="two"):
            assert value(one) == 2
    (left / "of another's").unlink()
