"""Timing: several callables in turn, so that what happens to the machine happens to all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench.problems import Floats

# Computes once and waits for the result.
Call = Callable[[], tuple[float, Floats]]

# A library's turn: short calls go on for as long, so that neither the caches nor another library's threads, which spin
# for a while before they sleep, are what is measured.
_TURN_SECONDS = 0.1
_ROUNDS_MOST = 40


@dataclass(frozen=True)
class Budget:
    """How long one row may take.

    Attributes:
        rounds: turns of each library, at the least unless the time is up.
        seconds: after which no further round begins.
    """

    rounds: int = 5
    seconds: float = 60.0


@dataclass(frozen=True)
class Timing:
    """What was measured of one callable, in milliseconds.

    Attributes:
        median: of the rounds' medians.
        least: of the rounds' medians.
        most: of the rounds' medians.
        rounds: how many there were.
    """

    median: float
    least: float
    most: float
    rounds: int


def interleaved(calls: Mapping[str, Call], budget: Budget) -> dict[str, Timing]:
    """Times the callables in turn; each has run before, so that nothing is compiled here.

    There are at least budget.rounds rounds, or as many as begin within budget.seconds; short rows get more, for about
    two seconds.
    """
    turns: dict[str, list[float]] = {name: [] for name in calls}
    start = time.perf_counter()
    for done in range(_ROUNDS_MOST):
        spent = time.perf_counter() - start
        if done and (spent > budget.seconds or (done >= budget.rounds and spent > min(2.0, budget.seconds))):
            break
        for name, call in calls.items():
            turns[name].append(_turn(call))
    return {name: Timing(statistics.median(found), min(found), max(found), len(found)) for name, found in turns.items()}


def once(call: Call) -> float:
    """The milliseconds of one call."""
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e3


def _turn(call: Call) -> float:
    """The median milliseconds of the calls of one turn; of a short call the first of a turn does not count."""
    times = [once(call)]
    if times[0] > 1e3 * _TURN_SECONDS:
        return times[0]
    end = time.perf_counter() + _TURN_SECONDS
    while time.perf_counter() < end or len(times) < 2:
        times.append(once(call))
    return statistics.median(times[1:])
