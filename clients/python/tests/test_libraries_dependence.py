"""Total correlation and DIP, live against autograd in torch and NumPy's covariance."""

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch

import kantor
import kantor.torch


def batch(rows: int, dimension: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Means, log-variances and one code of each, all of which want gradients."""
    generator = torch.Generator().manual_seed(rows)
    mean, spread, noise = (torch.randn(rows, dimension, dtype=torch.float64, generator=generator) for _ in range(3))
    spread = 0.5 * spread - 1
    codes = mean + torch.exp(spread / 2) * noise
    return mean.requires_grad_(), spread.requires_grad_(), codes.requires_grad_()


def logarithms_of_weights(estimator: str, rows: int, size: int) -> torch.Tensor:
    if estimator == "weighted":
        return torch.full((rows, rows), -math.log(rows * size), dtype=torch.float64)
    others = rows - 1
    weights = torch.full((rows, rows), 1 / others, dtype=torch.float64)
    weights.fill_diagonal_(1 / size)
    for row in range(rows):
        weights[row, (row + 1) % rows] = (size - others) / (size * others)
    return weights.log()


def log_prob(of: torch.distributions.Distribution, at: torch.Tensor) -> torch.Tensor:
    out: torch.Tensor = of.log_prob(at)
    return out


def parts(
    mean: torch.Tensor, spread: torch.Tensor, codes: torch.Tensor, weights: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Mutual information, total correlation and dimension-wise KL by the definition, with torch's own densities."""
    posterior = torch.distributions.Normal(mean[None], torch.exp(spread / 2)[None])
    pairs = log_prob(posterior, codes[:, None])
    prior = log_prob(torch.distributions.Normal(0.0, 1.0), codes).sum(1)
    given = pairs.diagonal().sum(0)
    joint = torch.logsumexp(weights + pairs.sum(2), 1)
    marginal = torch.logsumexp(weights[:, :, None] + pairs, 1).sum(1)
    return (given - joint).mean(), (joint - marginal).mean(), (marginal - prior).mean()


@pytest.mark.parametrize("estimator", ["stratified", "weighted"])
@pytest.mark.parametrize(("rows", "dimension", "size"), [(2, 1, 2), (40, 5, 60_000)])
def test_total_correlation_by_autograd(
    client: kantor.Client, estimator: str, rows: int, dimension: int, size: int
) -> None:
    mean, spread, codes = batch(rows, dimension)
    information, correlation, total = parts(mean, spread, codes, logarithms_of_weights(estimator, rows, size))
    want = 0.5 * information + 6 * correlation + 2 * total
    slopes = torch.autograd.grad(want, (mean, spread, codes))

    term = kantor.TotalCorrelation(
        estimator=estimator,  # type: ignore[arg-type]
        dataset_size=size,
        mutual_information=0.5,
        correlation=6,
        dimension_wise_kl=2,
    )
    ours = [tensor.detach().clone().requires_grad_() for tensor in (mean, spread, codes)]
    criterion = kantor.torch.Loss(
        term, client, extras=[f"total_correlation.{part}" for part in ("mutual_information", "total_correlation")]
    )
    got = criterion(codes=ours[2], posterior=kantor.Gaussian(ours[0], ours[1]))
    got_slopes = torch.autograd.grad(got, ours)

    assert got.item() == pytest.approx(want.item(), rel=1e-12)
    assert criterion.report is not None
    extras = criterion.report.terms["total_correlation"].extras
    np.testing.assert_allclose(extras["mutual_information"], [information.item()], rtol=1e-12)
    np.testing.assert_allclose(extras["total_correlation"], [correlation.item()], rtol=1e-12)
    for mine, theirs in zip(got_slopes, slopes, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-10, atol=1e-13)


def dip(mean: torch.Tensor, spread: torch.Tensor, moments: str, off: float, on: float) -> torch.Tensor:
    covariance = torch.cov(mean.T, correction=0)
    if moments == "codes":
        covariance = covariance + torch.diag(torch.exp(spread).mean(0))
    diagonal = covariance.diagonal()
    return off * ((covariance**2).sum() - (diagonal**2).sum()) + on * ((diagonal - 1) ** 2).sum()


@pytest.mark.parametrize(("moments", "on"), [("means", 10.0), ("codes", 1.0)])
def test_dip_by_autograd(client: kantor.Client, moments: str, on: float) -> None:
    mean, spread, _ = batch(50, 6)
    want = dip(mean, spread, moments, 1.0, on)
    slopes = torch.autograd.grad(want, (mean, spread), materialize_grads=True)
    ours = [tensor.detach().clone().requires_grad_() for tensor in (mean, spread)]
    term = kantor.Dip(moments=moments)  # type: ignore[arg-type]
    criterion = kantor.torch.Loss(term, client, extras=["dip.covariance"])
    got = criterion(posterior=kantor.Gaussian(*ours))
    assert got.item() == pytest.approx(want.item(), rel=1e-12)
    for mine, theirs in zip(torch.autograd.grad(got, ours), slopes, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-11, atol=1e-14)


def test_covariance_is_that_of_numpy(client: kantor.Client) -> None:
    mean: npt.NDArray[np.float64] = np.random.default_rng(0).normal(size=(300, 4)) + 1e3
    result = client.evaluate(
        kantor.Dip(), posterior=kantor.Gaussian(mean, np.zeros_like(mean)), extras=["dip.covariance"]
    )
    covariance = result.terms["dip"].extras["covariance"]
    np.testing.assert_allclose(covariance, np.cov(mean.T, bias=True), rtol=0, atol=1e-12)
