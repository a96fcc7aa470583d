"""A server of the client's own: found, started, ended."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

import kantor
from conftest import BINARY
from kantor import _server

Q = kantor.Gaussian(np.ones((2, 2)), np.zeros((2, 2)))


def wait_until_gone(pid: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        # The server is a child of a process that is gone; whoever adopted it may leave its entry as a zombie.
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return
            os.kill(pid, 0)
        except (ProcessLookupError, FileNotFoundError):
            return
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    raise AssertionError(f"the server outlived its process by {seconds} s")


@pytest.mark.parametrize("ending", ["os.kill(os.getpid(), 9)", "sys.exit()", "raise ValueError", "client.close()"])
def test_the_server_ends_with_the_process(ending: str) -> None:
    code = f"""
        import os, sys, kantor
        client = kantor.Client(binary={str(BINARY)!r})
        assert client.info()
        print(client._server._process.pid, client.address, flush=True)
        {ending}
    """
    out = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    pid, address = out.stdout.split()
    # The server gives what is open a second after its standard input has ended; the rest is for a busy machine.
    wait_until_gone(int(pid), 10)
    directory = Path(address.removeprefix("unix:")).parent
    assert not directory.exists()


def test_an_interrupt_at_the_terminal_is_the_clients() -> None:
    """A terminal sends SIGINT to the whole process group; the server is in another."""
    with kantor.Client(binary=BINARY) as client:
        assert isinstance(client._server, _server.Server)
        assert os.getpgid(client._server._process.pid) != os.getpgid(0)


def test_the_socket_is_in_a_directory_of_the_users_own() -> None:
    with kantor.Client(binary=BINARY) as client:
        directory = Path(client.address.removeprefix("unix:")).parent
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert not directory.exists()


def test_a_long_temporary_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    with kantor.Client(binary=BINARY) as client:
        assert client.info()


def test_the_log_ends_with_the_counts() -> None:
    with kantor.Client(binary=BINARY) as client:
        for _ in range(3):
            client.evaluate(2 * kantor.GaussianKl(), posterior=Q)
        with pytest.raises(kantor.InvalidArgumentError):
            client.evaluate(kantor.GaussianKl("q"), posterior=Q)
    last = json.loads(client.server_log[-1])
    assert last["msg"] == "stopped"
    assert last["evaluations"] == 3
    assert last["failures"] == 1
    assert last["terms"]["kl"] == 3
    assert last["terms"]["sinkhorn"] == 0


def test_closing_twice_is_closing() -> None:
    client = kantor.Client(binary=BINARY)
    client.close()
    client.close()


def test_a_server_that_refuses_to_start_is_shown(tmp_path: Path) -> None:
    fake = tmp_path / "kantor"
    fake.write_text("#!/bin/sh\necho 'no licence to compute' >&2\nexit 3\n")
    fake.chmod(0o755)
    with pytest.raises(kantor.ServerStartError, match=r"(?s)ended with status 3.*no licence to compute"):
        kantor.Client(binary=fake)


def test_a_server_that_never_gets_ready_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_server, "READY_SECONDS", 0.2)
    fake = tmp_path / "kantor"
    fake.write_text("#!/bin/sh\necho 'thinking' >&2\nexec cat\n")
    fake.chmod(0o755)
    with pytest.raises(kantor.ServerStartError, match=r"(?s)not ready after 0.2 s.*thinking"):
        kantor.Client(binary=fake)


def test_a_binary_that_cannot_run_is_named(tmp_path: Path) -> None:
    fake = tmp_path / "kantor"
    fake.write_bytes(b"\x7fELF nothing")
    fake.chmod(0o755)
    with pytest.raises(kantor.ServerStartError, match="cannot be started"):
        kantor.Client(binary=fake)


def test_a_binary_that_is_named_and_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(kantor.ServerNotFoundError, match=f"binary={tmp_path}/none does not exist"):
        kantor.Client(binary=tmp_path / "none")
    monkeypatch.setenv("KANTOR_BINARY", str(tmp_path))
    with pytest.raises(kantor.ServerNotFoundError, match=f"KANTOR_BINARY={tmp_path} is no executable file"):
        kantor.Client()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout that the package is installed from, without any binary; PATH is its folder `path`."""
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setattr(_server, "__file__", str(tmp_path / "clients" / "python" / "src" / "kantor" / "_server.py"))
    (tmp_path / "go.mod").touch()
    return tmp_path


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_without_any_binary_it_says_where_it_looked_and_how_to_get_one(checkout: Path) -> None:
    program(checkout / "bin" / "kantor").chmod(0o644)
    with pytest.raises(kantor.ServerNotFoundError, match=r"make build.*KANTOR_BINARY.*KANTOR_ADDRESS") as caught:
        kantor.Client()
    looked = (
        "KANTOR_BINARY is not set; "
        f"the wheel's {checkout}/clients/python/src/kantor/_bin/kantor does not exist; "
        f"the checkout's {checkout}/bin/kantor is no executable file; "
        "PATH has no kantor. "
    )
    assert looked in str(caught.value)


def test_where_a_binary_is_looked_for(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_path = program(checkout / "path" / "kantor")
    assert _server.find_binary() == on_path
    built = program(checkout / "bin" / "kantor")
    assert _server.find_binary() == built
    packaged = program(checkout / "clients" / "python" / "src" / "kantor" / "_bin" / "kantor")
    assert _server.find_binary() == packaged
    environment = program(checkout / "environment")
    monkeypatch.setenv("KANTOR_BINARY", str(environment))
    assert _server.find_binary() == environment
    assert _server.find_binary(built) == built


def test_an_address_is_the_arguments_or_the_environments(
    client: kantor.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KANTOR_ADDRESS", client.address)
    with kantor.Client() as other:
        assert other.address == client.address
        assert other.info() == client.info()
    monkeypatch.setenv("KANTOR_ADDRESS", "unix:/nonexistent")
    with kantor.Client(client.address) as other:
        assert other.info() == client.info()
    with kantor.Client(binary=BINARY) as other:
        assert other.address not in (client.address, "unix:/nonexistent")
    with pytest.raises(ValueError, match="not both"):
        kantor.Client(client.address, binary=BINARY)
