"""Discrepancies by kernels against the libraries that people use, each in its own conventions.

- GeomLoss: `SamplesLoss("energy" | "gaussian" | "laplacian")` counts all pairs and is half of the discrepancy. It takes
  1e-4 for the distance 0 (for the laplacian in units of the blur), so that k(x,x) is off by a known number.
- SciPy: `energy_distance` is the root of the energy distance on a line; `hyp1f1` is in the mean distance to N(0, I).
- scikit-learn: `rbf_kernel` with γ = 1/(2 blur²), `laplacian_kernel` has another norm, `rational_quadratic` is one term
  of the inverse multiquadric.

No library that people use has the kernel Stein discrepancy, so it is written down here with torch's derivatives.
"""

from __future__ import annotations

from typing import Literal, cast

import geomloss
import numpy as np
import pytest
import torch
from scipy.special import gammaln, hyp1f1
from scipy.stats import energy_distance
from sklearn.gaussian_process.kernels import RationalQuadratic
from sklearn.metrics.pairwise import euclidean_distances, rbf_kernel

import kantor
from conftest import Floats

Clouds = tuple[Floats, Floats, Floats, Floats]
SCALES = (0.1, 0.2, 0.5, 1, 2, 5, 10)


@pytest.fixture
def clouds(rng: np.random.Generator) -> Clouds:
    """Points and weights of two clouds of several blocks, x [130,3], a [130], y [101,3], b [101]."""
    a, b = rng.uniform(0.5, 1.5, 130), rng.uniform(0.5, 1.5, 101)
    return rng.standard_normal((130, 3)), a / a.sum(), 0.7 * rng.standard_normal((101, 3)) + 0.5, b / b.sum()


def evaluate(client: kantor.Client, term: kantor.Term, clouds: Clouds, gradients: list[str]) -> kantor.Evaluation:
    x, a, y, b = clouds
    return client.evaluate(term, source=kantor.Measure(x, a), target=kantor.Measure(y, b), gradients=gradients)


@pytest.mark.parametrize(
    ("kernel", "blur", "at_zero"),
    [("energy", None, -1e-4), ("gaussian", 0.6, 0.0), ("laplacian", 0.6, np.expm1(-1e-4))],
)
def test_geomloss_value_and_gradients(
    client: kantor.Client,
    clouds: Clouds,
    kernel: Literal["energy", "gaussian", "laplacian"],
    blur: float | None,
    at_zero: float,
) -> None:
    x, a, y, b = (torch.tensor(t, requires_grad=True) for t in clouds)
    value = geomloss.SamplesLoss(kernel, blur=blur or 1.0, backend="tensorized")(a, x, b, y)
    in_x, in_a, in_y, in_b = torch.autograd.grad(value, (x, a, y, b))
    names = ["source.points", "source.weights", "target.points", "target.weights"]
    result = evaluate(client, kantor.Mmd(kernel=kernel, blur=blur, statistic="v", convention="half"), clouds, names)
    diagonal = 0.5 * at_zero * ((clouds[1] ** 2).sum() + (clouds[3] ** 2).sum())
    # Sums of some 130² products of order 1, and distances by |x|² + |y|² - 2 x·y there: its rounding, 1e-15 of the
    # squares, is 1e-13 of the distance of points that are .01 apart.
    np.testing.assert_allclose(result.value, value.item() - diagonal, rtol=0, atol=1e-12)
    np.testing.assert_allclose(result.gradients["source.points"], in_x, rtol=0, atol=1e-12)
    np.testing.assert_allclose(result.gradients["target.points"], in_y, rtol=0, atol=1e-12)
    for mine, theirs, w in (("source.weights", in_a, clouds[1]), ("target.weights", in_b, clouds[3])):
        want = theirs.numpy() - at_zero * w
        if kernel == "energy":
            want -= w @ want
        np.testing.assert_allclose(result.gradients[mine], want, rtol=0, atol=1e-12)


def test_scipy_energy_distance(client: kantor.Client, rng: np.random.Generator) -> None:
    x, y = rng.standard_normal(300), rng.standard_normal(200) + 0.3
    a, b = rng.uniform(0.5, 1.5, 300), rng.uniform(0.5, 1.5, 200)
    theirs = energy_distance(x, y, a, b) ** 2
    clouds = x[:, None], a / a.sum(), y[:, None], b / b.sum()
    result = evaluate(client, kantor.Mmd(statistic="v"), clouds, [])
    # A difference of sums of order 1, there of distribution functions.
    np.testing.assert_allclose(result.value, theirs, rtol=0, atol=1e-13)


def multiquadric(x: Floats, y: Floats, blur: float) -> Floats:
    """Σ C/(C+d²): scikit-learn's (1 + d²/(2αl²))^-α with α = 1 and 2l² = C."""
    cs = [2 * x.shape[1] * blur**2 * s for s in SCALES]
    return sum((RationalQuadratic(length_scale=np.sqrt(c / 2), alpha=1)(x, y) for c in cs), np.zeros((len(x), len(y))))


@pytest.mark.parametrize("statistic", ["u", "v"])
@pytest.mark.parametrize("kernel", ["energy", "gaussian", "imq"])
def test_scikit_learn_kernels(
    client: kantor.Client, clouds: Clouds, kernel: Literal["energy", "gaussian", "imq"], statistic: Literal["u", "v"]
) -> None:
    x, a, y, b = clouds
    blur = 0.8

    def matrix(x: Floats, y: Floats) -> Floats:
        if kernel == "energy":
            return cast(Floats, -euclidean_distances(x, y))
        if kernel == "gaussian":
            return cast(Floats, rbf_kernel(x, y, gamma=0.5 / blur**2))
        return multiquadric(x, y, blur)

    def mean(x: Floats, a: Floats) -> float:
        pairs = np.outer(a, a)
        if statistic == "u":
            np.fill_diagonal(pairs, 0)
        return float((pairs * matrix(x, x)).sum() / pairs.sum())

    theirs = mean(x, a) + mean(y, b) - 2 * a @ matrix(x, y) @ b
    term = kantor.Mmd(kernel=kernel, blur=None if kernel == "energy" else blur, statistic=statistic)
    # Kernels of up to 7, by |x|² + |y|² - 2 x·y there.
    np.testing.assert_allclose(evaluate(client, term, clouds, []).value, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("d", [1, 3, 64])
def test_energy_to_the_normal_by_hyp1f1(client: kantor.Client, rng: np.random.Generator, d: int) -> None:
    # In higher dimensions SciPy's function overflows: hyp1f1(-.5, 250, -250) is inf.
    x = rng.standard_normal((40, d)) * rng.uniform(0.2, 3, (40, 1))
    z = (x**2).sum(1) / 2
    factor = np.sqrt(2) * np.exp(gammaln((d + 1) / 2) - gammaln(d / 2))
    mean = (factor * hyp1f1(-0.5, d / 2, -z)).mean()
    pull = factor / d * hyp1f1(0.5, d / 2 + 1, -z)
    distances = np.linalg.norm(x[:, None] - x[None], axis=-1)
    theirs = 2 * mean - distances.sum() / (40 * 39) - np.sqrt(2) * factor
    term = kantor.Mmd(closed_form=True)
    result = client.evaluate(term, source=x, target=kantor.StandardNormal(), gradients=["source.points"])
    # Distances of up to some 30, and SciPy's function to some 1e-12 of itself.
    np.testing.assert_allclose(result.value, theirs, rtol=0, atol=1e-10)
    with np.errstate(invalid="ignore", divide="ignore"):
        units = np.nan_to_num((x[:, None] - x[None]) / distances[..., None])
    want = 2 / 40 * (x * pull[:, None]) - 2 / (40 * 39) * units.sum(1)
    np.testing.assert_allclose(result.gradients["source.points"], want, rtol=0, atol=1e-11)


@pytest.mark.parametrize("statistic", ["u", "v"])
@pytest.mark.parametrize("kernel", ["imq", "gaussian"])
def test_stein_by_automatic_derivatives(
    client: kantor.Client, clouds: Clouds, kernel: Literal["imq", "gaussian"], statistic: Literal["u", "v"]
) -> None:
    points, weights = torch.tensor(clouds[0][:20], requires_grad=True), torch.tensor(clouds[1][:20], requires_grad=True)
    blur = 1.4

    # Every pair has points of its own, so that the derivatives of the sum over the pairs are those of each.
    x, y = points[:, None].expand(20, 20, 3) + 0.0, points[None].expand(20, 20, 3) + 0.0

    def derivative(of: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
        return torch.autograd.grad(of.sum(), by, create_graph=True)[0]

    q = ((x - y) ** 2).sum(-1) / blur**2
    k = torch.exp(-q / 2) if kernel == "gaussian" else (1 + q) ** -0.5
    in_x, in_y = derivative(k, x), derivative(k, y)
    # The score of N(0, I) at x is -x.
    matrix = k * (x * y).sum(-1) - (x * in_y).sum(-1) - (y * in_x).sum(-1)
    for i in range(3):
        matrix = matrix + derivative(in_y[..., i], x)[..., i]
    pairs = torch.outer(weights, weights)
    if statistic == "u":
        pairs = pairs * (1 - torch.eye(20, dtype=torch.float64))
        value = (pairs * matrix).sum() / pairs.sum() * weights.sum() ** 2
    else:
        value = (pairs * matrix).sum()
    in_points, in_weights = torch.autograd.grad(value, (points, weights))
    result = client.evaluate(
        kantor.Stein(kernel=kernel, blur=blur, statistic=statistic),
        source=kantor.Measure(clouds[0][:20], clouds[1][:20]),
        gradients=["source.points", "source.weights"],
    )
    # 400 products of order 10, with the same derivatives in another order of additions.
    np.testing.assert_allclose(result.value, value.item(), rtol=1e-12)
    np.testing.assert_allclose(result.gradients["source.points"], in_points, rtol=0, atol=1e-13)
    np.testing.assert_allclose(result.gradients["source.weights"], in_weights, rtol=0, atol=1e-12)


def test_one_call_with_sinkhorn(client: kantor.Client, clouds: Clouds) -> None:
    """At a large temperature the Sinkhorn divergence of |x-y| comes to half the energy distance."""
    hot = evaluate(client, kantor.Sinkhorn(epsilon=1e6, cost="euclidean"), clouds, ["source.points"])
    energy = evaluate(client, kantor.Mmd(statistic="v", convention="half"), clouds, ["source.points"])
    # What is left is a multiple of the squared costs over ε.
    np.testing.assert_allclose(hot.value, energy.value, rtol=1e-4)
    np.testing.assert_allclose(hot.gradients["source.points"], energy.gradients["source.points"], rtol=0, atol=1e-7)
