"""The Python client's tests on every Python that it is for, with the oldest and the newest packages that it allows.

A Python is never downloaded: what counts is what uv finds on the machine, what pyenv has installed and what is on PATH.
Packages come from PyPI, into an environment under out/pythons for each run, which is kept until what fills it changes.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CLIENT = ROOT / "clients" / "python"
ENVIRONMENTS = ROOT / "out" / "pythons"

# Those that the client is for, and the one that this script runs with.
SUPPORTED = ("3.10", "3.11", "3.12", "3.13")
OWN = f"{sys.version_info.major}.{sys.version_info.minor}"

# What the client asks for, in the order of its pyproject.toml.
PACKAGES = ("numpy", "grpcio", "protobuf", "googleapis-common-protos")

# uv, where it is not on PATH.
PATH = f"{os.environ.get('PATH', os.defpath)}{os.pathsep}{ROOT / '.venv' / 'bin'}"


@dataclass(frozen=True)
class Environment:
    """A Python with the client's packages at one end of what it allows.

    Attributes:
        version: of Python, `3.12`.
        packages: `oldest`, the lowest that pyproject.toml allows and that have a wheel for this Python, or `newest`,
            those that requirements-dev.txt pins.
    """

    version: str
    packages: str

    @property
    def name(self) -> str:
        """As in the summary: `3.12 oldest`."""
        return f"{self.version} {self.packages}"

    @property
    def python(self) -> Path:
        """Its interpreter, once it is made."""
        return self._folder / "bin" / "python"

    @property
    def _folder(self) -> Path:
        return ENVIRONMENTS / self.name.replace(" ", "-")

    def make(self, base: str) -> None:
        """Makes it with a Python, unless it stands as it would be made."""
        pins = _pins()
        if self.packages == "oldest":  # the tests' own packages stay the newest
            pins = [pin for pin in pins if not pin.startswith(tuple(f"{package}==" for package in PACKAGES))]
        made_of = "\n".join([base, *pins, (CLIENT / "pyproject.toml").read_text(), Path(__file__).read_text()])
        stamp, told = self._folder / "stamp", hashlib.sha256(made_of.encode()).hexdigest()
        if stamp.exists() and stamp.read_text() == told and _version(str(self.python)) == self.version:
            return
        # uv would keep what is installed already, which need not be the oldest.
        shutil.rmtree(self._folder, ignore_errors=True)
        ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
        constraints = self._folder.with_name(f"{self._folder.name}.txt")
        constraints.write_text("\n".join(pins))
        flags = ["--resolution", "lowest-direct"] if self.packages == "oldest" else []
        for package in PACKAGES:
            flags += ["--only-binary", package]  # of what has no wheel for this Python a later release is the oldest
        install(base, self._folder, *flags, "--constraint", constraints, _pytest(pins), "--editable", CLIENT)
        stamp.write_text(told)


def described(python: str | Path) -> str:
    """Says what a Python has: `3.12.1 with numpy 1.26.0, grpcio 1.62.0, ...`."""
    code = (
        "import platform, importlib.metadata as m, sys;"
        "print(platform.python_version(), 'with', ', '.join(f'{p} {m.version(p)}' for p in sys.argv[1:]))"
    )
    out = subprocess.run([python, "-c", code, *PACKAGES], capture_output=True, text=True, check=True)
    return out.stdout.strip()


def install(base: str, folder: Path, *arguments: str | Path) -> None:
    """Fills an environment; says what went wrong."""
    command = [ROOT / "tools" / "pip.sh", folder, "--quiet", *arguments]
    out = subprocess.run(
        command, env={**os.environ, "PATH": PATH, "PYTHON": base}, capture_output=True, text=True, check=False
    )
    if out.returncode != 0:
        raise SystemExit(f"{folder} could not be made:\n{out.stdout}{out.stderr}")


def find() -> dict[str, str]:
    """Returns the interpreter of each supported Python that is on this machine, and of this one, by version."""
    found = {OWN: sys.executable}
    for version in SUPPORTED:
        for candidate in _candidates(version):
            if version not in found and _version(candidate) == version:
                found[version] = candidate
    return dict(sorted(found.items(), key=lambda item: [int(part) for part in item[0].split(".")]))


def absent(bases: dict[str, str]) -> list[str]:
    """What is to be said of Pythons that are not on this machine."""
    missing = [version for version in SUPPORTED if version not in bases]
    how = "install it, by pyenv or the system's packages, as python{0} on PATH or under ~/.pyenv/versions"
    return [f"not run: Python {version} is not on this machine; {how.format(version)}" for version in missing]


def _candidates(version: str) -> Iterator[str]:
    yield from filter(None, [shutil.which(f"python{version}")])
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv", "versions")
    yield from map(str, sorted(pyenv.glob(f"{version}.*/bin/python")))
    uv = shutil.which("uv", path=PATH)
    if uv is not None:
        command = [uv, "python", "find", "--no-python-downloads", "--no-project", version]
        out = subprocess.run(command, cwd=ROOT.parent, capture_output=True, text=True, check=False)
        yield from out.stdout.split("\n")[:1]


def _version(python: str) -> str:
    """Which Python that is, `3.12`; empty: none that can make an environment, like a shim of pyenv's."""
    code = "import sys, venv; print('%d.%d' % sys.version_info[:2])"
    try:
        out = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return out.stdout.strip() if out.returncode == 0 else ""


def _pins() -> list[str]:
    return re.findall(r"^[\w.-]+==.*$", (CLIENT / "requirements-dev.txt").read_text(), re.MULTILINE)


def _pytest(pins: list[str]) -> str:
    (pin,) = [pin for pin in pins if pin.startswith("pytest==")]
    return pin
