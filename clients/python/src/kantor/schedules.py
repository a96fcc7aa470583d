"""Numbers that change from step to step, such as the weight of a term or its blur.

    kantor.torch.Loss(kantor.GaussianKl(), schedules={"kl.weight": kantor.schedules.Linear(0, 4, 1000)})

A schedule is a function of the step, counted from 0, and of nothing else: the step is all that a checkpoint needs. Any
other function of an int that returns a float is one too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from kantor._errors import InvalidArgumentError

__all__ = ["Constant", "Cosine", "Cyclical", "Linear", "Schedule"]

Schedule: TypeAlias = Callable[[int], float]


@dataclass(frozen=True)
class Constant:
    """The same at every step.

    Attributes:
        value: what it is.
    """

    value: float

    def __call__(self, step: int) -> float:
        """Returns the value."""
        return float(self.value)


@dataclass(frozen=True)
class Linear:
    """From start at step 0 along a line to end at step `steps`, and end from there on.

    Attributes:
        start: the first value.
        end: the last value.
        steps: at least 1.
    """

    start: float
    end: float
    steps: int

    def __post_init__(self) -> None:
        _at_least_one("steps", self.steps)

    def __call__(self, step: int) -> float:
        """Returns the value at a step."""
        return _between(self.start, self.end, step / self.steps)


@dataclass(frozen=True)
class Cosine:
    """From start at step 0 along half a cosine wave, level at both ends, to end at step `steps`; end from there on.

    Attributes:
        start: the first value.
        end: the last value.
        steps: at least 1.
    """

    start: float
    end: float
    steps: int

    def __post_init__(self) -> None:
        _at_least_one("steps", self.steps)

    def __call__(self, step: int) -> float:
        """Returns the value at a step."""
        return _between(self.start, self.end, (1 - math.cos(math.pi * min(step / self.steps, 1.0))) / 2)


@dataclass(frozen=True)
class Cyclical:
    """Again and again from start to end along a line, then end for the rest of the cycle.

    Fu, Li, Liu, Gao, Celikyilmaz, Carin 2019, "Cyclical Annealing Schedule", equation 6: there start is 0, end is 1,
    and four cycles make a training.

    Attributes:
        start: the value at the beginning of a cycle.
        end: the value at the end of a cycle.
        period: steps of a cycle, at least 1.
        rise: the part of a cycle in which the value changes, above 0 and at most 1.
        cycles: after so many the value stays at end; None: never.
    """

    start: float
    end: float
    period: int
    rise: float = 0.5
    cycles: int | None = None

    def __post_init__(self) -> None:
        _at_least_one("period", self.period)
        if not 0 < self.rise <= 1:
            raise InvalidArgumentError("rise", f"is {self.rise}, want above 0 and at most 1")
        if self.cycles is not None:
            _at_least_one("cycles", self.cycles)

    def __call__(self, step: int) -> float:
        """Returns the value at a step."""
        cycle, within = divmod(step, self.period)
        if self.cycles is not None and cycle >= self.cycles:
            return float(self.end)
        return _between(self.start, self.end, within / (self.rise * self.period))


def _between(start: float, end: float, part: float) -> float:
    """Returns what is that part of the way from start to end; both ends exactly."""
    return float(end) if part >= 1 else start + (end - start) * part


def _at_least_one(field: str, value: int) -> None:
    if value < 1:
        raise InvalidArgumentError(field, f"is {value}, want at least 1")
