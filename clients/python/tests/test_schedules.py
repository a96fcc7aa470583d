"""kantor.schedules: their values at hand-computed steps, and what they refuse."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

import kantor
from kantor.schedules import Constant, Cosine, Cyclical, Linear, Schedule


@pytest.mark.parametrize(
    ("schedule", "want"),
    [
        (Constant(3), {0: 3, 10**9: 3}),
        (Linear(0, 4, 1000), {0: 0, 1: 0.004, 250: 1, 500: 2, 1000: 4, 1001: 4, 10**9: 4}),
        (Linear(2, -1, 3), {0: 2, 1: 1, 2: 0, 3: -1, 4: -1}),
        # (1 - cos πt)/2 at t = 0, 1/4, 1/3, 1/2, 2/3, 1.
        (Cosine(0, 1, 12), {0: 0, 3: 0.14644660940672624, 4: 0.25, 6: 0.5, 8: 0.75, 12: 1, 13: 1}),
        (Cosine(2, 0.5, 2), {0: 2, 1: 1.25, 2: 0.5}),
        (Cyclical(0, 1, 8), {0: 0, 1: 0.25, 3: 0.75, 4: 1, 7: 1, 8: 0, 9: 0.25, 80: 0}),
        (Cyclical(0, 1, 8, rise=1), {0: 0, 4: 0.5, 7: 0.875, 8: 0}),
        (Cyclical(1, 3, 4, cycles=2), {0: 1, 1: 2, 2: 3, 4: 1, 7: 3, 8: 3, 9: 3, 10**9: 3}),
    ],
)
def test_values(schedule: Schedule, want: dict[int, float]) -> None:
    got = {step: schedule(step) for step in want}
    assert all(isinstance(value, float) for value in got.values())
    assert got == pytest.approx(want, rel=1e-14, abs=1e-15)


@pytest.mark.parametrize("schedule", [Linear(0.1, 0.7, 7), Cosine(0.1, 0.7, 7), Cyclical(0.1, 0.7, 14)])
def test_both_ends_are_exact_and_it_can_be_pickled(schedule: Schedule) -> None:
    assert (schedule(0), schedule(7)) == (0.1, 0.7)
    assert pickle.loads(pickle.dumps(schedule)) == schedule


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (Linear, {"start": 0, "end": 1, "steps": 0}, "steps: is 0, want at least 1"),
        (Cosine, {"start": 0, "end": 1, "steps": -1}, "steps: is -1, want at least 1"),
        (Cyclical, {"start": 0, "end": 1, "period": 0}, "period: is 0, want at least 1"),
        (Cyclical, {"start": 0, "end": 1, "period": 4, "rise": 0}, "rise: is 0, want above 0 and at most 1"),
        (Cyclical, {"start": 0, "end": 1, "period": 4, "rise": 1.5}, "rise: is 1.5, want above 0 and at most 1"),
        (Cyclical, {"start": 0, "end": 1, "period": 4, "cycles": 0}, "cycles: is 0, want at least 1"),
    ],
)
def test_refused_by_name(make: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(kantor.InvalidArgumentError) as refused:
        make(**arguments)
    assert str(refused.value) == message


def test_it_is_found_without_an_import_of_its_own() -> None:
    assert kantor.schedules.Linear is Linear
