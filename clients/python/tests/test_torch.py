"""kantor.torch: a criterion that can be differentiated, against torch itself and against finite differences."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import kantor
import kantor.torch


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(3)


def kl(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """KL to N(0, I), summed over dimensions, averaged over rows (Kingma and Welling 2014, appendix B)."""
    return 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).sum(1).mean()


def leaf(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, dtype=dtype).requires_grad_()


# A handful of roundings of numbers of order 1 on both sides.
EPS = {torch.float32: 1e-6, torch.float64: 1e-14}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_value_and_gradients_are_torchs_own(client: kantor.Client, dtype: torch.dtype) -> None:
    criterion = kantor.torch.Loss(2 * kantor.GaussianKl(), client)
    mean, log_variance = leaf(6, 3, dtype=dtype), leaf(6, 3, dtype=dtype)
    loss = criterion(posterior=kantor.Gaussian(mean, log_variance))
    own = 2 * kl(mean, log_variance)
    assert loss.dtype == dtype
    assert loss.shape == ()
    torch.testing.assert_close(loss, own, rtol=EPS[dtype], atol=0)
    # An upstream gradient that is not 1, from other operations around the loss.
    got = torch.autograd.grad((3 * loss).exp().log(), (mean, log_variance))
    want = torch.autograd.grad(3 * own, (mean, log_variance))
    torch.testing.assert_close(got, want, rtol=4 * EPS[dtype], atol=EPS[dtype])
    assert [g.dtype for g in got] == [dtype, dtype]


def test_gradcheck_of_kl(client: kantor.Client) -> None:
    criterion = kantor.torch.Loss(kantor.GaussianKl("q", "p"), client)

    def f(a: torch.Tensor, b: torch.Tensor, c: torch.Tensor, d: torch.Tensor) -> torch.Tensor:
        value: torch.Tensor = criterion(q=kantor.Gaussian(a, b), p=kantor.Gaussian(c, d))
        return 1.5 * value

    assert torch.autograd.gradcheck(f, (leaf(3, 2), leaf(3, 2), leaf(1, 2), leaf(1, 2)))


@pytest.mark.parametrize(
    ("terms", "step", "error"),
    [
        # A central difference errs by h²/6 · |third derivative| + (error of f)/h. Along these directions, of length up
        # to 4, third derivatives are of order 10/blur², which makes 2e-8/blur². The value is second order in the
        # marginal error, so that its own error is rounding, 1e-14/h at most. The gradient is first order: 1e-9.
        (kantor.Sinkhorn(blur=1, tolerance=1e-9), 1e-4, 1e-7),
        (kantor.Sinkhorn(blur=0.5, tolerance=1e-9, cost="squared_euclidean"), 1e-4, 1e-6),
        (kantor.Sinkhorn(epsilon=1, tolerance=1e-9, cost="euclidean"), 1e-4, 1e-6),
        (kantor.Sinkhorn(blur=1, tolerance=1e-9, debias="none"), 1e-4, 1e-7),
    ],
)
def test_sinkhorn_against_central_differences(
    client: kantor.Client, terms: kantor.Term, step: float, error: float
) -> None:
    criterion = kantor.torch.Loss(terms, client)
    x, y = leaf(7, 2), (torch.randn(5, 2, dtype=torch.float64) + 0.5).requires_grad_()
    a = torch.rand(7, dtype=torch.float64).add(0.5)
    b = torch.rand(5, dtype=torch.float64).add(0.5)
    a, b = (a / a.sum()).requires_grad_(), (b / b.sum()).requires_grad_()

    def f(x: torch.Tensor, y: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        value: torch.Tensor = criterion(source=kantor.Measure(x, a), target=kantor.Measure(y, b))
        return value

    gradients = torch.autograd.grad(f(x, y, a, b), (x, y, a, b))
    arguments = [t.detach() for t in (x, y, a, b)]
    for i, gradient in enumerate(gradients):
        for _ in range(3):
            direction = torch.randn_like(arguments[i])
            if i >= 2:  # relative to the weights, and so that masses stay equal
                direction = arguments[i] * (direction - (arguments[i] * direction).sum())
            difference = central(f, arguments, i, direction, step)
            assert abs(difference - (gradient * direction).sum().item()) < error


def central(
    f: Callable[..., torch.Tensor], arguments: list[torch.Tensor], i: int, direction: torch.Tensor, step: float
) -> float:
    def at(t: float) -> float:
        moved = list(arguments)
        moved[i] = moved[i] + t * direction
        return f(*moved).item()

    return (at(step) - at(-step)) / (2 * step)


def test_the_server_is_asked_only_for_what_needs_a_gradient(client: kantor.Client) -> None:
    criterion = kantor.torch.Loss(kantor.Sinkhorn("z", "x", blur=1) + kantor.GaussianKl("q"), client)
    mean, log_variance, z = leaf(4, 2), leaf(4, 2).detach(), leaf(4, 2)
    inputs = {"z": z, "x": torch.zeros(3, 2, dtype=torch.float64), "q": kantor.Gaussian(mean, log_variance)}
    loss = criterion(inputs)
    assert criterion.report is not None
    assert set(criterion.report.gradients) == {"z.points", "q.mean"}
    loss.backward()
    assert z.grad is not None
    assert mean.grad is not None
    assert log_variance.grad is None
    with torch.no_grad():
        assert not criterion(inputs).requires_grad
    assert criterion.report.gradients == {}
    assert not criterion({**inputs, "z": z.detach(), "q": kantor.Gaussian(mean.detach(), log_variance)}).requires_grad


def test_arrays_priors_and_tensors_together(client: kantor.Client) -> None:
    criterion = kantor.torch.Loss(
        kantor.Sinkhorn("z", "prior", blur=1) + kantor.Sinkhorn("z", "x", name="data"), client
    )
    z = leaf(8, 2, dtype=torch.float32)
    x = np.random.default_rng(0).standard_normal((5, 2))
    loss = criterion(z=z, x=x, prior=kantor.StandardNormal(size=20), seed=4)
    assert loss.dtype == torch.float32  # the tensors' own; the arrays are not asked
    loss.backward()
    assert z.grad is not None
    assert z.grad.abs().sum() > 0
    report = criterion.report
    assert report is not None
    assert loss.item() == np.float32(report.value)
    with torch.no_grad():
        assert criterion(z=z, x=x, prior=kantor.StandardNormal(size=20), seed=4).item() == loss.item()
        assert criterion(z=z, x=x, prior=kantor.StandardNormal(size=20), seed=5).item() != loss.item()


def test_the_value_has_the_widest_format_and_each_gradient_its_own(client: kantor.Client) -> None:
    criterion = kantor.torch.Loss(kantor.GaussianKl(), client)
    mean, log_variance = leaf(4, 2, dtype=torch.float32), leaf(4, 2)
    loss = criterion(posterior=kantor.Gaussian(mean, log_variance))
    assert loss.dtype == torch.float64
    loss.backward()
    assert mean.grad is not None
    assert mean.grad.dtype == torch.float32
    assert log_variance.grad is not None
    assert log_variance.grad.dtype == torch.float64


def test_any_strides(client: kantor.Client) -> None:
    criterion = kantor.torch.Loss(kantor.GaussianKl(), client)
    both = leaf(4, 6)
    loss = criterion(posterior=kantor.Gaussian(both[:, ::2], both.T[1::2].T))
    (got,) = torch.autograd.grad(loss, both)
    (want,) = torch.autograd.grad(kl(both[:, ::2], both[:, 1::2]), both)
    torch.testing.assert_close(got, want, rtol=1e-13, atol=1e-15)


def test_one_tensor_in_two_places_gets_the_sum(client: kantor.Client) -> None:
    criterion = kantor.torch.Loss(kantor.GaussianKl(), client)
    t = leaf(4, 2)
    (got,) = torch.autograd.grad(criterion(posterior=kantor.Gaussian(t, t)), t)
    (want,) = torch.autograd.grad(kl(t, t), t)
    torch.testing.assert_close(got, want, rtol=1e-13, atol=1e-15)


def test_a_second_derivative_is_refused(client: kantor.Client) -> None:
    criterion = kantor.torch.Loss(kantor.GaussianKl(), client)
    mean = leaf(4, 2)
    loss = criterion(posterior=kantor.Gaussian(mean, mean.detach()))
    (gradient,) = torch.autograd.grad(loss, mean, create_graph=True)
    torch.testing.assert_close(gradient, mean / 4, rtol=1e-13, atol=0)
    for penalised in (gradient.sum(), loss + gradient.square().sum()):
        with pytest.raises(RuntimeError, match="can be differentiated once"):
            torch.autograd.grad(penalised, mean, retain_graph=True)


@pytest.mark.parametrize("dtype", [torch.int64, torch.complex64])
def test_other_number_formats_are_refused_by_name(client: kantor.Client, dtype: torch.dtype) -> None:
    criterion = kantor.torch.Loss(kantor.GaussianKl(), client)
    t = torch.zeros(2, 2, dtype=dtype)
    with pytest.raises(kantor.InvalidArgumentError, match=f"^posterior.mean: is {dtype}, want torch.float32"):
        criterion(posterior=kantor.Gaussian(t, t))


def test_the_plain_client_points_to_this_module(client: kantor.Client) -> None:
    with pytest.raises(kantor.InvalidArgumentError, match=r"^source.points: is no array.*kantor\.torch takes tensors"):
        client.evaluate(kantor.Sinkhorn(), source=leaf(2, 2), target=np.zeros((2, 2)))


def test_the_report_has_every_term(client: kantor.Client) -> None:
    criterion = kantor.torch.Loss(
        kantor.Sinkhorn(blur=0.5) + 4 * kantor.GaussianKl(), client, extras="kl.per_dimension"
    )
    assert criterion.report is None
    z = leaf(6, 2)
    loss = criterion(source=z, target=torch.ones(6, 2), posterior=kantor.Gaussian(z, z))
    report = criterion.report
    assert report is not None
    assert report.value == loss.item()
    interval = report.terms["sinkhorn"].interval
    assert interval is not None
    assert report.terms["sinkhorn"].value in interval
    assert "per_dimension" in report.terms["kl"].extras


def test_terms_are_balanced_by_the_norms_of_their_gradients(client: kantor.Client) -> None:
    objective = 3 * kantor.Sinkhorn("z", "x", blur=1) + 0.5 * kantor.GaussianKl("q")
    criterion = kantor.torch.Loss(objective, client, gradients_per_term=True)
    z, log_variance = leaf(6, 2), leaf(6, 2)
    loss = criterion(z=z, x=torch.ones(5, 2), q=kantor.Gaussian(z, log_variance))
    in_z, in_log_variance = torch.autograd.grad(loss, (z, log_variance))
    assert criterion.report is not None
    transport, kl = (criterion.report.terms[name].gradients for name in ("sinkhorn", "kl"))
    assert set(transport) == {"z.points"}
    assert set(kl) == {"q.mean", "q.log_variance"}
    total = 3 * transport["z.points"] + 0.5 * kl["q.mean"]
    torch.testing.assert_close(in_z, torch.from_numpy(total), rtol=1e-13, atol=1e-15)
    torch.testing.assert_close(in_log_variance, torch.from_numpy(0.5 * kl["q.log_variance"]), rtol=1e-13, atol=0)


def test_what_has_no_gradient_cannot_be_learnt(client: kantor.Client) -> None:
    criterion = kantor.torch.Loss(kantor.Sinkhorn(), client)
    means = torch.tensor([[0.0, 2.0]]).requires_grad_()
    with pytest.raises(kantor.InvalidArgumentError, match=r"^target\.means: has no gradient"):
        criterion(source=leaf(3, 2), target=kantor.GaussianMixture(means))
    x = torch.zeros(3, 2)
    mixture = kantor.GaussianMixture(means.detach(), torch.full((1, 2), -60.0), torch.ones(1))
    # Samples of a variance of e^-60 are the mean to 1e-12: half of 2² between points at distance 2.
    assert criterion(source=x, target=mixture).item() == pytest.approx(2, rel=1e-6)


def test_overrides_schedule_a_weight(client: kantor.Client) -> None:
    criterion = kantor.torch.Loss(kantor.GaussianKl(), client)
    q = kantor.Gaussian(leaf(4, 2), leaf(4, 2))
    whole = criterion(posterior=q)
    half = criterion(posterior=q, overrides={"kl.weight": 0.5})
    assert half.item() == whole.item() / 2
    gradients = [torch.autograd.grad(loss, q.mean)[0] for loss in (whole, half)]
    torch.testing.assert_close(gradients[1], gradients[0] / 2, rtol=0, atol=0)


def test_a_bad_call_leaves_the_criterion_usable(client: kantor.Client) -> None:
    criterion = kantor.torch.Loss(kantor.GaussianKl(), client)
    good, bad = leaf(4, 2), leaf(3, 2)
    value = criterion(posterior=kantor.Gaussian(good, good)).item()
    with pytest.raises(kantor.InvalidArgumentError, match=r"^posterior\.log_variance: "):
        criterion(posterior=kantor.Gaussian(good, bad))
    assert criterion(posterior=kantor.Gaussian(good, good)).item() == value
    criterion.close()
    assert criterion(posterior=kantor.Gaussian(good, good)).item() == value


def test_it_is_a_module(client: kantor.Client) -> None:
    criterion = kantor.torch.Loss(kantor.GaussianKl(), client)
    t = leaf(4, 2)
    value = criterion(posterior=kantor.Gaussian(t, t)).item()
    assert list(criterion.parameters()) == []
    assert "GaussianKl" in repr(torch.nn.Sequential(criterion))
    twin = copy.deepcopy(criterion)
    assert twin(posterior=kantor.Gaussian(t, t)).item() == value


def test_losses_without_a_client_share_one(client: kantor.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KANTOR_ADDRESS", client.address)
    t = leaf(4, 2)
    one, other = kantor.torch.Loss(kantor.GaussianKl()), kantor.torch.Loss(2 * kantor.GaussianKl())
    q: Any = kantor.Gaussian(t, t)
    assert 2 * one(posterior=q) == other(posterior=q)
