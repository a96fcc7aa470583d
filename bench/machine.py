"""What it was measured on."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
import time
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PEERS = ("geomloss", "pykeops", "torch", "ott-jax", "jax", "POT", "numpy")


def describe() -> dict[str, Any]:
    """The machine, its load at this moment, the versions and the date."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "load_before": load(),
        "revision": _revision(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PEERS},
    }


def load() -> float:
    """The load average of the last minute: how many other programs wanted a core."""
    return round(os.getloadavg()[0], 2)


class Others:
    """How much of the machine other programs take, from its making on."""

    def __init__(self, server: int) -> None:
        self._server = server
        self._start = time.monotonic(), _busy_seconds(), self._own_seconds()

    def cores(self) -> float:
        """The cores that were busy on average with what is neither this program, its children nor the server."""
        start, busy, own = self._start
        foreign = (_busy_seconds() - busy) - (self._own_seconds() - own)
        return round(max(foreign / (time.monotonic() - start), 0.0), 2)

    def _own_seconds(self) -> float:
        times = os.times()
        fields = Path(f"/proc/{self._server}/stat").read_text().rpartition(")")[2].split()
        server = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return times.user + times.system + times.children_user + times.children_system + server


def _busy_seconds() -> float:
    """The time that all cores together have not been idle."""
    fields = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle, waiting = fields[3], fields[4]
    return (sum(fields) - idle - waiting) / os.sysconf("SC_CLK_TCK")


def processor_ms(pid: int) -> float:
    """The milliseconds that a process has computed, on all processors together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return 1000 * (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_kib(pid: int | str = "self") -> int:
    """A process's peak resident memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise RuntimeError(f"process {pid} has no VmHWM")


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "absent"


def _revision() -> str:
    """The commit that was measured, and whether the sources of the server differ from it."""
    shown = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    changed = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", "*.go", "*.s", "go.mod"], cwd=ROOT, check=False)
    return shown.stdout.strip() + (" with changes" if changed.returncode else "")
