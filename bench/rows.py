"""The rows of the report, but for those of the same accuracy; each function measures one."""

from __future__ import annotations

import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

import kantor
from bench import peers
from bench.machine import ROOT
from bench.measure import Budget, Call, Timing, interleaved
from bench.problems import Problem, off, wide_blur
from bench.server import Running, calling, evaluate, running

Row = dict[str, Any]

# SamplesLoss's defaults.
SCALING = 0.5
_BLUR = 0.05

# KeOps pays from about here.
_ONLINE_FROM = 1024

_GROWTH_DIM = 32

# Too few for the default tolerance, so that they are the same for every N.
_GROWTH_ITERATIONS = 10

# Seconds from which on one call is measurement enough.
_LONG = 5.0


@dataclass(frozen=True)
class Session:
    """What every row needs.

    Attributes:
        server: that is measured.
        budget: of one row.
        peers: whether the other libraries are there.
    """

    server: Running
    budget: Budget
    peers: bool = True


def same_work(session: Session, n: int, dim: int) -> Row:
    """Kantor's profile `geomloss` and SamplesLoss: the same steps on the same numbers."""
    problem = Problem(n, dim, _BLUR)
    candidates: dict[str, Callable[[], Call]] = {}
    if session.peers:
        candidates["SamplesLoss"] = lambda: peers.samples_loss(problem, SCALING)
        if n >= _ONLINE_FROM:
            candidates["SamplesLoss online"] = lambda: peers.samples_loss(problem, SCALING, "online")
    row: Row = {"kind": "same work", **asdict(problem), "scaling": SCALING, "agreement": {}, "absent": {}}
    term = kantor.Sinkhorn(blur=_BLUR, scaling=SCALING, profile="geomloss", without_interval=True)
    with ExitStack() as stack:
        calls = {"kantor": stack.enter_context(calling(session.server.client, term, *problem.clouds()))}
        value, gradient = calls["kantor"]()
        for name, make in candidates.items():
            try:
                calls[name] = make()
                peer_value, peer_gradient = calls[name]()
            except Exception as error:  # a compiler that is missing, memory: whatever keeps a peer from running
                calls.pop(name, None)
                row["absent"][name] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
                continue
            row["agreement"][name] = {
                "value": abs(value - peer_value) / abs(peer_value),
                "gradient": off(gradient, peer_gradient.astype(np.float64)),
            }
        row["ms"] = {name: asdict(timing) for name, timing in interleaved(calls, session.budget).items()}
    return row


def round_trip(session: Session, n: int, dim: int, calls: int = 2000) -> Row:
    """A loss that costs nothing, so that what is left is the way there and back."""
    rng = np.random.default_rng(0)
    mean, log_variance = rng.standard_normal((2, n, dim)).astype(np.float32)
    term, wanted = kantor.GaussianKl(), ["posterior.mean", "posterior.log_variance"]
    argument = kantor.Gaussian(mean, log_variance)
    client = session.server.client
    row: Row = {"kind": "round trip", "n": n, "dim": dim, "ms": {}}
    with client.stream(term, gradients=wanted) as stream:
        ways: dict[str, Callable[[], kantor.Evaluation]] = {
            "stream": lambda: stream.evaluate(posterior=argument),
            "unary": lambda: client.evaluate(term, posterior=argument, gradients=wanted),
        }
        times: dict[str, list[float]] = {name: [] for name in ways}
        # Blocks of fifty in turn; the first calls warm up.
        for _ in range(max(calls // 50, 1)):
            for name, way in ways.items():
                for _ in range(50):
                    start = time.perf_counter()
                    way()
                    times[name].append((time.perf_counter() - start) * 1e3)
    for name, found in times.items():
        kept = sorted(found[len(found) // 10 :])
        row["ms"][name] = {"p50": statistics.median(kept), "p95": kept[int(0.95 * len(kept))], "calls": len(kept)}
    return row


def share(session: Session, n: int, dim: int) -> Row:
    """How much of a call is not computing: the wall clock here against the server's own account."""
    problem = Problem(n, dim, wide_blur(dim))
    row: Row = {"kind": "share", **asdict(problem), "shares": {}}
    x, y = problem.clouds()
    for name, without in (("defaults", False), ("without interval", True)):
        term = kantor.Sinkhorn(blur=problem.blur, without_interval=without)
        with session.server.client.stream(term, gradients=["source.points"]) as stream:
            walls, computes = [], []
            for _ in range(20):
                start = time.perf_counter()
                result = stream.evaluate(source=x, target=y)
                walls.append((time.perf_counter() - start) * 1e3)
                computes.append(result.timing.compute * 1e3)
        wall, compute = statistics.median(walls), statistics.median(computes)
        row["shares"][name] = {"wall_ms": wall, "compute_ms": compute, "share": 1 - compute / wall}
    return row


def beside(session: Session, n: int, dim: int, large: int, seconds: float) -> Row:
    """How long small requests take, alone and while one of a large problem is being computed, one after the other."""
    client, small = session.server.client, Problem(n, dim, wide_blur(dim))
    row: Row = {"kind": "beside", "n": n, "dim": dim, "large": large, "ms": {}}
    with calling(client, kantor.Sinkhorn(blur=small.blur, without_interval=True), *small.clouds()) as call:
        row["ms"]["alone"] = _percentiles(call, seconds)
        problem = Problem(large, _GROWTH_DIM, wide_blur(_GROWTH_DIM))
        # Neither the tolerance nor the iterations are reached: the timeout ends it.
        term = kantor.Sinkhorn(blur=problem.blur, tolerance=1e-12, max_iterations=1 << 30)
        x, y = problem.clouds()
        work = threading.Thread(target=_until_late, args=(client, term, x, y, seconds + 1))
        work.start()
        time.sleep(0.5)  # until it computes
        row["ms"]["beside"] = _percentiles(call, seconds)
        row["overlapped"] = work.is_alive()
        work.join()
    return row


def _percentiles(call: Call, seconds: float) -> dict[str, float]:
    times = []
    end = time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        call()
        times.append((time.perf_counter() - start) * 1e3)
    times.sort()
    return {"p50": statistics.median(times), "p99": times[int(0.99 * len(times))], "calls": len(times)}


def _until_late(client: kantor.Client, term: kantor.Term, x: Any, y: Any, seconds: float) -> None:
    with suppress(kantor.DeadlineError):
        client.evaluate(term, source=x, target=y, timeout=seconds)


def growth(session: Session, n: int) -> Row:
    """Time and memory of a server of its own at fixed ε and iterations."""
    problem = Problem(n, _GROWTH_DIM, wide_blur(_GROWTH_DIM))
    term = kantor.Sinkhorn(blur=problem.blur, max_iterations=_GROWTH_ITERATIONS, without_interval=True)
    with running() as server:
        idle = server.peak_kib()
        start = time.perf_counter()
        result = evaluate(server.client, term, problem)
        first = time.perf_counter() - start
        solve = result.terms["sinkhorn"].solve
        if first > _LONG:
            timing = Timing(first * 1e3, first * 1e3, first * 1e3, 1)
        else:
            with calling(server.client, term, *problem.clouds()) as call:
                timing = interleaved({"kantor": call}, session.budget)["kantor"]
        peak = server.peak_kib()
    return {
        "kind": "growth",
        **asdict(problem),
        "iterations": solve.iterations if solve else None,
        "ms": asdict(timing),
        "idle_mib": idle / 1024,
        "peak_mib": peak / 1024,
    }


def memory(session: Session, library: str, n: int) -> Row:
    """A peer's peak memory in a process of its own, above what it has after a small problem."""
    row: Row = {"kind": "memory", "library": library, "n": n, "dim": _GROWTH_DIM}
    command = [sys.executable, "-m", "bench.memory", library, str(n), str(_GROWTH_DIM)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    try:
        small, peak = (int(word) / 1024 for word in ran.stdout.split()[-2:])
        row |= {"small_mib": small, "peak_mib": peak}
    except ValueError:
        row["absent"] = (ran.stderr.strip().splitlines() or [f"status {ran.returncode}"])[-1][:200]
    return row
