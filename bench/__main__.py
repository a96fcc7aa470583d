"""Measures kantor against other libraries and writes docs/performance.md, its plots and its numbers.

python -m bench [--full | --smoke | --render] [--only WORD [--keep]]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench import accuracy, client, exact, machine, memory, own, plots, report, rows
from bench.measure import Budget
from bench.problems import Problem, wide_blur
from bench.server import running

DOCS = machine.ROOT / "docs"


@dataclass(frozen=True)
class Task:
    """One row to measure.

    Attributes:
        name: shown while it runs.
        seconds: that it takes, roughly, for the time left.
        run: measures it.
    """

    name: str
    seconds: float
    run: Callable[[rows.Session], rows.Row]


def main() -> int:
    """Measures what the flags say, then writes; the exit status says whether every row could be measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--full", action="store_true", help="the long rows too: larger N and more dimensions")
    parser.add_argument(
        "--smoke", action="store_true", help="kantor alone on tiny problems, written nowhere: does it run?"
    )
    parser.add_argument("--render", action="store_true", help="only write the report from docs/performance.json again")
    parser.add_argument("--only", metavar="WORD", help="rows whose name contains it, printed and written nowhere")
    parser.add_argument("--keep", action="store_true", help="with --only: written, in the place of rows of their kinds")
    options = parser.parse_args()
    if options.keep and not options.only:
        parser.error("--keep wants --only WORD")
    if options.render:
        write(json.loads((DOCS / "performance.json").read_text()), DOCS)
        return 0
    tasks = list(_smoke_tasks() if options.smoke else _tasks(options.full))
    if options.only:
        tasks = [task for task in tasks if options.only in task.name]
    budget = Budget(1, 0.1) if options.smoke else Budget()
    results = measure(tasks, budget, peers=not options.smoke)
    results["full"] = options.full
    if options.smoke:
        with tempfile.TemporaryDirectory() as folder:
            write(results, Path(folder))
    elif options.only:
        print(json.dumps(results, indent=1))
        print(report.text(results, []))
        if options.keep:
            write(renewed(json.loads((DOCS / "performance.json").read_text()), results), DOCS)
    else:
        write(results, DOCS)
        print(f"wrote {DOCS / 'performance.md'}, its plots and its numbers")
    return int(any(row["kind"] == "failed" for row in results["rows"]))


def write(results: dict[str, Any], folder: Path) -> None:
    """Leaves the numbers, the report and the plots in a folder."""
    (folder / "performance.json").write_text(json.dumps(results, indent=1) + "\n")
    drawn = plots.draw(results, folder)
    (folder / "performance.md").write_text(report.text(results, drawn))


def renewed(before: dict[str, Any], results: dict[str, Any]) -> dict[str, Any]:
    """The numbers of an earlier run, with new ones for the kinds of rows that were measured; those say when that was.

    Raises:
        ValueError: they are of another machine.
    """
    about = results["machine"]
    for name in ("cpu", "cores", "kernel"):
        if about[name] != before["machine"][name]:
            raise ValueError(
                f"the {name} is {about[name]}, was {before['machine'][name]}: measure all, with make bench"
            )
    run = {name: about[name] for name in ("date", "revision", "load_before", "load_after")}
    kinds = {row["kind"] for row in results["rows"]}
    kept = [row for row in before["rows"] if row["kind"] not in kinds]
    return {**before, "rows": kept + [{**row, "run": run} for row in results["rows"]]}


def measure(tasks: list[Task], budget: Budget, *, peers: bool) -> dict[str, Any]:
    """Runs the tasks one after the other."""
    about, found = machine.describe(), []
    start = time.monotonic()
    total, done = sum(task.seconds for task in tasks), 0.0
    with running() as server:
        about["kantor"] = server.client.info().build.version
        about["kernel"] = server.client.info().build.kernel
        session = rows.Session(server, budget, peers)
        for i, task in enumerate(tasks, 1):
            spent = time.monotonic() - start
            left = (total - done) * (spent / done if done > 30 else 1.0)
            print(f"[{i}/{len(tasks)}] {task.name}; {_clock(spent)} gone, about {_clock(left)} left", flush=True)
            others = machine.Others(server.pid)
            try:
                row = task.run(session)
            except Exception as error:  # one row must not cost the others
                traceback.print_exc()
                row = {"kind": "failed", "name": task.name, "error": f"{type(error).__name__}: {error}"[:300]}
            found.append({**row, "others": others.cores()})
            done += task.seconds
    about["load_after"], about["minutes"] = (machine.load(), round((time.monotonic() - start) / 60, 1))
    return {"machine": about, "rows": found}


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def _tasks(full: bool) -> Iterator[Task]:
    """The rows of `make bench`, and of `make bench-full`."""
    for dim in (2, 16, 32, 64, 512) if full else (2, 32):
        for n in (64, 256, 1024, 4096, 16384) if full else (64, 256, 1024, 4096):
            seconds = {64: 3, 256: 3, 1024: 15, 4096: 75, 16384: 900}[n]
            yield Task(f"same work, N={n} D={dim}", seconds, partial(rows.same_work, n=n, dim=dim))
    for n in (256, 1024):
        for dim in (2, 32):
            for blur in (0.05, wide_blur(dim)):
                problem = Problem(n, dim, blur)
                seconds = 60 if n == 256 else 150
                yield Task(f"same accuracy, {problem}", seconds, partial(accuracy.same_accuracy, problem=problem))
    problem = Problem(4096, 32, wide_blur(32))
    yield Task(f"same accuracy, {problem}", 180, partial(accuracy.same_accuracy, problem=problem))
    for dim in (2, 16):
        for n in (256, 1024, 4096):
            for power in (1, 2):
                seconds, run = (
                    {256: 3, 1024: 6, 4096: 45}[n],
                    partial(exact.exact_transport, n=n, dim=dim, power=power),
                )
                yield Task(f"exact transport, N={n} D={dim} p={power}", seconds, run)
    yield from _client_tasks()
    yield Task("round trip", 4, partial(rows.round_trip, n=64, dim=8))
    yield Task("share of the round trip", 5, partial(rows.share, n=1024, dim=32))
    yield Task("beside a large request", 12, partial(rows.beside, n=64, dim=8, large=16384, seconds=5))
    yield from _own_tasks(1024)
    for n in (1024, 2048, 4096, 8192, 16384, *((32768,) if full else ()), 65536):
        yield Task(f"growth, N={n}", 100 * (n / 65536) ** 2 + 3, partial(rows.growth, n=n))
    for n in (1024, 2048, 4096, *((8192, 16384) if full else ())):
        for library in memory.LIBRARIES:
            seconds = 10 * max(1, n / 4096) ** 2
            yield Task(f"memory, {library} N={n}", seconds, partial(rows.memory, library=library, n=n))


def _client_tasks() -> Iterator[Task]:
    """The Python client by itself, and in the place of GeomLoss."""
    for dim in (2, 32):
        for n in (64, 256, 1024, 4096):
            seconds = {64: 3, 256: 3, 1024: 15, 4096: 75}[n]
            yield Task(f"client: drop-in, N={n} D={dim}", seconds, partial(client.drop_in, n=n, dim=dim))
    for dim in (2, 32):
        yield Task(f"client: torch overhead, N=256 D={dim}", 12, partial(client.torch_overhead, n=256, dim=dim))
    yield Task("client: overlap", 15, partial(client.overlap, n=1024, dim=32))
    yield Task("client: imports", 10, client.imports)


def _own_tasks(n: int) -> Iterator[Task]:
    """Instruction sets on the problems of the other rows, and kantor's own benchmarks."""
    for dim in (2, 32):
        narrow = Problem(n, dim, 0.05)
        cases = ((narrow, True), (narrow, False), (Problem(n, dim, wide_blur(dim)), False))
        for problem, geomloss in cases:
            name = f"instruction sets, {problem} {'geomloss' if geomloss else 'defaults'}"
            yield Task(name, 5, partial(own.instruction_sets, problem=problem, geomloss=geomloss))
    for name in own.commands():
        yield Task(name, 60, partial(own.from_command, name=name))


def _smoke_tasks() -> Iterator[Task]:
    """One row of each kind, without other libraries."""
    for n in (16, 32):
        yield Task(f"same work, N={n}", 1, partial(rows.same_work, n=n, dim=2))
        yield Task(f"same accuracy, N={n}", 1, partial(accuracy.same_accuracy, problem=Problem(n, 2, 0.5)))
        yield Task(f"growth, N={n}", 1, partial(rows.growth, n=n))
    yield Task("exact transport", 1, partial(exact.exact_transport, n=120, dim=2, power=1))
    problem = Problem(16, 2, 0.5)
    yield Task("instruction sets", 1, partial(own.instruction_sets, problem=problem, geomloss=True))
    yield Task("round trip", 1, partial(rows.round_trip, n=8, dim=2, calls=50))
    yield Task("share of the round trip", 1, partial(rows.share, n=16, dim=2))
    yield Task("client: drop-in", 1, partial(client.drop_in, n=16, dim=2))
    yield Task("client: torch overhead", 1, partial(client.torch_overhead, n=16, dim=2, calls=20))
    yield Task("client: overlap", 1, partial(client.overlap, n=16, dim=2, steps=4))
    yield Task("client: imports", 2, partial(client.imports, processes=1))
    yield Task("beside a large request", 2, partial(rows.beside, n=8, dim=2, large=4096, seconds=0.2))


if __name__ == "__main__":
    sys.exit(main())
