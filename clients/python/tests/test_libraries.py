"""Sinkhorn against the libraries that people use, each in its own conventions and run to convergence.

With C = |x-y|²/2 and ε = blur² here, the same problem is

- GeomLoss: `SamplesLoss("sinkhorn", p=2, blur=blur)`, the same value. Its error is that of annealing by `scaling`
  without a stopping rule, so it is compared at a scaling near 1.
- POT: cost |x-y|² and regularisation 2·blur², twice the value; three solves make the divergence.
"""

from __future__ import annotations

import geomloss
import numpy as np
import ot
import pytest
import torch

import kantor
from conftest import Floats
from kantor._terms import Cost


@pytest.fixture
def clouds(rng: np.random.Generator) -> tuple[Floats, Floats, Floats, Floats]:
    """Points and weights of two clouds, x [60,3], a [60], y [45,3], b [45]."""
    a, b = rng.uniform(0.5, 1.5, 60), rng.uniform(0.5, 1.5, 45)
    return rng.standard_normal((60, 3)), a / a.sum(), 0.7 * rng.standard_normal((45, 3)) + 0.5, b / b.sum()


def evaluate(client: kantor.Client, term: kantor.Term, clouds: tuple[Floats, ...]) -> kantor.Evaluation:
    x, a, y, b = clouds
    gradients = ["source.points", "target.points"]
    return client.evaluate(term, source=kantor.Measure(x, a), target=kantor.Measure(y, b), gradients=gradients)


def test_pot_value(client: kantor.Client, clouds: tuple[Floats, Floats, Floats, Floats]) -> None:
    x, a, y, b = clouds
    blur = 0.6

    def entropic(x: Floats, y: Floats, a: Floats, b: Floats) -> float:
        """OT of |x-y|² with ε KL(plan | a⊗b), from POT's plan: its own value leaves the entropy out."""
        cost, epsilon = ot.dist(x, y), 2 * blur**2
        plan = ot.bregman.sinkhorn_log(a, b, cost, epsilon, stopThr=1e-13, numItermax=100_000)
        return float((plan * cost).sum() + epsilon * (plan * np.log(plan / np.outer(a, b))).sum())

    divergence = entropic(x, y, a, b) - 0.5 * entropic(x, x, a, a) - 0.5 * entropic(y, y, b, b)
    result = evaluate(client, kantor.Sinkhorn(blur=blur, tolerance=1e-10), clouds)
    # The value is second order in the marginal errors, 1e-10 here and 1e-13 there; what is left is rounding: the
    # three terms of order 1 are sums of some 3600 products.
    np.testing.assert_allclose(2 * result.value, divergence, rtol=0, atol=1e-11)
    interval = result.terms["sinkhorn"].interval
    assert interval is not None
    assert interval.lower - 1e-11 <= divergence / 2 <= interval.upper + 1e-11
    squared = evaluate(client, kantor.Sinkhorn(epsilon=2 * blur**2, cost="squared_euclidean", tolerance=1e-10), clouds)
    np.testing.assert_allclose(squared.value, divergence, rtol=0, atol=1e-11)


def geomloss_of(clouds: tuple[Floats, ...], p: int, scaling: float) -> tuple[Floats, Floats, Floats]:
    """GeomLoss's value and its gradients in both clouds."""
    x, a, y, b = (torch.tensor(t) for t in clouds)
    x.requires_grad_()
    y.requires_grad_()
    value = geomloss.SamplesLoss("sinkhorn", p=p, blur=0.8, scaling=scaling, backend="tensorized")(a, x, b, y)
    in_x, in_y = torch.autograd.grad(value, (x, y))
    return value.detach().numpy(), in_x.numpy(), in_y.numpy()


@pytest.mark.parametrize(
    ("p", "cost", "at_zero"),
    [
        (2, "half_squared_euclidean", 0.0),
        # GeomLoss takes 1e-4 for the distance 0, so that each self term is up to that much larger.
        (1, "euclidean", 1e-4),
    ],
)
def test_geomloss_value_and_gradients(
    client: kantor.Client, clouds: tuple[Floats, Floats, Floats, Floats], p: int, cost: Cost, at_zero: float
) -> None:
    result = evaluate(client, kantor.Sinkhorn(blur=0.8, tolerance=1e-10, cost=cost), clouds)
    coarse, fine = geomloss_of(clouds, p, 0.98), geomloss_of(clouds, p, 0.99)
    # Its potentials lag behind the annealing by a part of about 1 - scaling; the value is second order in that.
    np.testing.assert_allclose(result.value, fine[0], rtol=0.01**2, atol=at_zero)
    for name, theirs, before in zip(("source.points", "target.points"), fine[1:], coarse[1:], strict=True):
        # The gradient is first order: halving 1 - scaling halves the error, so that what is left is as large as the
        # last change. Half as much again is for the higher orders.
        left = 1.5 * np.abs(theirs - before).max()
        assert left < 0.02 * np.abs(theirs).max()
        np.testing.assert_allclose(result.gradients[name], theirs, rtol=0, atol=left)


@pytest.mark.parametrize(("p", "cost"), [(2, "half_squared_euclidean"), (1, "euclidean")])
@pytest.mark.parametrize("scaling", [0.5, 0.8])
@pytest.mark.parametrize("reach", [None, 1.5])
def test_geomloss_profile_step_for_step(
    client: kantor.Client,
    clouds: tuple[Floats, Floats, Floats, Floats],
    p: int,
    cost: Cost,
    scaling: float,
    reach: float | None,
) -> None:
    x, a, y, b = (torch.tensor(t) for t in clouds)
    x.requires_grad_()
    loss = geomloss.SamplesLoss("sinkhorn", p=p, blur=0.3, scaling=scaling, reach=reach, backend="tensorized")
    value = loss(a, x, b, y)
    (in_x,) = torch.autograd.grad(value, x)
    term = kantor.Sinkhorn(blur=0.3, profile="geomloss", scaling=scaling, reach=reach, cost=cost)
    result = evaluate(client, term, clouds)
    # The same steps in another order of additions: some 30 of them, of sums over 60 terms of order 1.
    np.testing.assert_allclose(result.value, value.item(), rtol=1e-12, atol=1e-13)
    assert result.terms["sinkhorn"].interval is not None
    if reach is None:
        np.testing.assert_allclose(result.gradients["source.points"], in_x.numpy(), rtol=0, atol=1e-12)
    else:
        # SamplesLoss has the unbalanced gradient too small by a known factor, and kantor says that it has not.
        assert [warning.code for warning in result.terms["sinkhorn"].warnings][-1] == "GRADIENT_DIFFERS"


def test_pot_unbalanced_plan(client: kantor.Client, clouds: tuple[Floats, Floats, Floats, Floats]) -> None:
    x, a, y, b = clouds
    b = 1.7 * b
    epsilon, rho = 0.5, 2.0
    plan = ot.unbalanced.sinkhorn_unbalanced(
        a, b, ot.dist(x, y), epsilon, rho, reg_type="kl", stopThr=1e-14, numItermax=100_000
    )

    def kl(p: Floats, q: Floats) -> float:
        return float((p * np.log(p / q) - p + q).sum())

    # The primal objective of POT's plan, with its conventions: KL(plan | a⊗b) and ρ on both marginals.
    rows, columns = plan.sum(1), plan.sum(0)
    primal = float((plan * ot.dist(x, y)).sum()) + epsilon * kl(plan, np.outer(a, b))
    primal += rho * (kl(rows, a) + kl(columns, b))
    term = kantor.Sinkhorn(epsilon=epsilon, rho=rho, cost="squared_euclidean", debias="none", tolerance=1e-11)
    result = evaluate(client, term, (x, a, y, b))
    # Both are at their optimum to second order in errors of 1e-11.
    np.testing.assert_allclose(result.value, primal, rtol=1e-11)
