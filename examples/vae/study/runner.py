"""Computes the cells that are missing, and says how far it is."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from study.cells import Cell, Profile, Result, World, version_of
from study.files import told_apart
from study.part import Part
from study.store import Store

QUIET = 10.0  # seconds between lines of progress where they cannot be written over


@dataclass
class Progress:
    """How far a part is: one line, over itself on a terminal, now and then elsewhere."""

    name: str
    cells: int
    budget: float
    done: int = 0
    computed: int = 0
    start: float = field(default_factory=time.monotonic)
    last: float = 0.0

    def show(self, *, final: bool = False) -> None:
        """Writes the line."""
        now = time.monotonic()
        spent = now - self.start
        missing = self.cells - self.done
        left = missing * spent / self.computed if self.computed else self.budget * missing / self.cells
        line = (
            f"{self.name}  {self.done}/{self.cells} cells, {clock(spent)} of {clock(self.budget)}, "
            f"about {clock(left)} left"
        )
        if sys.stdout.isatty():
            print(f"\r\033[K{line}", end="\n" if final else "", flush=True)
        elif final or now - self.last > QUIET:
            print(line, flush=True)
            self.last = now


def clock(seconds: float) -> str:
    """Minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def run(parts: Sequence[Part], profile: Profile, world: World, store: Store) -> None:
    """Computes what is missing of the parts, cell after cell, each kept at once."""
    print("budgets: " + ", ".join(f"{part.name} {clock(part.budget[profile])}" for part in parts), flush=True)
    for part in parts:
        version = version_of(part.code)
        cells = told_apart(part.plan(profile, world.files is not None), world.files)
        missing = [cell for cell in cells if store.get(cell, version) is None]
        progress = Progress(part.name, len(cells), part.budget[profile], done=len(cells) - len(missing))
        for cell in missing:
            progress.show()
            compute(part, cell, world, store, version)
            progress.done += 1
            progress.computed += 1
        progress.show(final=True)


def compute(part: Part, cell: Cell, world: World, store: Store, version: str) -> None:
    """Computes one cell and keeps it."""
    start = time.monotonic()
    measured = part.compute(cell, world)
    store.put(cell, version, measured, time.monotonic() - start)


def results_of(part: Part, profile: Profile, files: str | None, store: Store) -> list[Result] | None:
    """Returns the results of a part's cells, None if one is missing; files as in World."""
    version = version_of(part.code)
    found = [store.get(cell, version) for cell in told_apart(part.plan(profile, files is not None), files)]
    whole = [result for result in found if result is not None]
    return whole if len(whole) == len(found) else None
