"""500 steps of a training whose server, or whose trainer, is killed, against undisturbed ones, bit for bit."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import kantor
import training
from conftest import BINARY
from kantor._server import Server
from kantor._session import Session
from servers import server
from training import KILLED_AT, STEPS, Training

BETWEEN, WITHIN = 120, 333  # steps at which the server is killed, before and in the middle of


@pytest.fixture(scope="module")
def undisturbed(client: kantor.Client) -> list[str]:
    made = Training(client)
    made.run(range(STEPS))
    assert len(set(made.losses)) == STEPS
    return made.told


@contextlib.contextmanager
def embedded() -> Iterator[tuple[kantor.Client, Callable[[], int], Callable[[], None]]]:
    """A server of the client's own, which starts it again."""
    with kantor.Client(binary=BINARY, timeout=60) as client:

        def pid() -> int:
            assert isinstance(client._server, Server)
            return client._server._process.pid

        yield client, pid, lambda: None
        assert "was started again" in client._patience.trouble()


@contextlib.contextmanager
def anothers(directory: Path) -> Iterator[tuple[kantor.Client, Callable[[], int], Callable[[], None]]]:
    """A server that is started, and started again, by someone else, on the same address."""
    address = f"unix:{directory}/s.sock"
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(server(address))]
        with kantor.Client(address, timeout=60) as client:

            def start_again() -> None:
                servers[-1].wait()
                servers.append(stack.enter_context(server(address)))

            yield client, lambda: servers[-1].pid, start_again
        assert len(servers) == 3


@pytest.mark.parametrize("whose", ["the client's own", "another's"])
def test_a_loss_curve_does_not_show_that_the_server_was_killed(
    undisturbed: list[str], whose: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait, killed_within = Session.wait, []
    with embedded() if whose == "the client's own" else anothers(tmp_path) as (client, pid, start_again):

        def before(step: int) -> None:
            if step == BETWEEN:
                os.kill(pid(), signal.SIGKILL)
                start_again()
            elif step == WITHIN:
                # So that it does not answer before it is killed, with the batch on its way.
                os.kill(pid(), signal.SIGSTOP)
                monkeypatch.setattr(Session, "wait", kill_and_wait)

        def kill_and_wait(self: Session, answer: object, deadline: object) -> object:
            monkeypatch.setattr(Session, "wait", wait)
            killed_within.append(not answer.done())  # type: ignore[attr-defined]
            os.kill(pid(), signal.SIGKILL)
            start_again()
            return wait(self, answer, deadline)  # type: ignore[arg-type]

        disturbed = Training(client)
        disturbed.run(range(STEPS), before)
    assert killed_within == [True]
    assert disturbed.told == undisturbed


def test_a_trainer_that_was_killed_goes_on_from_its_checkpoint(
    client: kantor.Client, undisturbed: list[str], tmp_path: Path
) -> None:
    """In a process of its own, as the killed one."""
    out = subprocess.run(
        [sys.executable, training.__file__, client.address, tmp_path],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert out.stdout == "killed -9\nresumed 0\n", out.stderr
    assert json.loads((tmp_path / "resumed.json").read_text()) == undisturbed[KILLED_AT:]
