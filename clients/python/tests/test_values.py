"""The value and the extras of each loss against its formula, written out in numpy, through a live server."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest

import kantor
from conftest import Floats

# Sums of some hundred numbers of order 1, in another order.
CLOSE = 1e-12


@pytest.fixture
def clouds(rng: np.random.Generator) -> tuple[Floats, Floats]:
    x, y = rng.standard_normal((2, 8, 3))
    return x, y + 0.5


def distances(x: Floats, y: Floats) -> Floats:
    out: Floats = np.linalg.norm(x[:, None] - y[None], axis=-1)
    return out


def on_a_line(x: Floats, y: Floats, p: float) -> float:
    """W_p^p of two clouds of as many numbers: sorted, each goes to its like."""
    return float(np.mean(np.abs(np.sort(x) - np.sort(y)) ** p))


def root_of(a: Floats) -> Floats:
    values, vectors = np.linalg.eigh(a)
    out: Floats = (vectors * np.sqrt(values)) @ vectors.T
    return out


def extra(result: kantor.Evaluation, name: str) -> Any:
    (term,) = result.terms.values()
    return term.extras[name]


def test_transport(client: kantor.Client, clouds: tuple[Floats, Floats]) -> None:
    x, y = (cloud[:6] for cloud in clouds)
    cost, rows = 0.5 * distances(x, y) ** 2, np.arange(6)
    columns = min((np.array(order) for order in permutations(rows)), key=lambda order: cost[rows, order].sum())
    extras = [f"transport.{name}" for name in ("plan", "map", "potentials", "interpolation")]
    result = client.evaluate(kantor.Transport(time=0.25), source=x, target=y, extras=extras)
    np.testing.assert_allclose(result.value, cost[rows, columns].mean(), rtol=CLOSE)
    plan = np.zeros((6, 6))
    plan[rows, columns] = 1 / 6
    np.testing.assert_allclose(extra(result, "plan").dense(6, 6), plan, atol=CLOSE)
    np.testing.assert_allclose(extra(result, "map"), y[columns], rtol=CLOSE)
    potentials = extra(result, "potentials")
    slack = cost - potentials.source[:, None] - potentials.target[None]
    assert slack.min() > -CLOSE
    np.testing.assert_allclose(slack[rows, columns], 0, atol=CLOSE)
    on_the_way = extra(result, "interpolation")
    np.testing.assert_allclose(np.sort(on_the_way.points, 0), np.sort(0.75 * x + 0.25 * y[columns], 0), rtol=1e-10)
    np.testing.assert_allclose(on_the_way.weights, 1 / 6, rtol=CLOSE)


@pytest.mark.parametrize("p", [1, 1.5, 2, 3])
def test_transport_on_a_line(client: kantor.Client, clouds: tuple[Floats, Floats], p: float) -> None:
    x, y = (cloud[:, :1] for cloud in clouds)
    result = client.evaluate(kantor.Transport(p=p), source=x, target=y)
    np.testing.assert_allclose(result.value, on_a_line(x[:, 0], y[:, 0], p), rtol=CLOSE)


@pytest.mark.parametrize("term", [kantor.Sinkhorn(blur=0.5, debias="split"), kantor.Transport(debias="split")])
def test_halves_of_one_point(client: kantor.Client, clouds: tuple[Floats, Floats], term: kantor.Term) -> None:
    """Each half is a Dirac, so that the four and the two costs are those of points, whatever the seed."""
    x, y = (cloud[:2] for cloud in clouds)
    cross, own_x, own_y = (0.5 * distances(*pair) ** 2 for pair in ((x, y), (x, x), (y, y)))
    result = client.evaluate(term, source=x, target=y, seed=7)
    np.testing.assert_allclose(result.value, cross.mean() - 0.5 * own_x[0, 1] - 0.5 * own_y[0, 1], atol=1e-6)


@pytest.mark.parametrize("term", [kantor.Sinkhorn(blur=0.5, debias="split"), kantor.Transport(debias="split")])
def test_second_batches(client: kantor.Client, clouds: tuple[Floats, Floats], term: Any) -> None:
    x, y = (cloud[:2] for cloud in clouds)
    halves = {"source": x[:1], "x2": x[1:], "target": y[:1], "y2": y[1:]}
    one = client.evaluate(term, source=x, target=y)
    other = client.evaluate(replace(term, second_source="x2", second_target="y2"), halves)
    np.testing.assert_allclose(other.value, one.value, atol=1e-6)


@pytest.mark.parametrize("method", ["exact", "auto"])
def test_kantorovich_on_a_line(client: kantor.Client, clouds: tuple[Floats, Floats], method: Any) -> None:
    x, y = (cloud[:, :1] for cloud in clouds)
    result = client.evaluate(kantor.Kantorovich(method=method), source=x, target=y)
    interval = result.terms["kantorovich"].interval
    assert interval is not None
    assert on_a_line(x[:, 0], y[:, 0], 1) in interval


def test_kantorovich_on_fresh_samples(client: kantor.Client, clouds: tuple[Floats, Floats]) -> None:
    """Its value is that of the same h, which the extra critic shows, on the other samples."""
    (x, y), (x2, y2) = clouds, (clouds[0] + 0.1, clouds[1][:5])
    at = np.concatenate([x2, y2, x, y])
    result = client.evaluate(
        kantor.Kantorovich(fresh_source="x2", fresh_target="y2", at="z"),
        {"source": x, "target": y, "x2": x2, "y2": y2, "z": at},
        extras=["kantorovich.critic", "kantorovich.critic_gradient"],
    )
    critic, gradient = extra(result, "critic"), extra(result, "critic_gradient")
    np.testing.assert_allclose(result.value, critic[:8].mean() - critic[8:13].mean(), rtol=1e-10)
    outcome = result.terms["kantorovich"].outcomes[0]
    assert outcome.estimand == "population_lower_bound"
    # Of the difference of two independent means.
    error = np.sqrt(critic[:8].var(ddof=1) / 8 + critic[8:13].var(ddof=1) / 5)
    assert outcome.standard_error == pytest.approx(error, rel=1e-10)
    assert (np.abs(critic[:, None] - critic[None]) <= distances(at, at) + CLOSE).all()
    np.testing.assert_allclose(np.linalg.norm(gradient, axis=1)[:8], 1, rtol=CLOSE)


@pytest.mark.parametrize("p", [1, 2])
def test_sliced(client: kantor.Client, clouds: tuple[Floats, Floats], p: float) -> None:
    x, y = clouds
    result = client.evaluate(kantor.Sliced(p=p, directions=6), source=x, target=y, extras="sliced.directions", seed=5)
    directions = extra(result, "directions")
    assert directions.shape == (6, 3)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1, rtol=CLOSE)
    values = [on_a_line(x @ direction, y @ direction, p) for direction in directions]
    np.testing.assert_allclose(result.value, np.mean(values), rtol=CLOSE)
    most = client.evaluate(
        kantor.Sliced(p=p, directions=6, aggregate="max", name="sliced"),
        source=x,
        target=y,
        extras="sliced.directions",
        seed=5,
    )
    (found,) = extra(most, "directions")
    np.testing.assert_allclose(most.value, on_a_line(x @ found, y @ found, p), rtol=CLOSE)
    assert most.value >= max(values) * (1 - CLOSE)


def test_bures(client: kantor.Client, rng: np.random.Generator) -> None:
    (m, v), (n, w), roots = (
        rng.standard_normal((2, 5, 2)),
        rng.standard_normal((2, 1, 2)),
        rng.standard_normal((5, 2, 2)),
    )
    diagonal = client.evaluate(
        kantor.Bures(prior="prior"),
        posterior=kantor.Gaussian(m, v),
        prior=kantor.Gaussian(n, w),
        extras="bures.per_row",
    )
    rows = ((m - n) ** 2 + (np.exp(v / 2) - np.exp(w / 2)) ** 2).sum(1)
    np.testing.assert_allclose(diagonal.value, rows.mean(), rtol=CLOSE)
    np.testing.assert_allclose(extra(diagonal, "per_row"), rows, rtol=CLOSE)
    roots = rng.standard_normal((5, 2, 2))
    a = roots @ roots.transpose(0, 2, 1)
    # To N(0, I): tr(A + I - 2 A^½).
    full = client.evaluate(kantor.Bures(), posterior=kantor.Gaussian(m, covariance=a), extras="bures.map")
    own = [(one**2).sum() + np.trace(c + np.eye(2) - 2 * root_of(c)) for one, c in zip(m, a, strict=True)]
    np.testing.assert_allclose(full.value, np.mean(own), rtol=1e-10)
    for matrix, covariance in zip(extra(full, "map"), a, strict=True):
        np.testing.assert_allclose(matrix @ covariance @ matrix.T, np.eye(2), atol=1e-9)
    x = rng.standard_normal((20, 2))
    aggregated = client.evaluate(kantor.Bures("x"), x=x)
    c = np.cov(x.T, bias=True)
    value = (x.mean(0) ** 2).sum() + np.trace(c + np.eye(2) - 2 * root_of(c))
    np.testing.assert_allclose(aggregated.value, value, rtol=1e-10)


KERNELS: dict[str, Any] = {
    "energy": lambda d: -d,
    "gaussian": lambda d: np.exp(-(d**2) / (2 * 1.5**2)),
    "laplacian": lambda d: np.exp(-d / 1.5),
    "imq": lambda d: sum(c / (c + d**2) for c in 2 * 3 * 1.5**2 * np.array([0.1, 0.2, 0.5, 1, 2, 5, 10])),
}


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("statistic", ["u", "v"])
def test_mmd(client: kantor.Client, clouds: tuple[Floats, Floats], kernel: Any, statistic: Any) -> None:
    x, y = clouds[0], clouds[1][:7]
    blur = None if kernel == "energy" else 1.5
    result = client.evaluate(
        kantor.Mmd(kernel=kernel, blur=blur, statistic=statistic), source=x, target=y, extras="mmd.witness"
    )

    def own(k: Floats) -> float:
        off = k.sum() - np.trace(k)
        return float(k.mean() if statistic == "v" else off / (len(k) * (len(k) - 1)))

    k_xx, k_yy, k_xy = (KERNELS[kernel](distances(*pair)) for pair in ((x, x), (y, y), (x, y)))
    value = own(k_xx) + own(k_yy) - 2 * k_xy.mean()
    np.testing.assert_allclose(result.value, value, rtol=CLOSE, atol=CLOSE)
    half = kantor.Mmd(kernel=kernel, blur=blur, statistic=statistic, convention="half")
    np.testing.assert_allclose(client.evaluate(half, source=x, target=y).value, value / 2, rtol=CLOSE, atol=CLOSE)
    if statistic == "v":
        np.testing.assert_allclose(extra(result, "witness"), k_xx.mean(1) - k_xy.mean(1), atol=CLOSE)


@pytest.mark.parametrize("kernel", ["energy", "gaussian", "imq"])
def test_mmd_without_samples(client: kantor.Client, clouds: tuple[Floats, Floats], kernel: Any) -> None:
    """The mean over priors of many samples, within four standard errors."""
    x = clouds[0]
    prior = kantor.StandardNormal(1000)
    term = kantor.Mmd(kernel=kernel, blur=np.sqrt(3) if kernel == "gaussian" else None)
    exact = client.evaluate(
        kantor.Mmd(kernel=kernel, blur=term.blur, closed_form=True), source=x, target=kantor.StandardNormal()
    ).value
    sampled = [client.evaluate(term, source=x, target=prior, seed=seed).value for seed in range(20)]
    assert abs(np.mean(sampled) - exact) < 4 * np.std(sampled, ddof=1) / np.sqrt(20)


@pytest.mark.parametrize("kernel", ["imq", "gaussian"])
def test_stein(client: kantor.Client, clouds: tuple[Floats, Floats], kernel: Any) -> None:
    """The Stein kernel of N(0, I), whose score is -x (Liu, Lee, Jordan 2016, equation 6)."""
    x, square = clouds[0], 1.5**2
    t = distances(x, x) ** 2
    if kernel == "imq":  # k(t) with t = d², and its first and second derivative
        k, k1, k2 = (
            (1 + t / square) ** -0.5,
            -0.5 / square * (1 + t / square) ** -1.5,
            0.75 / square**2 * (1 + t / square) ** -2.5,
        )
    else:
        k = np.exp(-t / (2 * square))
        k1, k2 = -k / (2 * square), k / (4 * square**2)
    # <x,y> k + <x-y, x-y> 2k' + tr ∇∇ of k in x and y, -2Dk' - 4tk''.
    kernels = x @ x.T * k + 2 * t * k1 - 6 * k1 - 4 * t * k2
    v = client.evaluate(kantor.Stein(kernel=kernel, blur=1.5, statistic="v"), source=x).value
    np.testing.assert_allclose(v, kernels.mean(), rtol=CLOSE)
    u = client.evaluate(kantor.Stein(kernel=kernel, blur=1.5), source=x).value
    np.testing.assert_allclose(u, (kernels.sum() - np.trace(kernels)) / 56, rtol=CLOSE)


def test_cone_critic(client: kantor.Client, clouds: tuple[Floats, Floats]) -> None:
    x, y = clouds
    at = np.concatenate([x, y])
    extras = ["cone_critic.state", "cone_critic.critic"]
    first = client.evaluate(kantor.ConeCritic(cones=5), source=x, target=y, extras=extras[:1])
    state = extra(first, "state")
    assert state.tips.shape == (2, 5, 3)
    assert state.step == 1
    result = client.evaluate(
        kantor.ConeCritic(state="state", at="z"), source=x, target=y, state=state, z=at, extras=extras
    )
    below = (distances(at, state.tips[0]) + state.heights[0]).min(1)
    above = (state.heights[1] - distances(at, state.tips[1])).max(1)
    critic = extra(result, "critic")
    assert any(np.allclose(critic - critic[0], h - h[0], rtol=0, atol=1e-10) for h in (below, above))
    np.testing.assert_allclose(result.value, critic[:8].mean() - critic[8:].mean(), rtol=1e-10)
    assert result.terms["cone_critic"].outcomes[0].estimand == "population_lower_bound"
    assert extra(result, "state").step == 2


def test_a_critic_learns(client: kantor.Client, rng: np.random.Generator) -> None:
    """Of two normals apart by v, W1 = |v|."""
    state, values = None, []
    for _ in range(200):
        x, y = rng.standard_normal((2, 128, 2))
        inputs: dict[str, Any] = {"source": x + np.array([2, 0]), "target": y}
        term = kantor.ConeCritic(learning_rate=0.1)
        if state is not None:
            term, inputs["state"] = kantor.ConeCritic(learning_rate=0.1, state="state"), state
        result = client.evaluate(term, inputs, extras="cone_critic.state")
        state = extra(result, "state")
        values.append(result.value)
    late = np.array(values[-50:])
    # A lower bound in expectation: 50 values of critics that are nearly the same have this standard error.
    assert late.mean() < 2 + 4 * late.std(ddof=1) / np.sqrt(50)
    assert late.mean() > 1.9


@pytest.mark.parametrize(
    "prior",
    [
        kantor.UniformCube(0.5, 3, 50),
        kantor.UniformSphere(2, 50),
        kantor.GaussianMixture([[-9.0, 0.0, 0.0], [9.0, 0.0, 0.0]], [[-60.0] * 3] * 2, [1.0, 0.0], 50),
        kantor.StandardNormal(50),
    ],
    ids=lambda prior: type(prior).__name__,
)
def test_priors(client: kantor.Client, prior: kantor.Prior) -> None:
    """The measure at the end of the way is the target: what the server has drawn."""
    result = client.evaluate(
        kantor.Transport(time=1), source=np.zeros((1, 3)), target=prior, extras="transport.interpolation", seed=2
    )
    points = extra(result, "interpolation").points
    assert points.shape == (50, 3)
    assert len(np.unique(points, axis=0)) == 50
    if isinstance(prior, kantor.UniformCube):
        assert 0.5 <= points.min() < 0.7
        assert 2.8 < points.max() <= 3
    elif isinstance(prior, kantor.UniformSphere):
        np.testing.assert_allclose(np.linalg.norm(points, axis=1), 2, rtol=CLOSE)
    elif isinstance(prior, kantor.GaussianMixture):
        np.testing.assert_allclose(points, np.tile([-9.0, 0, 0], (50, 1)), atol=1e-11)
    else:
        assert abs(points.mean()) < 4 / np.sqrt(150)
