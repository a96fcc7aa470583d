"""Tests of differences between runs that share their seeds, and what to say where there are too few for a test."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEAST = 6  # pairs: with fewer no outcome of the test has p < LEVEL
LEVEL = 0.05
FEW = 3  # pairs: with fewer not even ranges say anything


@dataclass(frozen=True)
class Comparison:
    """Two samples, paired by their seeds.

    Attributes:
        difference: mean of the first less that of the second.
        verdict: `lower` or `higher`, of the first; `undecided`.
        said: the test and its numbers.
    """

    difference: float
    verdict: str
    said: str


def sign_flip(differences: np.ndarray) -> float:
    """Returns the two-sided p-value of a mean of 0 if each sign is as likely as the other (Fisher 1935, §21).

    Exact: all 2^n signs. With n pairs it is 2^(1-n) at least.
    """
    signs = np.array(list(itertools.product((1, -1), repeat=len(differences))))
    means = np.abs(signs @ differences)
    return float(np.mean(means >= abs(differences.sum()) * (1 - 1e-12)))


def compare(first: Sequence[float], second: Sequence[float]) -> Comparison:
    """Compares two samples, number k of the one with number k of the other."""
    a, b = np.array(first, float), np.array(second, float)
    if a.shape != b.shape or a.ndim != 1 or not len(a):
        raise ValueError(f"first and second have {a.shape} and {b.shape}, want as many of one as of the other")
    difference = float((a - b).mean())
    if len(a) < LEAST:
        apart = len(a) >= FEW and (a.max() < b.min() or a.min() > b.max())
        verdict = "undecided" if not apart else "lower" if difference < 0 else "higher"
        seeds = "seed" if len(a) == 1 else "seeds"
        return Comparison(difference, verdict, f"no test with {len(a)} {seeds}: {ranges(a)} against {ranges(b)}")
    p = sign_flip(a - b)
    verdict = "undecided" if p >= LEVEL else "lower" if difference < 0 else "higher"
    below = int((a < b).sum())
    said = f"exact sign-flip test over {len(a)} pairs, p = {p:.2g}: {ranges(a)} against {ranges(b)}, lower in {below}"
    return Comparison(difference, verdict, said)


def ranges(values: Sequence[float] | np.ndarray) -> str:
    """Mean and range: `0.71 (0.69 to 0.74)`."""
    numbers = np.asarray(values, float)
    return f"{short(numbers.mean())} ({short(numbers.min())} to {short(numbers.max())})"


def short(value: float) -> str:
    """Three digits that count."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
