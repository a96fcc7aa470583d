"""Forks, workers, interrupts and ends of processes, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import kantor
from conftest import BINARY
from test_server import wait_until_gone

PRELUDE = f"""
    import os, signal, sys, threading
    import numpy as np
    import kantor
    client = kantor.Client(binary={str(BINARY)!r}, timeout=60)
    q = kantor.Gaussian(np.ones((2, 2)), np.zeros((2, 2)))
    x, y = np.random.default_rng(1).standard_normal((2, 2000, 8))
    # Minutes of work.
    slow = kantor.Sinkhorn("x", "y", blur=0.001, tolerance=1e-12, max_iterations=100_000)
    far = dict(x=x, y=y)
"""


def run(code: str, seconds: float = 40) -> str:
    """Runs a script to its end and returns what it printed; a hang is a failure."""
    text = textwrap.dedent(PRELUDE) + textwrap.dedent(code)
    out = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=seconds, check=False)
    assert out.returncode == 0, out.stderr
    return out.stdout


LOADER = f"""
import multiprocessing, sys
import numpy as np
import torch
import kantor, kantor.torch

class Points(torch.utils.data.Dataset):
    def __init__(self, client):
        self.client = client
        self.loss = kantor.torch.Loss(kantor.Sinkhorn("x", "y", blur=0.5), client)

    def __len__(self):
        return 16

    def __getitem__(self, i):
        x = torch.full((4, 2), float(i))
        with torch.no_grad():
            return self.loss(x=x, y=x + 1)

    def collate(self, values):
        exact = self.client.evaluate(kantor.Transport("x", "y"), x=np.zeros((1, 1)), y=np.ones((1, 1))).value
        return torch.stack(values), exact

if __name__ == "__main__":
    how, workers = sys.argv[1], int(sys.argv[2])
    with kantor.Client(binary={str(BINARY)!r}, timeout=60) as client:
        points = Points(client)
        expected = [points[i].item() for i in range(16)]  # the streams are open when the workers start
        loader = torch.utils.data.DataLoader(
            points, batch_size=2, num_workers=workers, collate_fn=points.collate, multiprocessing_context=how
        )
        for _ in range(2 if how == "fork" else 1):
            got = [value.item() for values, _ in loader for value in values]
            assert got == expected, (got, expected)
            assert points[3].item() == expected[3]
    print("all equal")
"""


@pytest.mark.needs("torch")
@pytest.mark.parametrize(("how", "workers"), [("fork", 4), ("spawn", 4)])
def test_workers_of_a_data_loader_compute_losses(tmp_path: Path, how: str, workers: int) -> None:
    script = tmp_path / "loader.py"
    script.write_text(LOADER)
    out = subprocess.run(
        [sys.executable, script, how, str(workers)], capture_output=True, text=True, timeout=240, check=False
    )
    assert out.stdout == "all equal\n", out.stderr


@pytest.mark.parametrize("call", ["client.evaluate(slow, far)", "stream.evaluate(far)", "stream.submit(far).result()"])
def test_an_interrupt_ends_the_call_and_nothing_else(call: str) -> None:
    """As in a notebook: the next cell works, and does not wait for what was interrupted."""
    out = run(f"""
        stream = client.stream(slow)
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        try:
            {call}
        except KeyboardInterrupt:
            print("interrupted")
        print(client.evaluate(kantor.GaussianKl(), posterior=q).value)
        if "submit" not in {call!r}:
            print(abs(stream.evaluate(x=x[:2], y=x[:2]).value) < 1e-9)
        client.close()
    """)
    assert out.splitlines() == ["interrupted", "1.0", "True"][: 2 + ("submit" not in call)]


@pytest.mark.parametrize(
    "ending",
    [
        "",
        "pending = stream.submit(far)",
        "threading.Thread(target=client.evaluate, args=(slow, far), daemon=True).start()",
        "stream.submit(far); os.kill(os.getpid(), signal.SIGTERM)",
        "stream.submit(far); os.kill(os.getpid(), signal.SIGKILL)",
    ],
)
def test_a_process_that_ends_in_the_middle_leaves_no_server(ending: str) -> None:
    text = textwrap.dedent(PRELUDE) + textwrap.dedent(f"""
        stream = client.stream(slow)
        print(client._server._process.pid, flush=True)
        {ending}
    """)
    out = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=40, check=False)
    wait_until_gone(int(out.stdout), 10)
    if "kill" not in ending:
        assert (out.returncode, out.stderr) == (0, "")


def test_a_server_ends_with_its_process_though_a_forked_child_lives() -> None:
    """The child holds no end of the pipe that the server listens to."""
    text = textwrap.dedent(PRELUDE) + textwrap.dedent("""
        ours, theirs = os.pipe()
        if os.fork() == 0:
            os.close(theirs)
            sys.stdout.close()
            os.dup2(0, 1)
            os.read(0, 1)  # lives until the test closes its standard input
            os._exit(0)
        print(client._server._process.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    parent = subprocess.Popen([sys.executable, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    assert parent.stdin is not None
    pid = int(parent.stdout.readline())
    parent.wait(20)
    wait_until_gone(pid, 10)
    parent.stdin.close()
    parent.stdout.close()


def test_closing_beside_a_forked_child_does_not_wait_for_it() -> None:
    out = run("""
        import kantor._server
        kantor._server._STOP_SECONDS = 1000  # before the server is told by a signal
        ours, theirs = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(theirs)
            os.read(ours, 1)
            os._exit(0)
        client.close()
        print(client._server._process.returncode)
        os.close(theirs)
        os.waitpid(child, 0)
    """)
    assert out == "0\n"


def test_a_timeout_stops_the_work_of_a_batch(client: kantor.Client) -> None:
    """A batch that nobody can ask for any longer does not hold up the next, though the stream is an ordered one."""
    x, y = np.random.default_rng(1).standard_normal((2, 2000, 8))
    slow = kantor.Sinkhorn("x", "y", blur=0.001, tolerance=1e-12, max_iterations=100_000)
    with client.stream(slow) as stream:
        other = stream.submit(x=x[:20], y=x[:20])
        with pytest.raises(kantor.DeadlineError, match=r"no result within 0\.1 s"):
            stream.evaluate(x=x, y=y, timeout=0.1)
        assert abs(stream.evaluate(x=x[:2], y=x[:2]).value) < 1e-9
        assert abs(other.result().value) < 1e-9
