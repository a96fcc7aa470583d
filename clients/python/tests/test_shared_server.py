"""A shared server as one process has it: where it is, what is refused, what its end looks like."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import kantor
from conftest import BINARY
from kantor import _server, _shared_server
from shared_rank import servers, value
from test_server import wait_until_gone

SECONDS = 60.0  # for what takes a moment on a machine that is not busy


def test_a_server_that_keeps_ending_is_given_up(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_server, "MOST_DEATHS", 2)
    with kantor.Client(binary=BINARY, share="unlucky", timeout=60) as client:
        directory = Path(client.address.removeprefix("unix:")).parent
        for _ in range(2):
            assert value(client) == 2
            (pid,) = servers(str(directory))
            os.kill(pid, signal.SIGKILL)
            wait_until_gone(pid, SECONDS)
        with pytest.raises(kantor.UnavailableError) as caught:
            value(client)
        assert servers(str(directory)) == []
        (last,) = [line for line in client.server_log if "SIGKILL" in line][-1:]
        assert last == '{"level": "ERROR", "msg": "the server ended with SIGKILL"}'
    for word in (
        "the name unlucky shares",
        "was started 2 times within 60 s",
        f"not started again; its log is {directory}/lease.log",
    ):
        assert word in str(caught.value)


def test_a_server_that_is_told_to_stop_is_followed_by_another_in_the_same_place(temporary: Path) -> None:
    """As at the end of a SLURM job's time, which everything is told."""
    q = kantor.Gaussian(np.full((1, 1), 2.0), np.zeros((1, 1)))
    with kantor.Client(binary=BINARY, share="x", timeout=60) as client:
        directory = Path(client.address.removeprefix("unix:")).parent
        with client.stream(kantor.GaussianKl()) as stream:
            for _ in range(2):
                assert stream.evaluate(posterior=q).value == 2
                (pid,) = servers(str(directory))
                os.kill(pid, signal.SIGTERM)
                wait_until_gone(pid, SECONDS)
            assert stream.evaluate(posterior=q).value == 2
        (pid,) = servers(str(directory))
    wait_until_gone(pid, SECONDS)
    assert not directory.exists()


def test_a_shared_server_that_does_not_start_names_its_log(temporary: Path) -> None:
    fake = temporary / "kantor"
    fake.write_text("#!/bin/sh\necho 'no licence to compute' >&2\nexit 3\n")
    fake.chmod(0o755)
    for _ in range(2):  # nobody has a lock, or counts it
        with pytest.raises(kantor.ServerStartError, match=r"(?s)ended with status 3; its log is .*/lease.log\nno lic"):
            kantor.Client(binary=fake, share="x")
    fake.write_bytes(b"\x7fELF nothing")
    with pytest.raises(kantor.ServerStartError, match="cannot be started"):
        kantor.Client(binary=fake, share="x")


def test_waiting_for_another_has_an_end(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_server, "READY_SECONDS", 0.05)
    directory = _shared_server._directory(BINARY, "the name stuck", 0)
    directory.mkdir(mode=0o700)
    with (directory / "lease").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(kantor.ServerStartError, match=r"not there after 0\.1 s: .*/lease\.start.*KANTOR_SHARE=0"):
            kantor.Client(binary=BINARY, share="stuck")


def test_only_a_directory_of_the_users_own_is_entered(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = _shared_server._directory(BINARY, "the name x", 0)

    def refused(match: str) -> None:
        with pytest.raises(kantor.ServerStartError, match=match):
            kantor.Client(binary=BINARY, share="x")

    (temporary / "elsewhere").mkdir(mode=0o700)
    directory.symlink_to(temporary / "elsewhere")
    refused(f"{directory} is lrwx.*want a directory of user .* KANTOR_SHARE=0")
    directory.unlink()
    directory.mkdir()
    directory.chmod(0o770)
    refused("is drwxrwx---")
    directory.chmod(0o700)
    (directory / "lease").symlink_to(temporary / "elsewhere" / "file")
    refused(f"can be shared in {directory}: .*lease")
    assert list((temporary / "elsewhere").iterdir()) == []
    monkeypatch.setattr("tempfile.tempdir", str(temporary / "none"))
    refused("cannot be made: No such file.*set TMPDIR")
    other = os.getuid() + 1
    monkeypatch.setattr(os, "getuid", lambda: other)
    with pytest.raises(kantor.ServerStartError, match=f"want a directory of user {other} alone"):
        _shared_server._make(directory)


def test_what_differs_is_not_shared(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def place(binary: Path = BINARY, name: str = "a", threads: int = 0) -> Path:
        return _shared_server._directory(binary, name, threads)

    copy = temporary / "kantor"
    shutil.copy2(BINARY, copy)
    link = temporary / "link"
    link.symlink_to(BINARY)
    here = place()
    assert here == place() == place(link)
    seen = [here, place(copy), place(name="b"), place(threads=1)]
    monkeypatch.setenv("KANTOR_VEC", "generic")
    seen.append(place())
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {77})
    seen.append(place())
    monkeypatch.setattr(_shared_server, "VERSION", "another")
    seen.append(place())
    monkeypatch.setattr("platform.node", lambda: "another")
    seen.append(place())
    assert len(set(seen)) == len(seen)


def test_a_long_temporary_directory(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(temporary / ("d" * 100)))
    assert _shared_server._directory(BINARY, "a", 0).parent == Path("/tmp")


def test_clients_of_one_process_share_too_and_may_say_no(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KANTOR_SHARE", "ours")
    with kantor.Client(binary=BINARY) as one, kantor.Client(binary=BINARY) as two:
        assert one.address == two.address
        one.close()
        assert value(two) == 2
        with kantor.Client(binary=BINARY, share=False) as own:
            assert own.address != two.address
            assert value(own) == 2
    with kantor.Client(binary=BINARY) as again:
        assert value(again) == 2


def test_a_closed_client_starts_no_server(temporary: Path) -> None:
    client = kantor.Client(binary=BINARY, share="x")
    directory = Path(client.address.removeprefix("unix:")).parent
    (pid,) = servers(str(directory))
    client.close()
    wait_until_gone(pid, SECONDS)
    assert isinstance(client._server, _shared_server.SharedServer)
    client._server._reviving.acquire()
    client._server._revive()
    assert not directory.exists()


def test_threads(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with kantor.Client(binary=BINARY, threads=1) as client:
        assert client.info().threads == 1
    monkeypatch.setenv("KANTOR_THREADS", "3")
    for share in (False, "x"):
        with kantor.Client(binary=BINARY, share=share) as client:
            assert client.info().threads == 3
    monkeypatch.setenv("KANTOR_THREADS", "half")
    with pytest.raises(kantor.InvalidArgumentError, match=r"^KANTOR_THREADS: got 'half', want a number of threads"):
        kantor.Client(binary=BINARY)
    with pytest.raises(kantor.InvalidArgumentError, match=r"^threads: got '-1', want"):
        kantor.Client(binary=BINARY, threads=-1)
    with pytest.raises(kantor.ServerStartError, match="--threads: is 5000, want 0 to 4096"):
        kantor.Client(binary=BINARY, threads=5000)
    with pytest.raises(ValueError, match="not both"):
        kantor.Client("127.0.0.1:1", threads=1)


def test_a_server_has_the_processors_of_who_starts_it() -> None:
    code = f"""
        import os, kantor
        os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
        print(kantor.Client(binary={str(BINARY)!r}).info().threads)
    """
    out = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert out.stdout == "1\n", out.stderr
