"""The wheel: what is in it, what it is called, what keeps it from being built, and that it is all one needs."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import struct
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from conftest import ROOT
from test_readme import blocks

pytestmark = pytest.mark.once

CLIENT = ROOT / "clients" / "python"
BINARY = "kantor/_bin/kantor"


def tool(*command: str | Path, path: str = os.environ["PATH"]) -> None:
    """Runs a script of tools/, with what uv has kept if that is enough, as it is after `make .venv/dev.stamp`."""
    environment = {**os.environ, "PYTHON": sys.executable, "PATH": f"{path}:{Path(sys.executable).parent}"}
    for offline in ({"UV_OFFLINE": "1"}, {}):
        out = subprocess.run(command, env={**environment, **offline}, capture_output=True, text=True, check=False)
        if out.returncode == 0:
            return
    raise AssertionError(out.stdout + out.stderr)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel for this machine, built by its Go."""
    folder = tmp_path_factory.mktemp("wheel")
    tool(ROOT / "tools" / "wheels.sh", folder)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that has the wheel and what it asks for, and nothing else."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    constraint = CLIENT / "requirements-dev.txt"
    tool(ROOT / "tools" / "pip.sh", folder, "--quiet", "--constraint", constraint, wheel)
    return folder


def bare(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the environment's Python away from the checkout, with nothing on PATH."""
    folder = installed.parent / "empty"
    folder.mkdir(exist_ok=True)
    command = [str(installed / "bin" / "python"), "-W", "error", *arguments]
    environment = {"PATH": str(folder), "HOME": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_wheel_has_the_package_the_binary_and_nothing_of_others(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (info,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        metadata = archive.read(info).decode()
        assert archive.getinfo(BINARY).external_attr >> 16 & 0o111 == 0o111
    assert {name.split("/")[0] for name in names} == {"kantor", Path(info).parent.name}
    asked = {re.split("[>=]", name)[0] for name in re.findall(r"^Requires-Dist: ([^;\n]+)$", metadata, re.MULTILINE)}
    assert asked == {"numpy", "grpcio", "protobuf", "googleapis-common-protos"}
    assert "\nLicense-Expression: Apache-2.0\nLicense-File: LICENSE\n" in metadata
    named = re.findall(r"^Classifier: Programming Language :: Python :: (3\.\d+)$", metadata, re.MULTILINE)
    assert named == ["3.10", "3.11", "3.12", "3.13"]


def test_it_has_the_licence_of_every_module_that_is_linked(wheel: Path) -> None:
    """Go writes into the binary which they are; their licences are in Go's module cache."""
    with zipfile.ZipFile(wheel) as archive:
        (own,) = [name for name in archive.namelist() if name.endswith(".dist-info/licenses/LICENSE")]
        linked = {
            name: archive.read(name) for name in archive.namelist() if name.startswith(f"{Path(own).parent}/linked/")
        }
        binary = wheel.with_name("kantor")
        binary.write_bytes(archive.read(BINARY))
        assert archive.read(own) == (ROOT / "LICENSE").read_bytes()
    modules = re.findall("^\tdep\t(\\S+)\t(\\S+)", output("go", "version", "-m", str(binary)), re.MULTILINE)
    assert ("google.golang.org/grpc", "v1") in {(path, version.partition(".")[0]) for path, version in modules}
    expected: dict[str, bytes] = {}
    for path, version in modules:
        folder = Path(output("go", "list", "-m", "-f", "{{.Dir}}", path).strip())
        assert folder.name.endswith(f"@{version}")
        licences = [file for file in folder.iterdir() if file.stem in ("LICENSE", "COPYING", "NOTICE", "PATENTS")]
        assert licences
        expected |= {f"{Path(own).parent}/linked/{path}/{file.name}": file.read_bytes() for file in licences}
    assert {name: linked.get(name) for name in expected} == expected
    folders = {name.removeprefix(f"{Path(own).parent}/linked/") for name in linked}
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read(own.replace("licenses/LICENSE", "METADATA")).decode()
        record = archive.read(own.replace("licenses/LICENSE", "RECORD")).decode().splitlines()
        for name, digest, size in (line.rsplit(",", 2) for line in record):
            if not name.endswith("/RECORD"):
                content = archive.read(name)
                sha = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
                assert (digest, size) == (f"sha256={sha}", str(len(content))), name
        assert {line.rsplit(",", 2)[0] for line in record} == set(archive.namelist())
    named = re.findall("^License-File: (.*)$", metadata, re.MULTILINE)
    assert named == ["LICENSE", *sorted(name.removeprefix(f"{Path(own).parent}/") for name in linked)]
    others = {name for name in folders if not any(name.startswith(f"{path}/") for path, _ in modules)}
    assert all(name.startswith("go/") for name in others)


def output(*command: str) -> str:
    """Runs a command in the checkout and returns what it prints."""
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(sys.platform != "linux", reason="macOS has no static programs")
def test_the_binary_asks_for_no_libc(wheel: Path) -> None:
    """Its platform tag says any, so no program header may name an interpreter (type 3), which a libc's loader is."""
    with zipfile.ZipFile(wheel) as archive:
        elf = archive.read(BINARY)
    (start,) = struct.unpack_from("<Q", elf, 32)
    size, count = struct.unpack_from("<HH", elf, 54)
    types = {struct.unpack_from("<I", elf, start + i * size)[0] for i in range(count)}
    assert 1 in types  # something to load
    assert 3 not in types


def test_the_clients_readme_runs_with_the_wheel_alone(installed: Path) -> None:
    out = bare(installed, "-c", "\n".join(blocks("clients/python/README.md")))
    assert out.returncode == 0, out.stderr
    assert "Interval(lower=" in out.stdout


@pytest.mark.needs("torch")
def test_the_readme_runs_with_the_wheel_and_torch_alone(wheel: Path, tmp_path: Path) -> None:
    folder = tmp_path / "venv"
    constraint = CLIENT / "requirements-dev.txt"
    tool(ROOT / "tools" / "pip.sh", folder, "--quiet", "--constraint", constraint, f"kantor[torch] @ {wheel.as_uri()}")
    out = bare(folder, "-c", "\n".join(blocks("README.md")))
    assert out.returncode == 0, out.stderr
    assert "Interval(lower=" in out.stdout


def test_the_doctor_finds_nothing_wrong_with_the_wheel_alone(installed: Path) -> None:
    out = bare(installed, "-m", "kantor", "doctor")
    assert out.returncode == 0, out.stdout + out.stderr
    found = re.search(r"^ok +binary +(.*)$", out.stdout, re.MULTILINE)
    assert found is not None
    assert Path(found[1]).is_relative_to(installed.resolve())
    package = re.search(r"kantor ([\d.]+)", out.stdout)
    assert package is not None
    assert re.search(
        rf"^ok +runs +kantor v{re.escape(package[1])}(\+[0-9a-f]{{12}}(\.dirty)?)? ", out.stdout, re.MULTILINE
    )


def go(folder: Path, script: str) -> str:
    """Makes a `go` of a few lines and returns the PATH that has it."""
    folder.mkdir()
    (folder / "go").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "go").chmod(0o755)
    return str(folder)


def test_wheels_for_other_machines(tmp_path: Path) -> None:
    """The tag of each, and that Go was asked for its platform, without cgo and for the oldest processors."""
    script = (
        'while [ $# -gt 0 ]; do [ "$1" = -o ] && '
        'echo "$GOOS/$GOARCH $CGO_ENABLED $GOAMD64 $GOARM64" >"$2"; shift; done; exit 0'
    )
    tags = {
        "linux/amd64": "manylinux_2_17_x86_64.musllinux_1_1_x86_64",
        "linux/arm64": "manylinux_2_17_aarch64.musllinux_1_1_aarch64",
        "darwin/amd64": "macosx_12_0_x86_64",
        "darwin/arm64": "macosx_12_0_arm64",
    }
    path = f"{go(tmp_path / 'go', script)}:{os.environ['PATH']}"
    tool(ROOT / "tools" / "wheels.sh", tmp_path / "out", *tags, path=path)
    got = {}
    for built in (tmp_path / "out").iterdir():
        with zipfile.ZipFile(built) as archive:
            (info,) = [name for name in archive.namelist() if name.endswith(".dist-info/WHEEL")]
            header = archive.read(info).decode()
            got[archive.read(BINARY).decode().strip()] = built.stem.partition("-py3-none-")[2]
        assert re.findall("^Tag: (.*)$", header, re.MULTILINE) == [
            f"py3-none-{tag}" for tag in built.stem.partition("-py3-none-")[2].split(".")
        ]
        assert "Root-Is-Purelib: false" in header
    assert got == {f"{target} 0 v1 v8.0": tag for target, tag in tags.items()}


OLD = "go: go.mod requires go >= 1.26.0 (running go 1.21.1; GOTOOLCHAIN=local)"


@pytest.mark.parametrize(
    ("script", "environment", "kind", "said"),
    [
        (None, {}, "wheel", "wants Go 1.26 or newer on PATH (https://go.dev/dl); there is no go"),
        (f"echo '{OLD}' >&2; exit 1", {}, "wheel", f"(GOTOOLCHAIN=auto); this one says: {OLD}"),
        ("[ $1 = list ] || { echo boom >&2; exit 2; }", {}, "wheel", "go could not build kantor's server:\nboom"),
        (
            '[ "$2" != -deps ] || printf "example.org/bare\\t$HOME/go\\n"',
            {},
            "wheel",
            "example.org/bare, which kantor's server contains, has no licence",
        ),
        (
            None,
            {"GOOS": "plan9", "GOARCH": "386"},
            "wheel",
            "no wheel for plan9/386, want one of linux/amd64, linux/arm64",
        ),
        (None, {}, "sdist", "no source distribution"),
    ],
    ids=["no go", "old go", "go fails", "no licence", "no such platform", "sdist"],
)
@pytest.mark.usefixtures("wheel")  # which leaves hatchling
def test_what_cannot_be_built_is_said(
    tmp_path: Path, script: str | None, environment: Mapping[str, str], kind: str, said: str
) -> None:
    path = str(tmp_path) if script is None else go(tmp_path / "go", script)
    out = subprocess.run(
        [ROOT / "out" / "hatchling" / "bin" / "python", "-m", "hatchling", "build", "-t", kind, "-d", tmp_path / "out"],
        cwd=CLIENT,
        env={**environment, "PATH": path, "HOME": str(tmp_path), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert out.returncode != 0
    assert said in out.stdout + out.stderr
    assert "Traceback" not in out.stderr
    assert not list((tmp_path / "out").glob("*"))
    assert not list(tmp_path.glob("kantor-wheel-*"))
