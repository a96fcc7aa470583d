"""Exact transport against POT, run live.

POT's solver is a network simplex too, of other origin, so where the optimum is unique plan and gradients are the same
numbers but for rounding; where it is not only the value is.
"""

from __future__ import annotations

import numpy as np
import ot
import pytest
import torch

import kantor
from conftest import Floats
from kantor._terms import Cost

METRICS: dict[Cost, str] = {"squared_euclidean": "sqeuclidean", "euclidean": "euclidean"}
GRADIENTS = ["source.points", "source.weights", "target.points", "target.weights"]


def clouds(rng: np.random.Generator, n: int, m: int, d: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Points and weights, x [n,d], a [n], y [m,d], b [m]: weights that are all different make the optimum unique."""
    a, b = rng.uniform(0.5, 1.5, n), rng.uniform(0.5, 1.5, m)
    return rng.standard_normal((n, d)), a / a.sum(), 0.7 * rng.standard_normal((m, d)) + 0.5, b / b.sum()


def evaluate(client: kantor.Client, term: kantor.Term, problem: tuple[Floats, ...], *extras: str) -> kantor.Evaluation:
    x, a, y, b = problem
    return client.evaluate(
        term, source=kantor.Measure(x, a), target=kantor.Measure(y, b), gradients=GRADIENTS, extras=extras
    )


@pytest.mark.parametrize("cost", METRICS)
@pytest.mark.parametrize(("n", "m", "d"), [(1, 7, 2), (60, 45, 3), (300, 300, 8), (200, 350, 1)])
def test_pot_value_and_plan(
    client: kantor.Client, rng: np.random.Generator, cost: Cost, n: int, m: int, d: int
) -> None:
    problem = clouds(rng, n, m, d)
    x, a, y, b = problem
    matrix = ot.dist(x, y, metric=METRICS[cost])
    result = evaluate(client, kantor.Transport(cost=cost), problem, "transport.plan")
    theirs = ot.emd2(a, b, matrix)
    # Both are sums of at most n + m products that are right to an ulp or two.
    np.testing.assert_allclose(result.value, theirs, rtol=1e-12)
    interval = result.terms["transport"].interval
    assert interval is not None
    # POT's sum has rounding of its own, which the interval knows nothing of.
    assert interval.lower - 1e-13 <= theirs <= interval.upper + 1e-13
    plan = result.terms["transport"].extras["plan"]
    assert isinstance(plan, kantor.Plan)
    dense = plan.dense(n, m)
    np.testing.assert_allclose(dense.sum(1), a, rtol=0, atol=1e-15)
    np.testing.assert_allclose(dense.sum(0), b, rtol=0, atol=1e-15)
    assert np.count_nonzero(dense) <= n + m - 1
    if d > 1:  # on a line distances have many optimal plans
        np.testing.assert_allclose(dense, ot.emd(a, b, matrix), rtol=0, atol=1e-14)


def test_pot_half_squared_and_dual(client: kantor.Client, rng: np.random.Generator) -> None:
    problem = clouds(rng, 60, 45, 3)
    x, a, y, b = problem
    half = evaluate(client, kantor.Transport(), problem).value
    np.testing.assert_allclose(2 * half, ot.emd2(a, b, ot.dist(x, y)), rtol=1e-12)
    distance = ot.emd2(a, b, ot.dist(x, y, metric="euclidean"))
    exact = evaluate(client, kantor.Kantorovich(method="exact"), problem)
    np.testing.assert_allclose(exact.value, distance, rtol=1e-12)
    entropic = evaluate(client, kantor.Kantorovich(method="entropic", gap=1e-3), problem).terms["kantorovich"]
    assert entropic.interval is not None
    assert distance in entropic.interval
    assert exact.value - 1e-3 * distance <= entropic.value <= exact.value


@pytest.mark.parametrize("p", [1, 1.5, 2, 3])
def test_pot_on_the_line(client: kantor.Client, rng: np.random.Generator, p: float) -> None:
    problem = clouds(rng, 200, 150, 1)
    x, a, y, b = problem
    theirs = ot.wasserstein_1d(x, y, a, b, p=p).item()
    # POT cuts the quantiles at cumulated sums, each of which is right to 1e-16 times the number of points.
    np.testing.assert_allclose(evaluate(client, kantor.Transport(p=p), problem).value, theirs, rtol=1e-12)


@pytest.mark.parametrize("cost", METRICS)
def test_pot_gradients(client: kantor.Client, rng: np.random.Generator, cost: Cost) -> None:
    """POT's torch backend differentiates <P, C> with the plan held fixed, and gives its duals for the weights."""
    problem = clouds(rng, 60, 45, 3)
    x, a, y, b = (torch.tensor(t, requires_grad=True) for t in problem)
    matrix = torch.cdist(x, y) if cost == "euclidean" else ((x[:, None] - y[None]) ** 2).sum(-1)
    ot.emd2(a, b, matrix).backward()
    result = evaluate(client, kantor.Transport(cost=cost), problem)
    dual = evaluate(client, kantor.Kantorovich(method="exact"), problem)
    for name, tensor in zip(GRADIENTS, (x, a, y, b), strict=True):
        assert tensor.grad is not None
        theirs = tensor.grad.numpy()
        if name.endswith("weights"):  # duals are unique up to a constant, which <weights, gradient> = 0 fixes here
            theirs = theirs - theirs @ tensor.detach().numpy()
        np.testing.assert_allclose(result.gradients[name], theirs, rtol=0, atol=1e-12)
        if cost == "euclidean":
            np.testing.assert_allclose(dual.gradients[name], theirs, rtol=0, atol=1e-12)


def test_pot_split(client: kantor.Client, rng: np.random.Generator) -> None:
    """Two batches of each make split debiasing six calls of emd2."""
    batches = [rng.standard_normal((40, 8)) + shift for shift in (0.0, 0.0, 0.5, 0.5)]

    def theirs(i: int, j: int) -> float:
        return float(ot.emd2([], [], ot.dist(batches[i], batches[j])))

    want = (theirs(0, 2) + theirs(0, 3) + theirs(1, 2) + theirs(1, 3)) / 4 - (theirs(0, 1) + theirs(2, 3)) / 2
    term = kantor.Transport(cost="squared_euclidean", debias="split", second_source="x2", second_target="y2")
    result = client.evaluate(term, dict(zip(("source", "x2", "target", "y2"), batches, strict=True)))
    # The terms are some 10 each and right to 1e-14 of themselves.
    np.testing.assert_allclose(result.value, want, rtol=0, atol=1e-12)


def test_pot_duals_make_the_critic(client: kantor.Client, rng: np.random.Generator) -> None:
    """The c-transform of POT's duals is the critic, at fresh samples too; its means there are the fresh value."""
    x, a, y, b = clouds(rng, 60, 45, 3)
    fresh_x, fresh_y = rng.standard_normal((80, 3)), 0.7 * rng.standard_normal((70, 3)) + 0.5
    _, log = ot.emd(a, b, ot.dist(x, y, metric="euclidean"), log=True)

    def critic(z: Floats) -> Floats:
        values: Floats = (ot.dist(z, y, metric="euclidean") - log["v"]).min(1)
        return values

    inputs = {"source": kantor.Measure(x, a), "target": kantor.Measure(y, b), "x": fresh_x, "y": fresh_y}
    term = kantor.Kantorovich(method="exact", fresh_source="x", fresh_target="y", at="x")
    result = client.evaluate(term, inputs, extras=["kantorovich.critic"]).terms["kantorovich"]
    at_x, at_y = critic(fresh_x), critic(fresh_y)
    # Potentials are right to some 1e-15 of distances of order 1, and unique up to a constant for these weights.
    np.testing.assert_allclose(result.value, at_x.mean() - at_y.mean(), rtol=0, atol=1e-12)
    values = result.extras["critic"]
    assert isinstance(values, np.ndarray)
    np.testing.assert_allclose(values, at_x - b @ critic(y), rtol=0, atol=1e-12)
    (outcome,) = result.outcomes
    assert outcome.estimand == "population_lower_bound"
    assert outcome.interval is None
    error = np.sqrt(at_x.var(ddof=1) / 80 + at_y.var(ddof=1) / 70)
    assert outcome.standard_error is not None
    np.testing.assert_allclose(outcome.standard_error, error, rtol=1e-12)
