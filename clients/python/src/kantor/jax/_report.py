"""What a call reports, as arrays."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np

from kantor._results import TermResult


class TermReport(NamedTuple):
    """One term's answer, a pytree of arrays: [] each, or [B] where the inputs are a batch of B problems.

    Attributes:
        values: unweighted, in the number format of the loss's value.
        lower: of the interval that contains the exact value, rounded down; -inf where there is none.
        upper: of that interval, rounded up; inf where there is none.
        converged: whether the solver reached its tolerance; a closed form always has.
        iterations: of the solver; 0 where nothing iterates.
    """

    values: Any
    lower: Any
    upper: Any
    converged: Any
    iterations: Any


# By the names of the terms.
Report: TypeAlias = dict[str, TermReport]


def shapes(shape: tuple[int, ...], dtype: Any) -> TermReport:
    """Returns what a term's report will be."""
    formats = (dtype, dtype, dtype, np.dtype(bool), np.dtype(np.int32))
    return TermReport(*(jax.ShapeDtypeStruct(shape, each) for each in formats))


def of_term(term: TermResult, shape: tuple[int, ...], dtype: Any) -> TermReport:
    """Returns a term's report, each number of it for all problems of the shape, which may share the term."""
    nothing = (-np.inf, np.inf)
    bounds = ((o.interval.lower, o.interval.upper) if o.interval else nothing for o in term.outcomes)
    lower, upper = np.array(list(bounds)).T
    report = TermReport(
        np.array(term.values).astype(dtype),
        -_up(-lower, dtype),
        _up(upper, dtype),
        np.array([o.solve is None or o.solve.converged for o in term.outcomes]),
        np.array([o.solve.iterations if o.solve else 0 for o in term.outcomes], np.int32),
    )
    return TermReport(*(np.broadcast_to(each, shape) for each in report))


def _up(numbers: Any, dtype: Any) -> Any:
    """Returns numbers in a format, none of them less than it was, so that an interval still contains its value."""
    rounded = numbers.astype(dtype)
    return np.where(rounded < numbers, np.nextafter(rounded, dtype.type(np.inf)), rounded)
