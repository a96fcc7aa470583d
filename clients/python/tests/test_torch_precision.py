"""kantor.torch in half precision and under what trainers put around a loss: autocast, scaling, checkpointing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.checkpoint import checkpoint

import kantor
import kantor.torch

HALVES = [torch.float16, torch.bfloat16]


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(3)


@pytest.fixture
def kl(client: kantor.Client) -> kantor.torch.Loss:
    return kantor.torch.Loss(kantor.GaussianKl(), client)


def leaf(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape).to(dtype).requires_grad_()


def grad(tensor: torch.Tensor) -> torch.Tensor:
    assert tensor.grad is not None
    return tensor.grad


@pytest.mark.parametrize("dtype", HALVES)
def test_a_half_is_raised_to_float32_and_its_gradient_cast_once(
    client: kantor.Client, dtype: torch.dtype, upstream: float = 1 / 3
) -> None:
    """Bit for bit what the same numbers give as float32, with one rounding at the end."""
    criterion = kantor.torch.Loss(kantor.Sinkhorn(blur=0.5), client)
    x, y = leaf(16, 3, dtype=dtype), leaf(12, 3, dtype=dtype)
    wide = x.detach().float().requires_grad_()
    loss, reference = criterion(source=x, target=y), criterion(source=wide, target=y.detach().float())
    assert loss.dtype == torch.float32
    assert loss.item() == reference.item()
    # A third is no number of either half: rounded to one before the product, it would move the gradient.
    (upstream * loss).backward()
    (upstream * reference).backward()
    assert grad(x).dtype == dtype
    assert torch.equal(grad(x), grad(wide).to(dtype))


@pytest.mark.parametrize("dtype", HALVES)
def test_halves_and_wider_tensors_together(kl: kantor.torch.Loss, dtype: torch.dtype) -> None:
    for other, want in ((dtype, torch.float32), (torch.float32, torch.float32), (torch.float64, torch.float64)):
        mean, log_variance = leaf(4, 2, dtype=dtype), leaf(4, 2, dtype=other)
        loss = kl(posterior=kantor.Gaussian(mean, log_variance))
        assert loss.dtype == want
        loss.backward()
        assert (grad(mean).dtype, grad(log_variance).dtype) == (dtype, other)


def test_autocast(kl: kantor.torch.Loss) -> None:
    """The model computes in bfloat16, the loss in float32, and the parameters' gradients are float32 as always."""
    encoder = torch.nn.Linear(3, 4)
    x = torch.randn(8, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        codes = encoder(x)
        codes.retain_grad()
        assert codes.dtype == torch.bfloat16
        loss = kl(posterior=kantor.Gaussian(*codes.chunk(2, 1)))
    assert loss.dtype == torch.float32
    loss.backward()
    wide = codes.detach().float().requires_grad_()
    kl(posterior=kantor.Gaussian(*wide.chunk(2, 1))).backward()
    assert torch.equal(grad(codes), grad(wide).bfloat16())
    assert grad(encoder.weight).dtype == torch.float32


@pytest.mark.parametrize("dtype", [*HALVES, torch.float32])
def test_a_scaler_at_65536_changes_nothing_but_the_reach(kl: kantor.torch.Loss, dtype: torch.dtype) -> None:
    """Gradients far under float16's least number survive the way back; a power of two is exact."""
    scaler = torch.amp.GradScaler("cpu", init_scale=65536.0)
    mean = torch.full((4096, 2), 3e-5).to(dtype).requires_grad_()
    optimiser = torch.optim.SGD([mean], lr=1.0)
    loss = kl(posterior=kantor.Gaussian(mean, torch.zeros(4096, 2)))
    scaler.scale(loss).backward()
    # mean/4096 is 7e-9, and float16 begins at 6e-8.
    want = (mean.detach().float() / 4096 * 65536).to(dtype)
    torch.testing.assert_close(grad(mean), want, rtol=2 * torch.finfo(dtype).eps, atol=0)
    assert (grad(mean) != 0).all()
    if dtype == torch.float32:  # what a scaler unscales: parameters in half precision it refuses
        scaler.step(optimiser)
        scaler.update()
        assert scaler.get_scale() == 65536.0  # nothing overflowed


def test_accumulated_gradients_are_their_sum(kl: kantor.torch.Loss) -> None:
    mean, log_variance = leaf(8, 2), leaf(8, 2)
    for part in range(0, 8, 2):
        rows = slice(part, part + 2)
        (kl(posterior=kantor.Gaussian(mean[rows], log_variance[rows])) / 4).backward()
    got = grad(mean).clone(), grad(log_variance).clone()
    mean.grad = log_variance.grad = None
    kl(posterior=kantor.Gaussian(mean, log_variance)).backward()
    # A mean over 8 rows is the mean of the means over 2: equal up to a rounding of each of few operations.
    torch.testing.assert_close(got, (grad(mean), grad(log_variance)), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("reentrant", [False, True])
def test_activation_checkpointing(client: kantor.Client, reentrant: bool) -> None:
    """Also where the loss is inside what is computed twice."""
    criterion = kantor.torch.Loss(kantor.Sinkhorn("z", "prior", blur=0.5), client)
    encoder, x = torch.nn.Linear(3, 2), leaf(8, 3)

    def objective(x: torch.Tensor) -> torch.Tensor:
        value: torch.Tensor = criterion(z=encoder(x).tanh(), prior=kantor.StandardNormal(), seed=5)
        return value

    def gradients(loss: Any) -> list[torch.Tensor]:
        encoder.zero_grad()
        x.grad = None
        loss.backward()
        return [loss.detach(), grad(x).clone(), *(grad(p).clone() for p in encoder.parameters())]

    plain = gradients(objective(x))
    again = gradients(checkpoint(objective, x, use_reentrant=reentrant))
    assert all(torch.equal(a, b) for a, b in zip(plain, again, strict=True))


def test_what_needs_a_gradient_in_every_mix(client: kantor.Client) -> None:
    """Each of the four leaves alone and together: a gradient where one is wanted, of the same bits, and no other."""
    criterion = kantor.torch.Loss(kantor.GaussianKl("q", "p"), client)
    data = [torch.randn(4, 2) for _ in range(4)]
    leaves = [t.clone().requires_grad_() for t in data]
    criterion(q=kantor.Gaussian(*leaves[:2]), p=kantor.Gaussian(*leaves[2:])).backward()
    for mask in range(1, 16):
        some = [t.clone().requires_grad_(bool(mask >> i & 1)) for i, t in enumerate(data)]
        criterion(q=kantor.Gaussian(*some[:2]), p=kantor.Gaussian(*some[2:])).backward()
        for i, (tensor, whole) in enumerate(zip(some, leaves, strict=True)):
            if mask >> i & 1:
                assert torch.equal(grad(tensor), grad(whole))
            else:
                assert tensor.grad is None


def test_a_second_derivative_in_half_precision_is_refused(kl: kantor.torch.Loss) -> None:
    mean = leaf(4, 2, dtype=torch.bfloat16)
    loss = kl(posterior=kantor.Gaussian(mean, torch.zeros(4, 2)))
    (gradient,) = torch.autograd.grad(loss, mean, create_graph=True)
    with pytest.raises(RuntimeError, match="can be differentiated once"):
        torch.autograd.grad(gradient.square().sum(), mean)


def test_function_transforms_are_refused_by_name(kl: kantor.torch.Loss) -> None:
    def f(mean: torch.Tensor) -> torch.Tensor:
        value: torch.Tensor = kl(posterior=kantor.Gaussian(mean, torch.zeros(4, 2)))
        return value

    refusal = pytest.raises(kantor.InvalidArgumentError, match=r"^posterior\.mean: is inside torch\.func .*\[B, N, D\]")
    with refusal:
        torch.func.grad(f)(torch.ones(4, 2))
    with refusal:
        torch.func.vmap(f)(torch.ones(3, 4, 2))
