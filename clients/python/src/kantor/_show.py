"""How results and inputs print: a few lines, with an array as its number format and shape in place of its numbers.

So that the last line of a notebook's cell, a log or a traceback may hold one of any size.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence, Sized
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kantor._results import Evaluation, Outcome, TermResult

_LONG = 100  # characters that a value may take, unless it is an array


class Brief:
    """A dataclass, made with repr=False, that prints its arrays briefly."""

    def __repr__(self) -> str:
        fields = [(field, getattr(self, field.name)) for field in dataclasses.fields(self)]  # type: ignore[arg-type]
        shown = [f"{field.name}={brief(value)}" for field, value in fields if value is not field.default]
        return f"{type(self).__name__}({', '.join(shown)})"


def brief(value: Any) -> str:
    """Returns `float32[256, 2]` of an array, of any library; of what is long otherwise its type and length."""
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape is not None and dtype is not None:
        return f"{str(dtype).rpartition('.')[2]}{[int(length) for length in shape]}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {brief(one)}" for key, one in value.items()) + "}"
    text = repr(value)
    return text if len(text) <= _LONG or not isinstance(value, Sized) else f"{type(value).__name__} of {len(value)}"


def evaluation(result: Evaluation) -> str:
    """Returns an evaluation's value and a line for each term, each warning and each array."""
    lines = [f"Evaluation(value={result.value:.9g}, {'converged' if result.converged else 'NOT CONVERGED'})"]
    width = max(map(len, result.terms), default=0)
    lines += [f"  {name:{width}}  {_outcomes(term.outcomes)}" for name, term in result.terms.items()]
    for term in result.terms.values():
        lines += _beside(term, f"{term.name}.")
    lines += [f"  gradient {name}: {brief(gradient)}" for name, gradient in result.gradients.items()]
    return "\n".join(lines)


def term(result: TermResult) -> str:
    """Returns a term's outcome and a line for each warning and each array."""
    return "\n".join([f"TermResult({result.name!r}, {_outcomes(result.outcomes)})", *_beside(result, "")])


def _beside(term: TermResult, prefix: str) -> Iterator[str]:
    for warning in term.warnings:
        yield f"  {prefix}{warning.code}: {warning.message}"
    for name, extra in term.extras.items():
        yield f"  {prefix}{name}: {brief(extra)}"
    for name, gradient in term.gradients.items():
        yield f"  {prefix}gradient {name}: {brief(gradient)}"


def _outcomes(outcomes: Sequence[Outcome]) -> str:
    if len(outcomes) == 1:
        return _outcome(outcomes[0])
    values = [outcome.value for outcome in outcomes]
    text = f"{len(values)} problems" + (f", {min(values):.6g} to {max(values):.6g}" if values else "")
    failed = sum(outcome.solve is not None and not outcome.solve.converged for outcome in outcomes)
    return f"{text}, {failed} NOT CONVERGED" if failed else text


def _outcome(outcome: Outcome) -> str:
    text = f"{outcome.value:.9g}"
    if outcome.standard_error is not None:
        text += f" ± {outcome.standard_error:.2g}"
    if outcome.interval is not None:
        text += f" in [{outcome.interval.lower:.9g}, {outcome.interval.upper:.9g}]"
    if outcome.estimand == "population_lower_bound":
        text += ", a lower bound for the populations"
    solve = outcome.solve
    if solve is None:
        return text
    if solve.converged:
        return f"{text}, {solve.iterations} iterations"
    return f"{text}, NOT CONVERGED in {solve.iterations} iterations, marginal error {solve.marginal_error:.2g}"
