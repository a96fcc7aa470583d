"""`python -m kantor doctor`: what works, and each thing that may be broken, by its name."""

from __future__ import annotations

import platform
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

import kantor
from conftest import BINARY, STRICT
from kantor import _doctor, _server
from kantor.__main__ import main


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Report:
    return Report(capsys)


class Report:
    """Runs the doctor and keeps its findings by name, with their advice."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.status = -1
        self.states: dict[str, str] = {}
        self.texts: dict[str, str] = {}
        self.last = ""

    def run(self, *arguments: str | Path) -> Report:
        self.status = main(["doctor", *map(str, arguments)])
        *lines, self.last = self._capsys.readouterr().out.splitlines()
        name = ""
        for line in lines:
            if line.startswith(("ok ", "note ", "FAIL ")):
                name = line[6:18].strip()
                self.states[name], self.texts[name] = line[:5].strip(), line[19:]
            else:
                self.texts[name] += "\n" + line.strip()
        return self

    def assert_only_wrong(self, name: str, *words: str) -> None:
        assert [name] == [n for n, state in self.states.items() if state == "FAIL"]
        assert self.status == 1
        assert self.last == f"wrong: {name}"
        assert "\n-> " in self.texts[name]
        for word in words:
            assert word in self.texts[name]


def written(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(0o755)
    return path


def test_nothing_is_wrong_here() -> None:
    out = subprocess.run(
        [sys.executable, *STRICT, "-m", "kantor", "doctor", "--binary", BINARY],
        capture_output=True,
        text=True,
        check=False,
    )
    assert out.returncode == 0, out.stdout + out.stderr
    lines = out.stdout.splitlines()
    names = [
        "python",
        "packages",
        "binary",
        "runs",
        "socket",
        "sharing",
        "start",
        "round trip",
        "threads",
        "memory",
        "proxies",
        "environment",
    ]
    assert [line[6:18].strip() for line in lines[:-1] if line[:1] != " "] == names
    assert "FAIL" not in out.stdout
    assert lines[-1] == "nothing is wrong"


def test_a_missing_binary(report: Report, tmp_path: Path) -> None:
    report.run("--binary", tmp_path / "none").assert_only_wrong(
        "binary", f"{tmp_path}/none does not exist", "make build"
    )
    assert report.texts["round trip"] == "not tried, because of what is wrong above"


def test_no_binary_anywhere(report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(_server, "__file__", str(tmp_path / "kantor" / "_server.py"))
    report.run().assert_only_wrong("binary", f"{tmp_path}/kantor/_bin/kantor does not exist", "PATH has no kantor")


def test_a_binary_that_is_not_executable(report: Report, tmp_path: Path) -> None:
    written(tmp_path / "kantor", "").chmod(0o644)
    report.run("--binary", tmp_path / "kantor").assert_only_wrong("binary", "is no executable file")


@pytest.mark.parametrize("system", ["linux", "darwin"])
def test_a_binary_for_another_architecture(report: Report, tmp_path: Path, system: str) -> None:
    arm = platform.machine() in ("aarch64", "arm64")
    other = "amd64" if arm else "arm64"
    if system == "linux":
        content = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack("<HH", 2, 0x3E if arm else 0xB7)
    else:
        content = struct.pack("<5I", 0xFEEDFACF, 0x1000007 if arm else 0x100000C, 0, 2, 0)
    written(tmp_path / "kantor", content)
    report.run("--binary", tmp_path / "kantor")
    report.assert_only_wrong("runs", f"it is built for {system}/{other}", "this machine is ")


def test_the_architecture_of_a_binary_that_runs_is_this_machines() -> None:
    assert _doctor._architecture(BINARY) == _doctor._machine()


@pytest.mark.parametrize(
    ("script", "said"),
    [("echo no licence >&2; exit 3", "ended with status 3: no licence"), ("echo frobnicator 1.0", "is no kantor's")],
)
def test_a_binary_that_is_something_else(report: Report, tmp_path: Path, script: str, said: str) -> None:
    program = written(tmp_path / "kantor", f"#!/bin/sh\n{script}\n")
    report.run("--binary", program).assert_only_wrong("runs", said)


def test_a_binary_that_never_answers(report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_doctor, "_ANSWER_SECONDS", 0.2)
    program = written(tmp_path / "kantor", "#!/bin/sh\nexec sleep 60\n")
    report.run("--binary", program).assert_only_wrong("runs", "gave no answer in 0.2 s")


def test_a_server_that_does_not_start(report: Report, tmp_path: Path) -> None:
    script = '#!/bin/sh\n[ "$1" = version ] && echo kantor dev && exit\necho out of luck >&2; exit 4\n'
    report.run("--binary", written(tmp_path / "kantor", script))
    assert (report.status, report.states["start"]) == (1, "FAIL")
    assert "ended with status 4\nout of luck" in report.texts["start"]


def test_a_binary_of_another_version_is_told_and_used(report: Report, tmp_path: Path) -> None:
    script = f'#!/bin/sh\n[ "$1" = version ] && echo kantor v99.0.0 go1.26 && exit\nexec {BINARY} "$@"\n'
    report.run("--binary", written(tmp_path / "kantor", script))
    assert (report.status, report.states["runs"], report.states["round trip"]) == (0, "note", "ok")
    assert "server is version 99.0.0 and this client is " in report.texts["runs"]


def test_a_running_server_needs_no_binary(
    report: Report, client: kantor.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KANTOR_ADDRESS", client.address)
    monkeypatch.setenv("KANTOR_BINARY", "/nonexistent")
    report.run()
    assert (report.status, report.states["binary"], report.states["address"]) == (0, "note", "ok")
    assert "KANTOR_BINARY=/nonexistent" in report.texts["environment"]


def test_who_shares_and_how_many_threads(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KANTOR_SHARE", "the others")
    monkeypatch.setenv("KANTOR_THREADS", "4000")
    report.run("--binary", BINARY)
    assert "with the processes of the name the others; KANTOR_SHARE=0" in report.texts["sharing"]
    assert (report.states["threads"], report.status) == ("note", 0)
    assert report.texts["threads"].startswith("4000 compute\n-> more than the ")
    monkeypatch.setenv("KANTOR_THREADS", "1")
    report.run("--binary", BINARY)
    assert (report.states["threads"], report.texts["threads"]) == ("ok", "1 compute")


def test_a_dead_address(report: Report) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # it does not listen: connections are refused, and nobody else gets the port
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        report.run("--address", address).assert_only_wrong(
            "address", f"{address} does not answer", "kantor serve --listen"
        )


def test_packages_that_are_missing_or_too_old(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.rpc.error_details_pb2", None)
    monkeypatch.setattr(_doctor, "_requirements", lambda: [("numpy", "999.1")])
    report.run("--binary", BINARY).assert_only_wrong(
        "packages", "want 999.1 or newer", "googleapis-common-protos: import"
    )
    assert report.texts["round trip"] == "not tried, because of what is wrong above"


def test_least_versions_are_the_packages_own() -> None:
    assert {"numpy", "grpcio", "protobuf", "googleapis-common-protos"} == {name for name, _ in _doctor._requirements()}
    assert _doctor._numbers("4.9.0") < _doctor._numbers("4.25.5") < _doctor._numbers("5.26.0rc1")


def test_no_folder_for_a_socket(report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    report.run("--binary", BINARY).assert_only_wrong("socket", "set TMPDIR")


def test_a_proxy_is_shown_without_its_password(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("grpc_proxy", raising=False)
    monkeypatch.delenv("no_grpc_proxy", raising=False)
    monkeypatch.setenv("https_proxy", "http://user:secret@127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "user:secret@127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "example.org")
    report.run("--binary", BINARY)
    assert (report.status, report.states["proxies"]) == (0, "ok")
    shown = "https_proxy=http://***@127.0.0.1:9, http_proxy=***@127.0.0.1:9, no_proxy=example.org"
    assert report.texts["proxies"].startswith(shown)
    note = _doctor._proxies("192.0.2.1:7443")
    assert (note.state, "192.0.2.1:7443" in note.advice) == ("note", True)
