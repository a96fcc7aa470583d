"""Interrupts that nobody catches, and ends of processes with batches in flight, against a server that lives on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import BINARY
from servers import server
from test_server import wait_until_gone

PRELUDE = """
    import os, signal, sys
    import numpy as np
    import kantor
    # A shell that starts the tests in the background has them ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    x, y = np.random.default_rng(1).standard_normal((2, 2000, 8))
    # Minutes of work.
    slow = kantor.Sinkhorn("x", "y", blur=0.001, tolerance=1e-12, max_iterations=100_000)
    far = dict(x=x, y=y)
"""

SECONDS = 20  # for what takes one


class Trainer:
    """A process that computes with a server."""

    def __init__(self, address: str, *code: str) -> None:
        text = "\n".join(textwrap.dedent(part) for part in (PRELUDE, f"address = {address!r}", *code))
        pipe = subprocess.PIPE
        self._process = subprocess.Popen([sys.executable, "-c", text], stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    def line(self) -> str:
        """Waits for a line that it prints."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def end(self) -> tuple[int, str]:
        """Waits for its end; returns its status and what it wrote to its standard error."""
        _, errors = self._process.communicate(timeout=SECONDS)
        return self._process.returncode, errors

    def __enter__(self) -> Trainer:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[tuple[str, int]]:
    """The address and the id of a server that has nothing to do."""
    address = f"unix:{tmp_path}/kantor.sock"
    with server(address) as process:
        yield address, process.pid


def wait_until_computing(pid: int, idle: float) -> None:
    """Waits until a server has computed for a tenth of a second more than when it was idle."""
    deadline = time.monotonic() + SECONDS
    while seconds_of_work(pid) < idle + 0.1:
        assert time.monotonic() < deadline, "the server got no work"
        time.sleep(0.01)


def seconds_of_work(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize(
    "call",
    [
        "client.evaluate(slow, far)",
        "stream.evaluate(far)",
        # Inside backward, as where activations are computed again.
        pytest.param(
            """
import torch, kantor.torch
loss = kantor.torch.Loss(slow, client)
x = torch.from_numpy(x).requires_grad_()
total = x.sum()
total.register_hook(lambda gradient: gradient * loss(x=x, y=torch.from_numpy(y)))
total.backward()
""",
            marks=pytest.mark.needs("torch"),
        ),
    ],
    ids=["unary", "stream", "backward"],
)
def test_an_interrupt_ends_the_process_as_any_other(remote: tuple[str, int], call: str) -> None:
    address, pid = remote
    idle = seconds_of_work(pid)
    opening = """
        client = kantor.Client(address)
        stream = client.stream(slow)
    """
    with Trainer(address, opening, call) as trainer:
        wait_until_computing(pid, idle)
        trainer.interrupt()
        status, errors = trainer.end()
    assert status == -signal.SIGINT, errors
    # One traceback, the main thread's, is all there is.
    unindented = [line for line in errors.splitlines() if not line.startswith(" ")]
    assert unindented == ["Traceback (most recent call last):", "KeyboardInterrupt"], errors


def test_an_interrupt_while_the_interpreter_exits_ends_a_server_that_hangs(tmp_path: Path) -> None:
    """Its own, which is not waited for any longer, and leaves no files."""
    code = f"""
        import tempfile
        tempfile.tempdir = {str(tmp_path)!r}
        client = kantor.Client(binary={str(BINARY)!r})
        streams = [client.stream(slow), client.stream(slow, unordered=True)]
        pending = [stream.submit(far) for stream in streams]
        own = client._server._process
        wait = own.wait
        def waiting(*seconds):
            own.wait = wait
            print(own.pid, flush=True)
            return wait(*seconds)
        own.wait = waiting
        os.kill(own.pid, signal.SIGSTOP)
    """
    with Trainer("", code) as trainer:
        pid = int(trainer.line())
        assert [file.name.partition("-")[0] for file in tmp_path.iterdir()] == ["kantor"]
        trainer.interrupt()
        _, errors = trainer.end()
    wait_until_gone(pid, 1)
    assert list(tmp_path.iterdir()) == []
    # Python goes on to exit, and says what it ignored.
    assert errors.count("Traceback") == 1, errors
    assert errors.rstrip().splitlines()[-1].startswith("KeyboardInterrupt"), errors
    assert "in thread" not in errors


def test_a_process_exits_with_open_streams_and_batches_in_flight(remote: tuple[str, int]) -> None:
    """Ordered and not, used and not, of two clients, and with threads that wait."""
    address, pid = remote
    idle = seconds_of_work(pid)
    code = """
        import threading
        client, other = kantor.Client(address), kantor.Client(address)
        unused = client.stream(slow)
        streams = [client.stream(slow), client.stream(slow, unordered=True), other.stream(slow)]
        pending = [stream.submit(far) for stream in streams for _ in range(2)]
        for call in (lambda: client.evaluate(slow, far), lambda: pending[0].result(), lambda: streams[0].evaluate(far)):
            threading.Thread(target=call, daemon=True).start()
        print("waiting", flush=True)
        sys.stdin.readline()
    """
    with Trainer(address, code) as trainer:
        assert trainer.line() == "waiting"
        wait_until_computing(pid, idle)
        assert trainer.end() == (0, "")
