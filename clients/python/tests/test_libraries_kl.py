"""The divergences live against torch.distributions, autograd, and SciPy; and the digits' own water-filling."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from scipy.spatial.distance import jensenshannon
from sklearn.datasets import load_digits

import kantor
import kantor.torch
from conftest import Floats

Distribution = torch.distributions.Distribution


def kl(q: Distribution, p: Distribution) -> torch.Tensor:
    out: torch.Tensor = torch.distributions.kl_divergence(q, p)
    return out


def directed(q: Distribution, p: Distribution, direction: str) -> torch.Tensor:
    """Each row's divergence."""
    return {"forward": kl(q, p), "reverse": kl(p, q), "symmetric": kl(q, p) + kl(p, q)}[direction]


def tensors(rng: np.random.Generator, *shapes: tuple[int, ...]) -> list[torch.Tensor]:
    return [torch.tensor(rng.standard_normal(shape), requires_grad=True) for shape in shapes]


each_direction = pytest.mark.parametrize("direction", ["forward", "reverse", "symmetric"])


def check(
    client: kantor.Client,
    term: kantor.Term,
    inputs: dict[str, Any],
    value: torch.Tensor,
    leaves: list[torch.Tensor],
    tolerance: float = 1e-12,
) -> None:
    """Value and gradients through kantor.torch against those through torch."""
    theirs = torch.autograd.grad(value, leaves, retain_graph=True)
    loss = kantor.torch.Loss(term, client)
    ours = loss(inputs)
    np.testing.assert_allclose(ours.item(), value.item(), rtol=tolerance)
    for mine, other in zip(torch.autograd.grad(ours, leaves, retain_graph=True), theirs, strict=True):
        np.testing.assert_allclose(mine.numpy(), other.numpy(), rtol=0, atol=tolerance)


@each_direction
def test_normal(client: kantor.Client, rng: np.random.Generator, direction: Any) -> None:
    leaves = tensors(rng, (6, 5), (6, 5), (1, 5), (1, 5))
    m, v, n, w = leaves
    rows = directed(
        torch.distributions.Independent(torch.distributions.Normal(m, (v / 2).exp()), 1),
        torch.distributions.Independent(torch.distributions.Normal(n.expand(6, 5), (w / 2).exp().expand(6, 5)), 1),
        direction,
    )
    inputs = {"posterior": kantor.Gaussian(m, v), "prior": kantor.Gaussian(n, w)}
    check(client, kantor.GaussianKl(prior="prior", direction=direction), inputs, rows.mean(), leaves, 1e-11)


@each_direction
@pytest.mark.parametrize("rows", [1, 4])
def test_multivariate_normal(client: kantor.Client, rng: np.random.Generator, direction: Any, rows: int) -> None:
    """Learnt through roots, as one learns a covariance: the gradient goes on through torch."""
    leaves = tensors(rng, (4, 3), (4, 3, 3), (rows, 3), (rows, 3, 3))
    m, roots, n, others = leaves
    a, b = (r @ r.transpose(-1, -2) + torch.eye(3, dtype=torch.float64) for r in (roots, others))
    normal = torch.distributions.MultivariateNormal
    value = directed(normal(m, a), normal(n.expand(4, 3), b.expand(4, 3, 3)), direction).mean()
    inputs = {"posterior": kantor.Gaussian(m, covariance=a), "prior": kantor.Gaussian(n, covariance=b)}
    check(client, kantor.GaussianKl(prior="prior", direction=direction), inputs, value, leaves, 1e-11)


@each_direction
@pytest.mark.parametrize("by", ["logits", "probs"])
def test_categorical(client: kantor.Client, rng: np.random.Generator, direction: Any, by: str) -> None:
    leaves = tensors(rng, (6, 5), (1, 5))
    x, y = leaves if by == "logits" else (leaf.exp() for leaf in leaves)  # of any sum
    categorical: Any = torch.distributions.Categorical
    value = directed(categorical(**{by: x}), categorical(**{by: y.expand(6, 5)}), direction).mean()
    field = {"logits": "logits", "probs": "probabilities"}[by]
    inputs = {"posterior": kantor.Categorical(**{field: x}), "prior": kantor.Categorical(**{field: y})}
    check(client, kantor.CategoricalKl(prior="prior", direction=direction), inputs, value, leaves)


@each_direction
@pytest.mark.parametrize("by", ["logits", "probs"])
def test_bernoulli(client: kantor.Client, rng: np.random.Generator, direction: Any, by: str) -> None:
    leaves = tensors(rng, (6, 5), (1, 5))
    x, y = leaves if by == "logits" else (leaf.sigmoid() for leaf in leaves)
    bernoulli: Any = torch.distributions.Bernoulli
    value = directed(bernoulli(**{by: x}), bernoulli(**{by: y.expand(6, 5)}), direction).sum(-1).mean()
    field = {"logits": "logits", "probs": "probabilities"}[by]
    inputs = {"posterior": kantor.Bernoulli(**{field: x}), "prior": kantor.Bernoulli(**{field: y})}
    check(client, kantor.BernoulliKl(prior="prior", direction=direction), inputs, value, leaves, 1e-11)


def test_free_bits_and_capacity_by_torch(client: kantor.Client, rng: np.random.Generator) -> None:
    m, v = tensors(rng, (6, 5), (6, 5))
    standard = torch.distributions.Normal(torch.zeros(6, 5).double(), torch.ones(6, 5).double())
    by_dimension = kl(torch.distributions.Normal(m, (v / 2).exp()), standard).mean(0)
    level = by_dimension.sort().values[2:4].mean().item()  # between the third and the fourth of five
    posterior = {"posterior": kantor.Gaussian(m, v)}
    free = by_dimension.clamp_min(level).sum()
    check(client, kantor.GaussianKl(free_bits=level), posterior, free, [m, v])
    for capacity in (1.0, 100.0):
        value = (by_dimension.sum() - capacity).abs()
        check(client, kantor.GaussianKl(capacity=capacity), posterior, value, [m, v])


@pytest.mark.parametrize("dimension", [2, 3, 8, 20, 64])
def test_von_mises_fisher_by_scipy(client: kantor.Client, rng: np.random.Generator, dimension: int) -> None:
    """By SciPy's distribution and its scaled Bessel functions."""
    kappa = np.array([0.1, 1.0, 10.0, 63.0, 65.0, 500.0])
    mean = rng.standard_normal((len(kappa), dimension))
    mean /= np.linalg.norm(mean, axis=1, keepdims=True)
    result = client.evaluate(
        kantor.VonMisesFisherKl(),
        posterior=kantor.VonMisesFisher(mean, kappa),
        gradients="posterior.concentration",
        extras="von_mises_fisher_kl.per_row",
    )
    half = dimension / 2
    area = np.log(2) + half * np.log(np.pi) - scipy.special.gammaln(half)
    entropies = [scipy.stats.vonmises_fisher(m, k).entropy() for m, k in zip(mean, kappa, strict=True)]
    # SciPy takes logarithms of Bessel functions from one another: 1e-12 of the numbers that cancel.
    np.testing.assert_allclose(
        np.asarray(result.terms["von_mises_fisher_kl"].extras["per_row"]),
        area - np.array(entropies),
        rtol=1e-9,
        atol=1e-11,
    )
    ratio = scipy.special.ive(half, kappa) / scipy.special.ive(half - 1, kappa)
    slope = kappa * (1 - ratio**2 - (dimension - 1) * ratio / kappa)
    np.testing.assert_allclose(len(kappa) * result.gradients["posterior.concentration"], slope, rtol=1e-7, atol=1e-11)


def test_jensen_shannon_by_scipy(client: kantor.Client, rng: np.random.Generator) -> None:
    p, q = rng.dirichlet(np.ones(6), (2, 8))
    p[0, :3], q[0, 3:] = 0, 0  # apart
    result = client.evaluate(
        kantor.JensenShannon(),
        source=kantor.Categorical(probabilities=p),
        target=kantor.Categorical(probabilities=q),
        extras="jensen_shannon.per_row",
    )
    theirs = jensenshannon(p, q, axis=1) ** 2
    np.testing.assert_allclose(np.asarray(result.terms["jensen_shannon"].extras["per_row"]), theirs, rtol=1e-12)
    points = rng.standard_normal((6, 2))
    order = rng.permutation(6)
    measures = client.evaluate(
        kantor.JensenShannon(),
        source=kantor.Measure(points, p[1]),
        target=kantor.Measure(points[order], q[1][order]),
    )
    np.testing.assert_allclose(measures.value, theirs[1], rtol=1e-12)


def test_jensen_shannon_gradients_by_torch(client: kantor.Client, rng: np.random.Generator) -> None:
    leaves = tensors(rng, (6, 5), (1, 5))
    p, q = (leaf.softmax(-1) for leaf in leaves)
    m = (p + q) / 2
    value = 0.5 * ((p * (p / m).log()).sum(-1) + (q * (q / m).log()).sum(-1)).mean()
    inputs = {"source": kantor.Categorical(leaves[0]), "target": kantor.Categorical(leaves[1])}
    check(client, kantor.JensenShannon(), inputs, value, leaves)


def test_discrete_by_scipy(client: kantor.Client, rng: np.random.Generator) -> None:
    p, q = rng.dirichlet(np.ones(6), 2)
    points, order = rng.standard_normal((6, 2)), rng.permutation(6)
    result = client.evaluate(
        kantor.DiscreteKl(), source=kantor.Measure(points, p), target=kantor.Measure(points[order], q[order])
    )
    np.testing.assert_allclose(result.value, scipy.stats.entropy(p, q), rtol=1e-12)


@pytest.mark.parametrize(
    ("beta", "units", "rate", "distortion"),
    [
        (1, 8, 7.7552, 1.9304),
        (2, 8, 4.9826, 2.3304),
        (4, 7, 2.2859, 3.1023),
        (10, 3, 0.3411, 4.3017),
        (20, 0, 0.0, 4.6933),
    ],
)
def test_water_filling_of_the_digits(
    client: kantor.Client, beta: float, units: int, rate: float, distortion: float
) -> None:
    """Row T22 for the 1797 digits of scikit-learn, 8 axes, noise .05: the rate is KL's, of the optimal posteriors."""
    pixels: Floats = load_digits(return_X_y=True)[0] / 16
    x = pixels - pixels.mean(0)
    spectrum, axes = np.linalg.eigh(x.T @ x / len(x))
    spectrum, axes = spectrum[::-1], axes[:, ::-1]
    theta, top = 0.05 * beta, spectrum[:8]
    on = top > theta
    decoder = np.sqrt(np.where(on, top - theta, 0))
    mean = x @ axes[:, :8] * decoder / top
    log_variance = np.broadcast_to(np.where(on, np.log(theta / top), 0), mean.shape)
    result = client.evaluate(
        kantor.GaussianKl(), posterior=kantor.Gaussian(mean, log_variance), extras="kl.per_dimension"
    )
    assert round(result.value, 4) == rate
    assert np.count_nonzero(np.asarray(result.terms["kl"].extras["per_dimension"]) > 1e-12) == units
    decoded = (mean * decoder) @ axes[:, :8].T
    spread = (decoder**2 * np.exp(log_variance[0])).sum()
    assert round(float(((x - decoded) ** 2).sum(1).mean() + spread), 4) == distortion
    filled = np.where(on, np.log(top / theta), 0).sum() / 2
    np.testing.assert_allclose(result.value, filled, rtol=1e-12, atol=1e-12)


def test_half_formats_and_float32(client: kantor.Client, rng: np.random.Generator) -> None:
    """Logits as networks give them: the gradient comes back in their format."""
    for dtype in (torch.float32, torch.bfloat16):
        logits = torch.tensor(rng.standard_normal((6, 5)), dtype=dtype, requires_grad=True)
        (gradient,) = torch.autograd.grad(
            kantor.torch.Loss(kantor.CategoricalKl(), client)(posterior=kantor.Categorical(logits)), logits
        )
        wide = logits.detach().double().requires_grad_()
        uniform = torch.distributions.Categorical(logits=torch.zeros(6, 5).double())
        (theirs,) = torch.autograd.grad(kl(torch.distributions.Categorical(logits=wide), uniform).mean(), wide)
        assert gradient.dtype == dtype
        torch.testing.assert_close(gradient, theirs.to(dtype))
