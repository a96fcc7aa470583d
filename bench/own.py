"""Rows that kantor is in alone: instruction sets beside each other, and what its own benchmarks say of it."""

from __future__ import annotations

import json
import subprocess
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

import kantor
from bench.machine import ROOT
from bench.measure import interleaved
from bench.problems import Problem
from bench.rows import SCALING, Row, Session
from bench.server import calling, running

# From the fastest down; an older CPU runs those from some point on.
_SETS = ("avx512", "avx2")

_BENCH_SECONDS = 300.0


def instruction_sets(session: Session, problem: Problem, *, geomloss: bool) -> Row:
    """The same call to a server for each instruction set that the CPU has."""
    options: dict[str, Any] = {"profile": "geomloss", "scaling": SCALING} if geomloss else {}
    term = kantor.Sinkhorn(blur=problem.blur, **options)
    best = session.server.client.info().build.kernel
    sets = _SETS[_SETS.index(best) :] if best in _SETS else (best,)
    with ExitStack() as stack:
        calls = {}
        for name in sets:
            server = stack.enter_context(running(name))
            calls[name] = stack.enter_context(calling(server.client, term, *problem.clouds()))
            calls[name]()
        timings = interleaved(calls, session.budget)
    return {
        "kind": "instruction sets",
        **asdict(problem),
        "call": "profile geomloss" if geomloss else "defaults",
        "ms": {name: asdict(timing) for name, timing in timings.items()},
    }


def commands() -> tuple[str, ...]:
    """The benchmarks that the binary has."""
    ran = subprocess.run([str(ROOT / "bin" / "kantor"), "bench", "--help"], capture_output=True, check=False)
    return ("kernel", "scaling") if ran.returncode == 0 else ()


def from_command(session: Session, name: str) -> Row:
    """What `kantor bench NAME` measures in its own process."""
    del session
    command = [str(ROOT / "bin" / "kantor"), "bench", name, "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_BENCH_SECONDS)
    if ran.returncode != 0:
        raise RuntimeError((ran.stderr.strip().splitlines() or [f"status {ran.returncode}"])[-1][:200])
    return {"kind": name, "found": json.loads(ran.stdout)}
