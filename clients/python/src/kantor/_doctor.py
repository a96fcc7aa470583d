"""`python -m kantor doctor`: checks what the client needs, and names what is wrong and what to do."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import re
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kantor import _server
from kantor._errors import KantorError, ServerNotFoundError
from kantor._jobs import job
from kantor._machine import allowance
from kantor._version import VERSION, mismatch

if TYPE_CHECKING:  # their packages may be what is missing
    from kantor._client import Client

_ANSWER_SECONDS = 10.0
_ROUND_TRIPS = 20
_LITTLE_MEMORY = 1 << 30  # a message may be 128 MiB, its answer too, and pairs of points take 256 MiB

# Modules to import by the packages that bring them.
_MODULES = {
    "numpy": "numpy",
    "grpcio": "grpc",
    "protobuf": "google.protobuf",
    "googleapis-common-protos": "google.rpc.error_details_pb2",
    "kantor": "kantor.v1.loss_service_pb2",  # generated code, which refuses a protobuf that is too old for it
}
_OPTIONAL = ("torch", "jax", "matplotlib")


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        state: `ok`, `note` for what may surprise, `FAIL`.
        name: of what was looked at.
        text: what was found.
        advice: what to do about it.
    """

    state: str
    name: str
    text: str
    advice: str = ""


def run(address: str | None = None, binary: str | None = None) -> int:
    """Prints the findings as they come and returns the exit status, 1 if there is a failure."""
    failed = []
    for finding in examine(address, binary):
        print(f"{finding.state:5} {finding.name:12} {finding.text}", flush=True)
        if finding.advice:
            print(f"{'':19}-> {finding.advice}", flush=True)
        if finding.state == "FAIL":
            failed.append(finding.name)
    print(f"wrong: {', '.join(failed)}" if failed else "nothing is wrong")
    return 1 if failed else 0


def examine(address: str | None, binary: str | None) -> Iterator[Finding]:
    """Looks at one thing after the other, each by itself, so that one that is wrong hides none of the others."""
    if binary is None:
        address = address or os.environ.get("KANTOR_ADDRESS")
    yield _python()
    packages = _packages()
    yield packages
    # With an address no binary is started.
    severity = "note" if address else "FAIL"
    starts: Path | None = None
    try:
        found = _server.find_binary(binary)
    except ServerNotFoundError as error:
        yield Finding(severity, "binary", str(error), "install a wheel of kantor, or run `make build` in the checkout")
    else:
        yield Finding("ok", "binary", str(found))
        version = _version(found, severity)
        yield version
        starts = None if version.state == severity else found
    made = _socket(severity)
    yield made
    yield _sharing(address)
    if packages.state == "ok" and address:
        yield from _remote(address)
    elif packages.state == "ok" and starts and made.state == "ok":
        yield from _own(starts)
    else:
        yield Finding("note", "round trip", "not tried, because of what is wrong above")
    yield _memory()
    yield _proxies(address if packages.state == "ok" else None)
    variables = [
        f"{name}={'(hidden)' if name == 'KANTOR_TOKEN' else value}"
        for name, value in sorted(os.environ.items())
        if name.startswith("KANTOR_")
    ]
    yield Finding("ok", "environment", ", ".join(variables) or "no KANTOR_ variables")


def _python() -> Finding:
    text = f"{platform.python_version()} {sys.executable}, {platform.system()} {platform.machine()}"
    return Finding("ok", "python", text)


def _packages() -> Finding:
    versions, wrong = [], []
    for package, module in _MODULES.items():
        version = _installed(package)
        versions.append(f"{package} {version or 'without a version'}")
        try:
            importlib.import_module(module)
        except Exception as error:  # protobuf has errors of its own for versions that do not go together
            wrong.append(f"{package}: {error}")
    versions += [f"{package} {_installed(package)}" for package in _OPTIONAL if _installed(package)]
    for name, least in _requirements():
        have = _installed(name)
        if have and _numbers(have) < _numbers(least):
            wrong.append(f"{name}: got {have}, want {least} or newer")
    text = ", ".join(versions)
    if wrong:
        return Finding("FAIL", "packages", f"{text}; {'; '.join(wrong)}", "pip install --upgrade kantor")
    return Finding("ok", "packages", text)


def _installed(package: str) -> str:
    if package == "kantor":
        return VERSION  # also where it runs without being installed
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _requirements() -> Iterator[tuple[str, str]]:
    """What the installed package asks for, as names with their least versions."""
    try:
        requirements = importlib.metadata.requires("kantor") or []
    except importlib.metadata.PackageNotFoundError:
        return
    for requirement in requirements:
        least = re.match(r"([\w.-]+)\s*>=\s*([\d.]+)", requirement)
        if least and "extra ==" not in requirement:
            yield least[1], least[2]


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)[:3]]


def _version(binary: Path, severity: str) -> Finding:
    """Runs `kantor version`."""
    name = "runs"
    built, here = _architecture(binary), _machine()
    advice = f"this machine is {here}: install the wheel for it, or run `make build` on it"
    foreign = f"; it is built for {built}" if built and built != here else ""
    try:
        out = subprocess.run(
            [binary, "version"], capture_output=True, text=True, errors="replace", timeout=_ANSWER_SECONDS, check=False
        )
    except OSError as error:
        return Finding(severity, name, f"{binary} cannot be started: {error.strerror}{foreign}", advice)
    except subprocess.TimeoutExpired:
        return Finding(severity, name, f"`{binary} version` gave no answer in {_ANSWER_SECONDS:g} s{foreign}", advice)
    if out.returncode != 0:
        said = (out.stderr or out.stdout).strip()[-300:]
        return Finding(
            severity, name, f"`{binary} version` ended with status {out.returncode}{foreign}: {said}", advice
        )
    text = out.stdout.strip()
    words = text.split()
    if len(words) < 2 or words[0] != "kantor":
        return Finding(
            severity, name, f"`{binary} version` is no kantor's: {text[:100]!r}", "name another in KANTOR_BINARY"
        )
    if wrong := mismatch(words[1]):
        return Finding("note", name, text, wrong)
    if "kernel=generic" in words and here.endswith("/amd64"):
        return Finding("note", name, text, "no AVX2 on this processor, or KANTOR_VEC=generic: plain loops, far slower")
    return Finding("ok", name, text)


def _machine() -> str:
    machine = platform.machine().lower()
    return f"{platform.system().lower()}/{ {'x86_64': 'amd64', 'aarch64': 'arm64'}.get(machine, machine) }"


def _architecture(binary: Path) -> str:
    """What a program is built for, by its header, in Go's words; empty: some other."""
    try:
        with binary.open("rb") as file:
            header = file.read(20)
    except OSError:
        return ""
    if len(header) == 20 and header.startswith(b"\x7fELF"):
        (machine,) = struct.unpack_from("<H", header, 18)
        return {0x3E: "linux/amd64", 0xB7: "linux/arm64"}.get(machine, f"ELF machine {machine}")
    if len(header) == 20 and header.startswith(b"\xcf\xfa\xed\xfe"):
        (machine,) = struct.unpack_from("<I", header, 4)
        return {0x1000007: "darwin/amd64", 0x100000C: "darwin/arm64"}.get(machine, f"Mach-O machine {machine}")
    return ""


def _socket(severity: str) -> Finding:
    """Binds a socket where the client's own server would."""
    try:
        directory = Path(_server.private_directory())
    except OSError as error:
        return Finding(
            severity, "socket", f"no temporary directory: {error}", "set TMPDIR to a folder you may write to"
        )
    path = directory / "kantor.sock"
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.bind(str(path))
        return Finding("ok", "socket", f"can be made in {directory.parent}")
    except OSError as error:
        advice = "set TMPDIR to a folder whose file system has sockets"
        return Finding(severity, "socket", f"none can be made in {directory.parent}: {error}", advice)
    finally:
        path.unlink(missing_ok=True)
        directory.rmdir()


def _sharing(address: str | None) -> Finding:
    """Says with whom a client of this process would share its server."""
    if address:
        return Finding("ok", "sharing", "with all who have the address")
    name = job()
    if not name:
        return Finding("ok", "sharing", "none: this process is not one of several ranks here, or KANTOR_SHARE=0")
    return Finding("ok", "sharing", f"with the processes of {name}; KANTOR_SHARE=0 gives each a server of its own")


def _own(binary: Path) -> Iterator[Finding]:
    from kantor._client import Client

    start = time.perf_counter()
    try:
        with Client(binary=binary, timeout=_ANSWER_SECONDS) as client:
            yield Finding("ok", "start", f"{1e3 * (time.perf_counter() - start):.0f} ms on {client.address}")
            yield _round_trip(client)
            yield _threads(client)
    except KantorError as error:
        yield Finding("FAIL", "start", str(error), "what the server wrote before its end is above")


def _remote(address: str) -> Iterator[Finding]:
    """Asks once, without the repetitions of a client, then as a client."""
    from kantor._client import Client
    from kantor._transport import Transport

    try:
        transport = Transport(address)
    except KantorError as error:  # of the token or the encryption in the environment
        yield Finding("FAIL", "address", f"{address}: {error}", "see KANTOR_TOKEN, KANTOR_TOKEN_FILE and KANTOR_TLS_CA")
        return
    try:
        build = transport.info(_ANSWER_SECONDS).build
    except KantorError as error:
        advice = (
            f"start one there, `kantor serve --listen {address}`, or unset KANTOR_ADDRESS: the client starts its own"
        )
        yield Finding("FAIL", "address", f"{address} does not answer as a kantor server: {error}", advice)
        return
    finally:
        transport.close()
    text = f"{address} is kantor {build.version} kernel={build.kernel}"
    wrong = mismatch(build.version)
    yield Finding("note" if wrong else "ok", "address", text, wrong)
    with Client(address, timeout=_ANSWER_SECONDS) as client:
        yield _round_trip(client)
        yield _threads(client)


def _round_trip(client: Client) -> Finding:
    """Computes KL(N(1, I) | N(0, I)) in two dimensions, ½·2 = 1, a few times."""
    import numpy as np

    from kantor._divergences import GaussianKl
    from kantor._inputs import Gaussian

    posterior = Gaussian(np.ones((1, 2)), np.zeros((1, 2)))
    seconds = []
    try:
        for _ in range(_ROUND_TRIPS):
            start = time.perf_counter()
            value = client.evaluate(GaussianKl(), posterior=posterior).value
            seconds.append(time.perf_counter() - start)
    except KantorError as error:
        return Finding("FAIL", "round trip", str(error), "the server's log may say more")
    if value != 1:
        return Finding(
            "FAIL", "round trip", f"KL(N(1,I)|N(0,I)) in 2 dimensions: got {value}, want 1", "report it, please"
        )
    text = (
        f"{1e3 * statistics.median(seconds):.2f} ms, the median of {_ROUND_TRIPS}; the first {1e3 * seconds[0]:.1f} ms"
    )
    return Finding("ok", "round trip", text)


def _threads(client: Client) -> Finding:
    """Says how many threads of the server compute, and whether there are processors for them."""
    try:
        threads = client.info().threads
    except KantorError as error:
        return Finding("FAIL", "threads", str(error), "the server's log may say more")
    has = allowance()
    text = f"{threads} compute" if threads else "the server is too old to say"
    if client._server is not None and threads > has.processors:
        advice = f"more than the {has.processors} processors of this process: see KANTOR_THREADS and GOMAXPROCS"
        return Finding("note", "threads", text, advice)
    return Finding("ok", "threads", text)


def _memory() -> Finding:
    has = allowance()
    limit, space, quota = has.memory_limit_bytes, has.address_space_bytes, has.processor_quota
    text = (
        f"{_gib(has.memory_bytes)}, the control group's limit {_gib(limit)}, address space {_gib(space)}; "
        f"{has.processors} processors, the control group's quota {'none' if quota is None else f'{quota:g}'}"
    )
    if min(limit or has.memory_bytes, has.memory_bytes, space or has.memory_bytes) < _LITTLE_MEMORY:
        advice = "little: large problems may be killed; `kantor serve --pair-memory` lowers what is stored"
        return Finding("note", "memory", text, advice)
    return Finding("ok", "memory", text)


def _gib(size: int | None) -> str:
    return "none" if size is None else f"{size / (1 << 30):.1f} GiB"


def _proxies(address: str | None) -> Finding:
    """The variables that gRPC reads, without the passwords in them."""
    names = ("grpc_proxy", "https_proxy", "http_proxy", "no_grpc_proxy", "no_proxy")
    given = {name: re.sub(r"^(\w+://)?.*@", r"\1***@", os.environ[name]) for name in names if os.environ.get(name)}
    text = ", ".join(f"{name}={value}" for name, value in given.items()) or "none in the environment"
    if not any(name.endswith("_proxy") and not name.startswith("no_") for name in given):
        return Finding("ok", "proxies", text)
    if address and not _is_local(address):
        advice = f"gRPC goes to {address} through it; if it should not, add the host to no_proxy"
        return Finding("note", "proxies", text, advice)
    return Finding("ok", "proxies", f"{text}; not used for a server on this machine")


def _is_local(address: str) -> bool:
    from kantor._transport import is_local

    return is_local(address)
