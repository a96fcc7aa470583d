"""What is called back from compiled functions: a computation by the server, in numpy.

Nothing here may compute with jax: what is called back while jax's threads are busy would wait for itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import jax
import numpy as np

from kantor._inputs import ConeCriticState, Input
from kantor._results import Evaluation
from kantor._terms import ConeCritic
from kantor.jax import _report, _trees

# Numbers, and problems, of one batch that vmap makes, well under the server's limits: larger ones become several.
_MOST_NUMBERS = 1 << 22
_MOST_PROBLEMS = 1 << 10

# The arrays [N, D] that every input with rows has one of; of a batch they are [B, N, D].
_OF_ROWS = (".points", ".mean", ".logits", ".probabilities")


class Leaf(NamedTuple):
    """An array among a call's arguments, as the function that vmap maps has it.

    Attributes:
        path: where it stands: `inputs["source"].points`, `seed`.
        gradient: the name of its gradient, `source.points`; empty: it has none.
        shape: its shape.
        dtype: its number format.
    """

    path: str
    gradient: str
    shape: tuple[int, ...]
    dtype: Any

    @property
    def wire(self) -> Any:
        """The number format that it is sent in, and that its gradient has."""
        return np.dtype(np.float32) if self.gradient and self.dtype.itemsize == 2 else self.dtype


@dataclass(frozen=True)
class Solve:
    """A computation by the server, of arrays that come later.

    Two that do the same are equal, so that jax compiles a call once.

    Attributes:
        loss: whose call it is.
        tree: the inputs, the seed and the overrides, without their arrays.
        leaves: these arrays.
        dtype: number format of the value.
        reports: whether a report is wanted.
        wanted: which leaves' gradients are.
    """

    loss: Any
    tree: Any
    leaves: tuple[Leaf, ...]
    dtype: Any
    reports: bool
    wanted: tuple[int, ...] = ()

    @property
    def gradients(self) -> tuple[str, ...]:
        """The names of the gradients that are wanted."""
        return tuple(self.leaves[i].gradient for i in self.wanted)

    @property
    def batch(self) -> tuple[int, ...]:
        """The number of problems of the call's inputs; nothing where they are no batch."""
        rows = (leaf.shape for leaf in self.leaves if leaf.gradient.endswith(_OF_ROWS))
        return next((shape[:1] for shape in rows if len(shape) == 3), ())

    def results(self) -> Any:
        """Returns the shapes and formats of what a call returns: the value, the report and the gradients."""
        report = _report.shapes(self.batch, self.dtype)
        return (
            jax.ShapeDtypeStruct((), self.dtype),
            tuple(report for _ in self.loss.terms) if self.reports else (),
            tuple(jax.ShapeDtypeStruct(self.leaves[i].shape, self.leaves[i].wire) for i in self.wanted),
        )

    def __call__(self, arrays: Sequence[Any]) -> Any:
        """Computes; under vmap the arrays have more axes in front, of length 1 where they are not mapped."""
        given = [a.astype(leaf.wire, copy=False) for a, leaf in zip(arrays, self.leaves, strict=True)]
        leads = [a.shape[: a.ndim - len(leaf.shape)] for a, leaf in zip(given, self.leaves, strict=True)]
        lead = np.broadcast_shapes(*leads)
        mapped = [math.prod(own) != 1 for own in leads]
        rows = [
            np.broadcast_to(a, (lead if many else leads[i]) + self.leaves[i].shape).reshape(-1, *self.leaves[i].shape)
            for i, (a, many) in enumerate(zip(given, mapped, strict=True))
        ]
        solve = self._jointly if self._joins(mapped) else self._one_by_one
        parts = solve(rows, mapped, math.prod(lead))
        columns = zip(*map(jax.tree_util.tree_leaves, parts), strict=True)
        wholes = [np.concatenate(column) for column in columns]
        structure = jax.tree_util.tree_structure(self.results())
        return jax.tree_util.tree_unflatten(structure, [whole.reshape(lead + whole.shape[1:]) for whole in wholes])

    def _joins(self, mapped: Sequence[bool]) -> bool:
        """Whether what vmap maps can be sent as a batch."""
        return (
            any(mapped)
            and all(leaf.gradient for leaf, many in zip(self.leaves, mapped, strict=True) if many)
            and not self.batch
            and not any(isinstance(term, ConeCritic) for term in self.loss.terms)
        )

    def _one_by_one(self, rows: Sequence[Any], mapped: Sequence[bool], problems: int) -> list[Any]:
        return [
            self._answer([row[i if many else 0] for row, many in zip(rows, mapped, strict=True)], 0)
            for i in range(problems)
        ]

    def _jointly(self, rows: Sequence[Any], mapped: Sequence[bool], problems: int) -> list[Any]:
        # An input is a batch as a whole, also where its gradient is wanted: vmap wants one for each problem.
        batched = {leaf.path.rpartition(".")[0] for i, leaf in enumerate(self.leaves) if mapped[i] or i in self.wanted}
        numbers = sum(math.prod(leaf.shape) for leaf in self.leaves)
        step = max(1, min(_MOST_PROBLEMS, _MOST_NUMBERS // numbers))
        parts = []
        for start in range(0, problems, step):
            count = min(step, problems - start)
            arrays = [
                row[0]
                if leaf.path.rpartition(".")[0] not in batched
                else row[start : start + count]
                if many
                else np.broadcast_to(row, (count, *leaf.shape))
                for leaf, row, many in zip(self.leaves, rows, mapped, strict=True)
            ]
            parts.append(self._answer(arrays, count))
        return parts

    def _answer(self, arrays: Sequence[Any], joint: int) -> Any:
        """Makes one call, of a batch that vmap made of so many problems, or of no such batch: 0.

        Returns the value, the report and the gradients, each with an axis of these problems in front.
        """
        inputs, seed, numbers = jax.tree_util.tree_unflatten(self.tree, arrays)
        overrides = {name: _trees.read_override(number) for name, number in numbers.items()}
        report = self.loss._stream(self.gradients).evaluate(
            {name: _sent(value) for name, value in inputs.items()}, seed=_trees.read_seed(seed), overrides=overrides
        )
        values = self._values(report, overrides, joint) if joint else np.array([report.value])
        shape = (joint or 1, *self.batch)
        terms = report.terms.values() if self.reports else ()
        gradients = (report.gradients[self.leaves[i].gradient] for i in self.wanted)
        return (
            values.astype(self.dtype),
            tuple(_report.of_term(term, shape, self.dtype) for term in terms),
            tuple(gradient if joint else gradient[None] for gradient in gradients),
        )

    def _values(self, report: Evaluation, overrides: Mapping[str, float], problems: int) -> Any:
        """Returns each problem's weighted sum of the terms, as the server adds one up."""
        out = np.zeros(problems)
        for term, result in zip(self.loss.terms, report.terms.values(), strict=True):
            weight = overrides.get(f"{result.name}.weight", term.weight)
            if weight:
                out += weight * np.array(result.values)
        return out


def _sent(value: Input) -> Input:
    """Returns an input as the wire wants it: of a critic's state jax may have made 32-bit numbers."""
    if not isinstance(value, ConeCriticState):
        return value
    arrays: dict[str, Any] = {field.name: np.float64(getattr(value, field.name)) for field in fields(value)}
    return ConeCriticState(**{**arrays, "step": int(value.step)})
