"""What this machine and its control group allow a process."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_UNLIMITED = 1 << 60  # where control groups of the first kind say no limit, they say a number near 2^63


@dataclass(frozen=True)
class Allowance:
    """What a process may use.

    Attributes:
        memory_bytes: of the machine.
        memory_limit_bytes: of the control group, or of one that it is in; None: no limit.
        address_space_bytes: that the process may map (`ulimit -v`); None: no limit.
        processors: that the process may run on.
        processor_quota: how many of them at once, by the control group; None: no limit.
    """

    memory_bytes: int
    memory_limit_bytes: int | None
    address_space_bytes: int | None
    processors: int
    processor_quota: float | None


def allowance(root: Path = Path("/")) -> Allowance:
    """Reads what this process may use, from the files under root."""
    space = resource.getrlimit(resource.RLIMIT_AS)[0]
    return Allowance(
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        memory_limit_bytes=min(_memory_limits(root), default=None),
        address_space_bytes=None if space == resource.RLIM_INFINITY else space,
        processors=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        processor_quota=min(_quotas(root), default=None),
    )


def _memory_limits(root: Path) -> Iterator[int]:
    for folder in _groups(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            words = _words(folder / name)
            if words and words[0].isdigit() and int(words[0]) < _UNLIMITED:
                yield int(words[0])


def _quotas(root: Path) -> Iterator[float]:
    for folder in _groups(root, "cpu"):
        words = _words(folder / "cpu.max") or [
            *_words(folder / "cpu.cfs_quota_us"),
            *_words(folder / "cpu.cfs_period_us"),
        ]
        if len(words) == 2 and words[0].isdigit() and int(words[1]) > 0:  # no quota is "max", or -1
            yield int(words[0]) / int(words[1])


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of the process's control group and of all that it is in, of whichever kind.

    `0::/a/b` in /proc/self/cgroup is the second kind's, `4:cpu,cpuacct:/a/b` the first's. In a container the path may
    be one of the host's, which is not there; the topmost folder is then the container's.
    """
    mount = root / "sys" / "fs" / "cgroup"
    for line in _lines(root / "proc" / "self" / "cgroup"):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number != "0" and controller not in controllers.split(","):
            continue
        top = mount if number == "0" else mount / controller
        folder = top / path.strip("/")
        while folder != top and top in folder.parents:
            yield folder
            folder = folder.parent
        yield top


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _words(path: Path) -> list[str]:
    return [word for line in _lines(path) for word in line.split()]
