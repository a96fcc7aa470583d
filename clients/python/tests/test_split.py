"""Split-batch debiasing against six problems that POT and GeomLoss solve on the same halves."""

from __future__ import annotations

import itertools

import geomloss
import numpy as np
import ot
import pytest
import torch

import kantor
from conftest import Floats
from kantor._terms import Cost, Debias

BLUR = 0.6
NAMES = ("source", "source_too", "target", "target_too")
# Between which of the four batches, and how often it counts.
SHARES = {(0, 2): 0.25, (0, 3): 0.25, (1, 2): 0.25, (1, 3): 0.25, (0, 1): -0.5, (2, 3): -0.5}


def split(cost: Cost = "half_squared_euclidean") -> kantor.Sinkhorn:
    """The term with second batches, so that the halves are the caller's own."""
    return kantor.Sinkhorn(
        debias="split", second_source="source_too", second_target="target_too", blur=BLUR, cost=cost, tolerance=1e-10
    )


@pytest.fixture
def batches(rng: np.random.Generator) -> list[Floats]:
    """Two batches of the source and two of the target, [25, 3]: an odd number needs no halves."""
    return [*(0.7 * rng.standard_normal((2, 25, 3)) + 0.3), *rng.standard_normal((2, 25, 3))]


def by_pot(x: Floats, y: Floats, cost: Cost = "half_squared_euclidean") -> tuple[float, Floats]:
    """OT with ε KL(plan | a⊗b), which POT's own value leaves out, and POT's plan."""
    costs = ot.dist(x, y, metric="euclidean" if cost == "euclidean" else "sqeuclidean")
    costs = costs / 2 if cost == "half_squared_euclidean" else costs
    epsilon = BLUR if cost == "euclidean" else BLUR**2
    a, b = np.full(len(x), 1 / len(x)), np.full(len(y), 1 / len(y))
    plan = ot.bregman.sinkhorn_log(a, b, costs, epsilon, stopThr=1e-13, numItermax=100_000)
    return float((plan * costs).sum() + epsilon * (plan * np.log(plan / np.outer(a, b))).sum()), plan


def six_by_pot(batches: list[Floats], cost: Cost = "half_squared_euclidean") -> float:
    return sum(share * by_pot(batches[i], batches[j], cost)[0] for (i, j), share in SHARES.items())


@pytest.mark.parametrize("cost", ["half_squared_euclidean", "squared_euclidean", "euclidean"])
def test_value_is_that_of_six_problems_by_pot(client: kantor.Client, batches: list[Floats], cost: Cost) -> None:
    result = client.evaluate(split(cost), dict(zip(NAMES, batches, strict=True)))
    # Second order in the marginal errors, 1e-10 here and 1e-13 there; rounding is in sums over some 600 products.
    np.testing.assert_allclose(result.value, six_by_pot(batches, cost), rtol=0, atol=1e-11)
    interval = result.terms["sinkhorn"].interval
    assert interval is not None
    assert interval.lower - 1e-11 <= six_by_pot(batches, cost) <= interval.upper + 1e-11


def test_gradients_are_those_of_six_problems_by_pot(client: kantor.Client, batches: list[Floats]) -> None:
    gradients = [np.zeros_like(batch) for batch in batches]
    for (i, j), share in SHARES.items():
        plan = by_pot(batches[i], batches[j])[1]
        # Of <plan, ½|x-y|²> with the plan held fixed.
        gradients[i] += share * (plan.sum(1)[:, None] * batches[i] - plan @ batches[j])
        gradients[j] += share * (plan.sum(0)[:, None] * batches[j] - plan.T @ batches[i])
    inputs = dict(zip(NAMES, batches, strict=True))
    result = client.evaluate(split(), inputs, gradients=[f"{name}.points" for name in NAMES])
    for name, gradient in zip(NAMES, gradients, strict=True):
        # First order in the marginal errors, 1e-10 here, over the slowest rate of the iteration.
        np.testing.assert_allclose(np.asarray(result.gradients[f"{name}.points"]), gradient, rtol=0, atol=1e-9)


def test_gradients_are_those_of_six_problems_by_geomloss(client: kantor.Client, batches: list[Floats]) -> None:
    result = client.evaluate(
        split(), dict(zip(NAMES, batches, strict=True)), gradients=[f"{name}.points" for name in NAMES]
    )

    def by_geomloss(scaling: float) -> list[Floats]:
        leaves = [torch.tensor(batch, requires_grad=True) for batch in batches]
        solve = geomloss.SamplesLoss(
            "sinkhorn", p=2, blur=BLUR, scaling=scaling, debias=False, potentials=False, backend="tensorized"
        )
        value = sum(share * solve(leaves[i], leaves[j]) for (i, j), share in SHARES.items())
        return [value.detach().numpy(), *(g.numpy() for g in torch.autograd.grad(value, leaves))]

    coarse, fine = by_geomloss(0.98), by_geomloss(0.99)
    got: list[Floats] = [np.asarray(result.value)]
    got += [np.asarray(result.gradients[f"{name}.points"]) for name in NAMES]
    for here, there, before in zip(got, fine, coarse, strict=True):
        # GeomLoss's own error, which it does not measure, is about what it moves when the scaling comes closer to 1.
        np.testing.assert_allclose(here, there, rtol=0, atol=4 * float(np.abs(there - before).max()) + 1e-9)


def test_halves_are_cut_by_the_seed(client: kantor.Client, rng: np.random.Generator) -> None:
    x, y = 0.7 * rng.standard_normal((4, 2)), rng.standard_normal((4, 2))
    # Of four rows there are three cuts into halves: all that U can be are nine numbers, of which the seed picks one.
    cuts = [((0, i), tuple(j for j in (1, 2, 3) if j != i)) for i in (1, 2, 3)]
    candidates = [
        six_by_pot([x[list(p)], x[list(q)], y[list(r)], y[list(s)]]) for (p, q), (r, s) in itertools.product(cuts, cuts)
    ]
    term = kantor.Sinkhorn(debias="split", blur=BLUR, tolerance=1e-10)
    found = set()
    for seed in range(40):
        value = client.evaluate(term, source=x, target=y, seed=seed).value
        assert value == client.evaluate(term, source=x, target=y, seed=seed).value
        away = np.abs(np.array(candidates) - value)
        assert away.min() < 1e-11
        found.add(int(away.argmin()))
    # Each is as likely as any other: one that 40 seeds do not find has a chance of 9 (8/9)^40 = .08, three of 1e-5.
    assert len(found) >= 7


def test_the_expected_loss_is_least_at_the_truth(client: kantor.Client, rng: np.random.Generator) -> None:
    """What a trainer sees: codes of the prior's law are pulled inwards with self terms, with split batches not."""

    def pull(debias: Debias) -> tuple[float, float]:
        """The mean derivative in the codes' scale and its standard error, over 40 batches."""
        pulls = []
        term = kantor.Sinkhorn("codes", "prior", epsilon=1.6, debias=debias, without_interval=True)
        for seed in range(40):
            codes = rng.standard_normal((64, 16))
            result = client.evaluate(
                term, codes=codes, prior=kantor.StandardNormal(), seed=seed, gradients=["codes.points"]
            )
            pulls.append(float((codes * np.asarray(result.gradients["codes.points"])).sum()))
            assert ("SELF_SHRINKS" in {w.code for w in result.terms["sinkhorn"].warnings}) == (debias == "self")
        return float(np.mean(pulls)), float(np.std(pulls) / np.sqrt(len(pulls)))

    mean, error = pull("self")
    assert mean > 10 * error
    mean, error = pull("split")
    assert abs(mean) < 4 * error


def test_prior_of_another_name_is_a_second_batch(client: kantor.Client, batches: list[Floats]) -> None:
    prior = kantor.StandardNormal()
    inputs = {"source": batches[0], "source_too": batches[1], "target": prior, "target_too": prior}
    result = client.evaluate(split(), inputs, gradients=["source.points", "source_too.points"])
    assert result.terms["sinkhorn"].converged
    # For ½|x-y|² moving every code by v adds <v, mean code - mean sample>, so what is left is the samples' mean: that
    # of 50 numbers from N(0,1), within 5 standard deviations.
    total = np.asarray(result.gradients["source.points"]).sum(0) + np.asarray(
        result.gradients["source_too.points"]
    ).sum(0)
    assert np.abs((batches[0].mean(0) + batches[1].mean(0)) / 2 - total).max() < 5 / np.sqrt(50)


@pytest.mark.parametrize(
    ("term", "field"),
    [
        (kantor.Sinkhorn(debias="split"), "source"),  # odd
        (kantor.Sinkhorn(debias="split", profile="geomloss"), "source"),
        (kantor.Sinkhorn(debias="split", second_source="target"), "second_target"),
        (kantor.Sinkhorn(second_source="source", second_target="target"), "second_source"),
    ],
)
def test_refusals_name_the_field(client: kantor.Client, batches: list[Floats], term: kantor.Term, field: str) -> None:
    with pytest.raises(kantor.InvalidArgumentError) as caught:
        client.evaluate(term, source=batches[0], target=batches[2])
    assert caught.value.field == f"objective.terms[0].sinkhorn.{field}"
