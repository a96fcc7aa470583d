"""What the number of samples does to a loss: the scale that minibatches prefer, and how fast distances fall.

A cell's numbers come from the server alone: values, and gradients in the points.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq

import kantor
from study.cells import Cell, Measured, Row, World

SCALES = (1.6, 1.4, 1.2, 1.0, 0.8, 0.6, 0.4, 0.2, 0.02)  # the preferred one is looked for between two of these
EXACT = 0.002  # to which it is found


def term_of(loss: str, epsilon: float) -> kantor.Term:
    """Returns a loss between `source` and `target` by its name in the tables, at ε where it has one."""
    sinkhorn = {"epsilon": epsilon, "without_interval": True}
    made: dict[str, Callable[[], kantor.Term]] = {
        "transport": kantor.Transport,
        "transport split": lambda: kantor.Transport(debias="split"),
        "sinkhorn": lambda: kantor.Sinkhorn(**sinkhorn),  # type: ignore[arg-type]
        "sinkhorn split": lambda: kantor.Sinkhorn(debias="split", **sinkhorn),  # type: ignore[arg-type]
        "energy": kantor.Mmd,
        "imq": lambda: kantor.Mmd(kernel="imq"),
        "sliced": kantor.Sliced,
    }
    return made[loss]()


def compute(cell: Cell, world: World) -> Measured:
    """One estimate from batches that its seed decides."""
    return {"scale": scale, "curve": curve, "match": match, "rate": rate}[cell.kind](cell, world)


def batches(cell: Cell) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of batches of N(0, I), [B, N, D] each, every pair in both orders: what is odd in a pair cancels."""
    p = cell.params
    d, n = int(p["D"]), int(p["N"])
    rng = np.random.default_rng([int(p["seed"]), d, n])
    g, y = rng.standard_normal((2, int(p["batches"]), n, d))
    return np.concatenate([g, y]), np.concatenate([y, g])


def scale(cell: Cell, world: World) -> Measured:
    """The scale s at which the mean loss of batches of s·g against batches of N(0, I) is least; the truth is 1.

    It is the largest s at which the slope turns from down to up: at 0, where all codes are one, it may turn again.
    """
    g, y = batches(cell)
    term = term_of(str(cell.params["loss"]), float(cell.params["epsilon"]))

    def slope(s: float) -> float:
        found = world.client.evaluate(term, source=s * g, target=y, gradients=["source.points"], seed=1)
        return float(np.sum(g * found.gradients["source.points"]) / len(g))

    above = SCALES[0]
    for below in SCALES:
        if slope(below) < 0:
            break
        above = below
    found = above if above <= below else float(brentq(slope, below, above, xtol=EXACT))
    return Measured([{"scale": found}])


def curve(cell: Cell, world: World) -> Measured:
    """Mean values of a loss over the batches, at scales from .2 to 1.6."""
    g, y = batches(cell)
    term = term_of(str(cell.params["loss"]), float(cell.params["epsilon"]))
    rows: list[Row] = []
    for s in np.linspace(0.2, 1.6, 8):
        (result,) = world.client.evaluate(term, source=s * g, target=y, seed=1).terms.values()
        rows.append({"scale": round(float(s), 3), "value": float(np.mean(result.values))})
    return Measured(rows)


def match(cell: Cell, world: World) -> Measured:
    """c_n, the mean inner product of matched points of two batches of n (docs/mathematics.md, "The shrink law").

    With ½|x-y|² the cost of a matching is ½ mean |x|² + ½ mean |y|² less that product.
    """
    g, y = batches(cell)
    (result,) = world.client.evaluate(kantor.Transport(), source=g, target=y).terms.values()
    squares = 0.5 * (np.square(g).sum(-1).mean(1) + np.square(y).sum(-1).mean(1))
    return Measured([{"c": float(np.mean(squares - np.array(result.values)))}])


def rate(cell: Cell, world: World) -> Measured:
    """Distances between two samples of n points of U[0,1]^D, all of which go to 0 as n grows.

    Beside W1 the roots of squares: of S_ε for ½|x-y|² at ε = .1 D/12, of the energy distance and of MMD with a Gaussian
    kernel, both of all pairs (V), which is never negative.
    """
    p = cell.params
    d, n = int(p["D"]), int(p["n"])
    x, y = np.random.default_rng([int(p["seed"]), d, n]).uniform(size=(2, int(p["batches"]), n, d))
    terms: dict[str, kantor.Term] = {
        "w1": kantor.Transport(p=1, name="w1"),
        "sinkhorn": kantor.Sinkhorn(epsilon=0.1 * d / 12, without_interval=True, name="sinkhorn"),
        "energy": kantor.Mmd(statistic="v", name="energy"),
        "mmd": kantor.Mmd(kernel="gaussian", blur=(d / 12) ** 0.5, statistic="v", name="mmd"),
    }
    found = world.client.evaluate(list(terms.values()), source=x, target=y).terms
    roots = {name: np.mean(np.sqrt(np.maximum(found[name].values, 0))) for name in terms if name != "w1"}
    return Measured([{"w1": float(np.mean(found["w1"].values)), **{name: float(v) for name, v in roots.items()}}])
