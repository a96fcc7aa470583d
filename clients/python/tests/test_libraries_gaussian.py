"""Transport between Gaussians against POT and against torch's derivatives of the formulas.

POT's `bures_wasserstein_distance` is the root of W2²; its map is x -> x A + b.
"""

from __future__ import annotations

import numpy as np
import ot
import pytest
import torch

import kantor
from conftest import Floats


@pytest.fixture
def gaussians(rng: np.random.Generator) -> tuple[Floats, Floats, Floats, Floats]:
    """Means [3,4] and covariances [3,4,4], twice."""

    def covariances() -> Floats:
        factor = rng.standard_normal((3, 4, 9))
        made: Floats = factor @ factor.transpose(0, 2, 1) / 9
        return made

    return rng.standard_normal((3, 4)), covariances(), rng.standard_normal((3, 4)), covariances()


def test_pot_values_and_maps(client: kantor.Client, gaussians: tuple[Floats, Floats, Floats, Floats]) -> None:
    m, a, n, b = gaussians
    result = client.evaluate(
        kantor.Bures(prior="prior"),
        posterior=kantor.Gaussian(m, covariance=a),
        prior=kantor.Gaussian(n, covariance=b),
        extras=["bures.per_row", "bures.map"],
    )
    extras = result.terms["bures"].extras
    for i in range(3):
        distance = ot.gaussian.bures_wasserstein_distance(m[i], n[i], a[i], b[i])
        # Roots of matrices whose condition is some hundreds, in both.
        np.testing.assert_allclose(np.asarray(extras["per_row"])[i], distance**2, rtol=1e-11)
        linear, shift = ot.gaussian.bures_wasserstein_mapping(m[i], n[i], a[i], b[i])
        np.testing.assert_allclose(np.asarray(extras["map"])[i], linear, rtol=0, atol=1e-10)
        np.testing.assert_allclose(n[i] - np.asarray(extras["map"])[i] @ m[i], np.ravel(shift), rtol=0, atol=1e-10)
    np.testing.assert_allclose(result.value, np.mean(np.asarray(extras["per_row"])), rtol=1e-15)


def test_gradients_by_torch(client: kantor.Client, gaussians: tuple[Floats, Floats, Floats, Floats]) -> None:
    """Autograd through the textbook's formula, whose gradient in a covariance it makes symmetric the same way."""
    tensors = [torch.tensor(t, requires_grad=True) for t in gaussians]
    m, a, n, b = tensors

    def root(c: torch.Tensor) -> torch.Tensor:
        values, vectors = torch.linalg.eigh(c)
        out: torch.Tensor = vectors @ torch.diag_embed(values.sqrt()) @ vectors.transpose(-1, -2)
        return out

    cross = root(root(a) @ b @ root(a))
    trace = (a + b - 2 * cross).diagonal(dim1=-2, dim2=-1).sum(-1)
    value = (((m - n) ** 2).sum(-1) + trace).mean()
    theirs = torch.autograd.grad(value, tensors)
    names = ["posterior.mean", "posterior.covariance", "prior.mean", "prior.covariance"]
    result = client.evaluate(
        kantor.Bures(prior="prior"),
        posterior=kantor.Gaussian(gaussians[0], covariance=gaussians[1]),
        prior=kantor.Gaussian(gaussians[2], covariance=gaussians[3]),
        gradients=names,
    )
    np.testing.assert_allclose(result.value, value.item(), rtol=1e-11)
    for name, gradient in zip(names, theirs, strict=True):
        symmetric = gradient if gradient.ndim == 2 else (gradient + gradient.transpose(-1, -2)) / 2
        # eigh's derivative divides by differences of eigenvalues, some hundredths here.
        np.testing.assert_allclose(result.gradients[name], symmetric.numpy(), rtol=0, atol=1e-9)


def test_diagonal_by_torch(client: kantor.Client, rng: np.random.Generator) -> None:
    tensors = [torch.tensor(rng.standard_normal(shape), requires_grad=True) for shape in [(6, 5)] * 2 + [(1, 5)] * 2]
    m, v, n, w = tensors
    value = (((m - n) ** 2).sum(-1) + (((v / 2).exp() - (w / 2).exp()) ** 2).sum(-1)).mean()
    names = ["posterior.mean", "posterior.log_variance", "prior.mean", "prior.log_variance"]
    result = client.evaluate(
        kantor.Bures(prior="prior"),
        posterior=kantor.Gaussian(*(t.detach().numpy() for t in (m, v))),
        prior=kantor.Gaussian(*(t.detach().numpy() for t in (n, w))),
        gradients=names,
    )
    np.testing.assert_allclose(result.value, value.item(), rtol=1e-14)
    for name, gradient in zip(names, torch.autograd.grad(value, tensors), strict=True):
        np.testing.assert_allclose(result.gradients[name], gradient.numpy(), rtol=0, atol=1e-14)


def test_pot_of_samples(client: kantor.Client, rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((80, 3)), rng.standard_normal((90, 3)) @ rng.standard_normal((3, 3)) + 1
    result = client.evaluate(kantor.Bures("x", "y"), x=kantor.Measure(x), y=kantor.Measure(y))
    # Covariances divided by n, as here. By default POT adds 1e-6 to their diagonals.
    theirs = ot.gaussian.empirical_bures_wasserstein_distance(x, y, reg=0)
    np.testing.assert_allclose(result.value, theirs**2, rtol=1e-10)
