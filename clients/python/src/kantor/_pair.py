"""Two clouds as kantor.explain and kantor.plot look at them: as they are sent, and as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kantor import _codec
from kantor._errors import InvalidArgumentError
from kantor._inputs import Measure, Prior
from kantor._terms import Sinkhorn, Transport

if TYPE_CHECKING:
    import numpy.typing as npt

    from kantor._client import Client
    from kantor._inputs import Input
    from kantor._results import Evaluation

    Floats = npt.NDArray[np.float64]
    Marks = npt.NDArray[np.bool_]

_FEWEST = 4  # points, of which each half has two
_BELOW = 0.95
_LOOKED_AT = 512  # points whose nearest neighbours are looked for


@dataclass(frozen=True)
class Pair:
    """Two clouds as they are sent, the samples of a prior among them, and whom to ask.

    Attributes:
        inputs: by name, source and target; a prior in place of its samples, for which nothing is sent.
        points: by name, [N, D] in float64.
        weights: by name, [N], of sum 1.
    """

    client: Client
    inputs: Mapping[str, Input]
    points: Mapping[str, Floats]
    weights: Mapping[str, Floats]
    seed: int

    @property
    def x(self) -> Floats:
        return self.points["source"]

    @property
    def y(self) -> Floats:
        return self.points["target"]

    def evaluate(self, term: Sinkhorn, *, seed: int | None = None, extras: str = "") -> Evaluation:
        """A step of a training: value and gradient in the points of a measure."""
        moved = next(name for name, value in self.inputs.items() if not isinstance(value, Prior))
        return self.client.evaluate(
            term,
            self.inputs,
            gradients=f"{moved}.points",
            extras=extras or (),
            seed=self.seed if seed is None else seed,
        )

    def without(self, rows: Mapping[str, Marks]) -> Pair:
        """The pair without the rows that are marked."""
        points = {name: self.points[name][~out] for name, out in rows.items()}
        weights = {name: self.weights[name][~out] / self.weights[name][~out].sum() for name, out in rows.items()}
        inputs = {name: Measure(points[name], weights[name]) for name in rows}
        return Pair(self.client, inputs, points, weights, self.seed)

    def moderate_blur(self) -> float:
        """A little below the server's default, ε = blur², in three digits: a number that one copies is the one tried.

        Below it, since a given blur above it may be warned of in many dimensions, and other batches have other spreads.
        """
        quick = Sinkhorn(debias="none", max_iterations=1, without_interval=True)
        solve = self.client.evaluate(quick, self.inputs, seed=self.seed).terms["sinkhorn"].solve
        assert solve is not None
        return float(f"{_BELOW * np.sqrt(solve.epsilon):.3g}")

    def uniform(self) -> bool:
        """Whether each cloud's points have the same weight."""
        return all(float(np.ptp(w)) <= 1e-6 * float(w.max()) for w in self.weights.values())


def look(client: Client, x: Input, y: Input, seed: int) -> Pair:
    """Checks the arguments, and has the priors sampled."""
    inputs: dict[str, Input] = {"source": x, "target": y}
    points: dict[str, Floats] = {}
    weights: dict[str, Floats] = {}
    for name, value in inputs.items():
        if isinstance(value, Prior):
            continue
        measure = value if isinstance(value, Measure) else Measure(value)
        array = np.asarray(_codec.array(measure.points, f'inputs["{name}"].points'), np.float64)
        if array.ndim != 2 or len(array) < _FEWEST or measure.sizes is not None:
            raise InvalidArgumentError(
                f'inputs["{name}"].points', f"has shape {list(array.shape)}, want [N, D], at least {_FEWEST} points"
            )
        if not np.isfinite(array).all():
            raise InvalidArgumentError(f'inputs["{name}"].points', "has NaN or infinity")
        points[name] = array
        given = np.ones(len(array)) if measure.weights is None else measure.weights
        w = np.asarray(_codec.array(given, f'inputs["{name}"].weights'), np.float64)
        weights[name] = w / w.sum() if w.shape == (len(array),) and w.sum() > 0 else w
    if not points:
        raise InvalidArgumentError('inputs["source"]', f"is {x!r} and the target {y!r}, want points of one of them")
    # What is wrong beyond this the server finds: dimensions that differ, weights, masses.
    client.evaluate(Sinkhorn(max_iterations=1, without_interval=True, debias="none"), inputs, seed=seed)
    for name, value in inputs.items():
        if isinstance(value, Prior):
            (other,) = (array for at, array in points.items() if at != name)
            points[name] = samples(client, name, value, other, seed)
            weights[name] = np.full(len(points[name]), 1 / len(points[name]))
    return Pair(client, inputs, points, weights, seed)


def samples(client: Client, name: str, prior: Prior, other: Floats, seed: int) -> Floats:
    """What the server compares with, which is not sent: the end of transport from a single point to it."""
    size: Any = getattr(prior, "size", None) or len(other)
    start = np.zeros((1, other.shape[1]))
    term, extra = Transport("start", name, time=1.0), "transport.interpolation"
    result = client.evaluate(term, {"start": start, name: replace(prior, size=size)}, extras=extra, seed=seed)  # type: ignore[call-arg]
    end = result.terms["transport"].extras["interpolation"]
    assert isinstance(end, Measure)
    return np.asarray(end.points, np.float64)


def variances(points: Floats, weights: Floats) -> Floats:
    mean = weights @ points
    variances: Floats = weights @ (points - mean) ** 2
    return variances


def half_squared(a: Floats, b: Floats) -> Floats:
    """½|a_i - b_j|², relative to the mean of b so that a common offset costs no digits."""
    a, b = a - b.mean(axis=0), b - b.mean(axis=0)
    costs: Floats = 0.5 * np.sum(a**2, axis=1)[:, None] + 0.5 * np.sum(b**2, axis=1) - a @ b.T
    return np.maximum(costs, 0)


def nearest(points: Floats, others: Floats, *, itself: bool = False) -> Floats:
    """The distance of points to the nearest of others; with itself those are the points, of which each is no neighbour.

    Of many points some are looked at.
    """
    rows = np.arange(len(points))[:: max(1, len(points) // _LOOKED_AT) if itself else 1]
    found = []
    for some in np.array_split(rows, max(1, len(rows) // _LOOKED_AT)):  # so that memory does not grow with both
        costs = half_squared(points[some], others)
        if itself:
            costs[np.arange(len(some)), some] = np.inf
        found.append(np.sqrt(2 * costs.min(axis=1, initial=np.inf)))
    return np.concatenate(found)
