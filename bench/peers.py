"""The other libraries, each as a callable that gives the divergence and its gradient in the source points.

The convention is kantor's, C = |x-y|²/2 and ε = blur². For OTT and POT the cost is |x-y|², so that their ε is 2 blur²
and their value twice ours: both results are halved. Arguments become the library's own arrays before the clock runs, as
they would be in a program that uses it. Importing this module imports none of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from bench.machine import ROOT
from bench.measure import Call
from bench.problems import Floats, Problem

_OTT_ITERATIONS = 4000


def samples_loss(problem: Problem, scaling: float, backend: str = "tensorized") -> Call:
    """GeomLoss's SamplesLoss; `online` goes through KeOps, which compiles at the first call."""
    os.environ.setdefault("KEOPS_CACHE_FOLDER", str(ROOT / "bench" / ".venv" / "keops"))
    import geomloss
    import torch

    x, y = map(torch.from_numpy, problem.clouds())
    loss = geomloss.SamplesLoss("sinkhorn", p=2, blur=problem.blur, scaling=scaling, backend=backend)

    def call() -> tuple[float, Floats]:
        source = x.requires_grad_()
        value = loss(source, y)
        (gradient,) = torch.autograd.grad(value, source)
        return value.item(), gradient.numpy()

    return call


@dataclass(frozen=True)
class Ott:
    """How OTT iterates.

    Attributes:
        threshold: L1 marginal error at which it stops, looked at every ten iterations.
        momentum: constant over-relaxation; 1 is none.
        adaptive_from: iteration from which the momentum follows the measured rate (Lehmann et al. 2021); None: never.
        self_iterations: of the self terms, exactly; None: what sinkhorn_divergence gives them, ten at the least.
    """

    threshold: float
    momentum: float = 1.0
    adaptive_from: int | None = None
    self_iterations: int | None = None

    def __str__(self) -> str:
        words = f"threshold {self.threshold:g}, "
        words += f"adaptive from {self.adaptive_from}" if self.adaptive_from else f"momentum {self.momentum:g}"
        return words + (f", {self.self_iterations} self iterations" if self.self_iterations else "")


def ott(problem: Problem, option: Ott) -> Call:
    """OTT's sinkhorn_divergence, compiled."""
    import jax

    x, y = map(jax.numpy.asarray, problem.clouds())
    compiled = _ott_compiled(option.adaptive_from, option.self_iterations, 2 * problem.epsilon)

    def call() -> tuple[float, Floats]:
        value, gradient = compiled(x, y, option.threshold, option.momentum)
        return float(value) / 2, np.asarray(gradient) / 2

    return call


@cache
def _ott_compiled(adaptive_from: int | None, self_iterations: int | None, epsilon: float) -> Callable[..., Any]:
    """One compilation for all thresholds and momenta of a problem."""
    import jax
    from ott.geometry import pointcloud
    from ott.solvers import linear
    from ott.solvers.linear import acceleration
    from ott.tools import sinkhorn_divergence

    def options(threshold: Any, momentum: Any) -> dict[str, Any]:
        weight = acceleration.Momentum(start=adaptive_from or 0, value=1.0 if adaptive_from else momentum)
        return {"threshold": threshold, "momentum": weight, "max_iterations": _OTT_ITERATIONS}

    def standard(x: Any, y: Any, threshold: Any, momentum: Any) -> Any:
        kwargs = options(threshold, momentum)
        cloud = pointcloud.PointCloud
        return sinkhorn_divergence.sinkhorn_divergence(cloud, x, y, epsilon=epsilon, solve_kwargs=kwargs)[0]

    def shorter(x: Any, y: Any, threshold: Any, momentum: Any) -> Any:
        """The same three problems as sinkhorn_divergence solves, the self terms with a count of their own."""

        def cost(x: Any, y: Any, **kwargs: Any) -> Any:
            return linear.solve(pointcloud.PointCloud(x, y, epsilon=epsilon), **kwargs).reg_ot_cost

        averaged = acceleration.Momentum(start=0, value=0.5)
        own = {"parallel_dual_updates": True, "momentum": averaged, "threshold": -1.0}
        own |= {"inner_iterations": self_iterations, "max_iterations": self_iterations}
        return cost(x, y, **options(threshold, momentum)) - (cost(x, x, **own) + cost(y, y, **own)) / 2

    compiled: Callable[..., Any] = jax.jit(jax.value_and_grad(standard if self_iterations is None else shorter))
    return compiled


def pot(problem: Problem, threshold: float, iterations: int = 1000) -> Call:
    """POT's sinkhorn_log, three solves; the gradient from the plans, because POT has none for the entropic value."""
    import ot

    x, y = problem.clouds()
    n, epsilon = problem.n, 2 * problem.epsilon
    weights = np.full(n, 1 / n, np.float32)

    def solve(x: Floats, y: Floats) -> tuple[float, Floats]:
        cost = ot.dist(x, y)
        options = {"numItermax": iterations, "stopThr": threshold, "warn": False}
        plan = ot.bregman.sinkhorn_log(weights, weights, cost, epsilon, **options)
        entropy = epsilon * (plan * np.log(np.maximum(plan, 1e-38) * n * n)).sum()
        return float((plan * cost).sum() + entropy), 2 * (x * plan.sum(1, keepdims=True) - plan @ y)

    def call() -> tuple[float, Floats]:
        (cross, towards), (own, away), (other, _) = solve(x, y), solve(x, x), solve(y, y)
        return (cross - (own + other) / 2) / 2, (towards - away) / 2

    return call


def emd2(problem: Problem, power: int) -> Call:
    """POT's exact W_p^p for the cost |x-y|^p from the points: a matrix of costs in float64, then the network simplex.

    It has no gradient in NumPy. The iterations are enough for the optimum, where the default may stop short of it.
    """
    import ot

    x, y = (cloud.astype(np.float64) for cloud in problem.clouds())
    weights = np.full(problem.n, 1 / problem.n)
    metric = {1: "euclidean", 2: "sqeuclidean"}[power]

    def call() -> tuple[float, Floats]:
        value = ot.emd2(weights, weights, ot.dist(x, y, metric=metric), numItermax=100_000_000)
        return float(value), np.empty(0)

    return call
