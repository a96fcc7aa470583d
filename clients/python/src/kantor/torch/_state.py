"""What a criterion keeps from call to call: the step, the seed, and the cone critics that it trains."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import torch

from kantor._errors import InvalidArgumentError
from kantor._inputs import ConeCriticState
from kantor._objective import Term, name_of
from kantor._results import Evaluation
from kantor._terms import ConeCritic
from kantor.schedules import Schedule

_MASK = (1 << 64) - 1

Critics = Mapping[str, ConeCriticState]


@dataclass
class Draw:
    """What one call computes with, kept so that a recomputation of it does the same.

    Attributes:
        step: of the call.
        critics: before the call, by the names of their terms.
        counted: whether the criterion went on to the next step with it.
    """

    step: int
    critics: Critics
    counted: bool = False


def seed_of(base: int, step: int) -> int:
    """Returns the seed of a step: those of neighbouring steps and bases have nothing in common."""
    return _mixed(_mixed(base) + step)


def _mixed(z: int) -> int:
    """Returns z after one step of SplitMix64 (Steele, Lea, Flood 2014, figure 16): a bijection of 64 bits."""
    z = (z + 0x9E3779B97F4A7C15) & _MASK
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & _MASK
    return z ^ (z >> 31)


def check_schedules(schedules: Mapping[str, Schedule], terms: Iterable[Term]) -> None:
    """Raises an InvalidArgumentError where a schedule is of no number of the terms."""
    by_name = {name_of(term): term for term in terms}
    for key, schedule in schedules.items():
        path = f'schedules["{key}"]'
        name, _, field = key.rpartition(".")
        if name not in by_name:
            want = ", ".join(f"{known}.weight" for known in by_name)
            raise InvalidArgumentError(path, f"is of no term, want term.field, such as {want}")
        if field not in {f.name for f in fields(by_name[name])}:
            raise InvalidArgumentError(path, f"is no field of {type(by_name[name]).__name__}")
        if not callable(schedule):
            raise InvalidArgumentError(path, f"is {schedule!r}, want a schedule, such as Constant({schedule!r})")


def carried(terms: Iterable[Term]) -> tuple[str, ...]:
    """Returns the names of the cone critics that nobody else keeps the state of."""
    return tuple(name_of(term) for term in terms if isinstance(term, ConeCritic) and term.state is None)


def input_of(critic: str) -> str:
    """Returns the name of the input that a critic's state is sent as."""
    return f"{critic}_state"


def with_states(terms: Iterable[Term], critics: Iterable[str]) -> tuple[Term, ...]:
    """Returns the terms, those critics among them with their state for an input."""
    return tuple(
        replace(term, state=input_of(name_of(term)))
        if isinstance(term, ConeCritic) and name_of(term) in critics
        else term
        for term in terms
    )


def inputs_of(critics: Critics, given: Iterable[str]) -> dict[str, ConeCriticState]:
    """Returns what to send for the critics beside the inputs of those names."""
    for critic in critics:
        if input_of(critic) in given:
            reason = f"is what the loss sends for {critic} itself, want another name, or ConeCritic(state=...)"
            raise InvalidArgumentError(f'inputs["{input_of(critic)}"]', reason)
    return {input_of(critic): state for critic, state in critics.items()}


def trained(report: Evaluation, critics: Iterable[str]) -> dict[str, ConeCriticState]:
    """Returns the critics' states after an evaluation."""
    states = {critic: report.terms[critic].extras["state"] for critic in critics}
    return {critic: state for critic, state in states.items() if isinstance(state, ConeCriticState)}


def to_tensors(state: ConeCriticState) -> dict[str, Any]:
    """Returns a state as tensors and a number, which torch.load(weights_only=True) reads."""
    values = {field.name: getattr(state, field.name) for field in fields(state)}
    return {name: value if name == "step" else torch.from_numpy(value.copy()) for name, value in values.items()}


def from_tensors(state: Mapping[str, Any]) -> ConeCriticState:
    """Returns the state that to_tensors was given."""
    return ConeCriticState(**{name: value if name == "step" else value.cpu().numpy() for name, value in state.items()})
