"""Sliced transport against POT, along the same directions.

POT's value is the root: the p-th root of the mean of W_p^p. It draws directions of its own, or takes them, [D,L].
"""

from __future__ import annotations

import numpy as np
import ot
import pytest
import torch

import kantor
from conftest import Floats


@pytest.fixture
def clouds(rng: np.random.Generator) -> tuple[Floats, Floats, Floats, Floats]:
    """Points and weights of two clouds, x [70,5], a [70], y [45,5], b [45]."""
    a, b = rng.uniform(0.5, 1.5, 70), rng.uniform(0.5, 1.5, 45)
    return rng.standard_normal((70, 5)), a / a.sum(), 0.7 * rng.standard_normal((45, 5)) + 0.5, b / b.sum()


def evaluate(
    client: kantor.Client, term: kantor.Sliced, clouds: tuple[Floats, ...], seed: int = 0
) -> tuple[kantor.Evaluation, Floats]:
    """The result with gradients in points, and the directions, [D,L] as POT has them."""
    x, a, y, b = clouds
    result = client.evaluate(
        term,
        source=kantor.Measure(x, a),
        target=kantor.Measure(y, b),
        gradients=["source.points", "target.points", "source.weights"],
        extras=["sliced.directions"],
        seed=seed,
    )
    return result, np.asarray(result.terms["sliced"].extras["directions"]).T


@pytest.mark.parametrize("p", [1, 2])
def test_pot_along_the_same_directions(
    client: kantor.Client, clouds: tuple[Floats, Floats, Floats, Floats], p: int
) -> None:
    result, directions = evaluate(client, kantor.Sliced(p=p, directions=60), clouds)
    assert directions.shape == (5, 60)
    x, a, y, b = clouds
    theirs = ot.sliced_wasserstein_distance(x, y, a, b, p=p, projections=directions)
    # The same sums of some hundred numbers of order 1, in another order.
    np.testing.assert_allclose(result.value, theirs**p, rtol=1e-13)


@pytest.mark.parametrize("p", [1, 2])
def test_gradients_of_pot_by_torch(
    client: kantor.Client, clouds: tuple[Floats, Floats, Floats, Floats], p: int
) -> None:
    result, directions = evaluate(client, kantor.Sliced(p=p, directions=60), clouds)
    x, a, y, b = (torch.tensor(t, requires_grad=at % 2 == 0) for at, t in enumerate(clouds))
    value = ot.sliced_wasserstein_distance(x, y, a, b, p=p, projections=torch.tensor(directions)) ** p
    in_x, in_y = torch.autograd.grad(value, (x, y))
    np.testing.assert_allclose(result.gradients["source.points"], in_x.numpy(), rtol=0, atol=1e-14)
    np.testing.assert_allclose(result.gradients["target.points"], in_y.numpy(), rtol=0, atol=1e-14)


def test_gradients_in_weights_are_those_of_exact_transport(
    client: kantor.Client, clouds: tuple[Floats, Floats, Floats, Floats]
) -> None:
    result, directions = evaluate(client, kantor.Sliced(directions=4), clouds)
    x, a, y, b = clouds
    potential = np.zeros(len(a))
    for direction in directions.T:
        # POT's duals of one line, which are unique up to a constant, for no sums of these weights are the same.
        _, log = ot.emd(a, b, ot.dist((x @ direction)[:, None], (y @ direction)[:, None]), log=True)
        potential += log["u"] / 4
    # The simplex stops at reduced costs of some 1e-14.
    np.testing.assert_allclose(result.gradients["source.weights"], potential - a @ potential, rtol=0, atol=1e-12)


def test_pot_max_sliced_is_no_more(client: kantor.Client, clouds: tuple[Floats, Floats, Floats, Floats]) -> None:
    x, a, y, b = clouds
    result, best = evaluate(client, kantor.Sliced(directions=60, aggregate="max"), clouds)
    theirs = ot.max_sliced_wasserstein_distance(x, y, a, b, n_projections=60, seed=1) ** 2
    # That is the best of directions that POT draws, without an ascent; and along ours POT finds our value.
    assert result.value >= theirs
    along = ot.sliced_wasserstein_distance(x, y, a, b, projections=best) ** 2
    np.testing.assert_allclose(result.value, along, rtol=1e-13)


def test_one_dimension_is_exact_transport(client: kantor.Client, rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((40, 1)), rng.standard_normal((30, 1)) + 1
    a, b = np.full(40, 1 / 40), np.full(30, 1 / 30)
    for p in (1, 2):
        result, _ = evaluate(client, kantor.Sliced(p=p, directions=3), (x, a, y, b))
        np.testing.assert_allclose(result.value, ot.wasserstein_1d(x[:, 0], y[:, 0], a, b, p=p), rtol=1e-13)


def test_a_seed_means_other_directions(client: kantor.Client, clouds: tuple[Floats, Floats, Floats, Floats]) -> None:
    (first, one), (second, two), (again, _) = (
        evaluate(client, kantor.Sliced(directions=5), clouds, seed) for seed in (1, 2, 1)
    )
    assert not np.allclose(one, two)
    assert first.value == again.value != second.value
