"""Limits of control groups of both kinds, from files as a kernel has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from kantor._machine import allowance


def files(root: Path, contents: dict[str, str]) -> Path:
    for name, content in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content + "\n")
    return root


CGROUP = "sys/fs/cgroup"
UNLIMITED = str((1 << 63) - 4096)  # the kernel's word for none in the first kind


@pytest.mark.parametrize(
    ("contents", "memory", "quota"),
    [
        ({}, None, None),
        (
            {
                "proc/self/cgroup": "0::/job/step",
                f"{CGROUP}/job/step/memory.max": "max",
                f"{CGROUP}/job/step/cpu.max": "150000 100000",
                f"{CGROUP}/job/memory.max": "4096",
                f"{CGROUP}/job/cpu.max": "max 100000",
                f"{CGROUP}/other/memory.max": "1",
            },
            4096,
            1.5,
        ),
        ({"proc/self/cgroup": "0::/../../of/the/host", f"{CGROUP}/memory.max": "8192"}, 8192, None),
        (
            {
                "proc/self/cgroup": "5:memory:/job\n4:cpu,cpuacct:/job\n0::/",
                f"{CGROUP}/memory/memory.limit_in_bytes": UNLIMITED,
                f"{CGROUP}/memory/job/memory.limit_in_bytes": "2048",
                f"{CGROUP}/cpu/cpu.cfs_quota_us": "-1",
                f"{CGROUP}/cpu/cpu.cfs_period_us": "100000",
                f"{CGROUP}/cpu/job/cpu.cfs_quota_us": "50000",
                f"{CGROUP}/cpu/job/cpu.cfs_period_us": "100000",
            },
            2048,
            0.5,
        ),
    ],
    ids=["none", "second", "container", "first"],
)
def test_control_groups(tmp_path: Path, contents: dict[str, str], memory: int | None, quota: float | None) -> None:
    got = allowance(files(tmp_path, contents))
    assert (got.memory_limit_bytes, got.processor_quota) == (memory, quota)
    assert got.memory_bytes > 1 << 20
    assert got.processors >= 1
