"""Every kind of distribution by torch, compiled torch and jax, against torch.distributions; ranks are in ranks.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import kantor
import kantor.jax
import kantor.torch
from conftest import Floats

Values = Callable[..., torch.Tensor]


@dataclass(frozen=True)
class Kind:
    """A term between distributions of one kind.

    Attributes:
        term: of the inputs that follow.
        inputs: made of arrays, whichever library's.
        arrays: drawn for that.
        value: the same number by torch, which differentiates it.
    """

    term: kantor.Term
    inputs: Callable[..., dict[str, Any]]
    arrays: Callable[[np.random.Generator], list[Floats]]
    value: Values


def covariances(rng: np.random.Generator) -> list[Floats]:
    roots = rng.standard_normal((5, 3, 3))
    first, second = roots[:4] @ roots[:4].swapaxes(1, 2) + np.eye(3), roots[4:] @ roots[4:].swapaxes(1, 2) + np.eye(3)
    return [rng.standard_normal((4, 3)), first, rng.standard_normal((1, 3)), second]


def between_covariances(m: torch.Tensor, a: torch.Tensor, n: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    normal = torch.distributions.MultivariateNormal
    return kl(normal(m, symmetric(a)), normal(n.expand_as(m), symmetric(b).expand_as(a))).mean()


def symmetric(a: torch.Tensor) -> torch.Tensor:
    """By this a gradient in a covariance is symmetric, as kantor's is."""
    return (a + a.transpose(-1, -2)) / 2


def kl(q: Any, p: Any) -> torch.Tensor:
    out: torch.Tensor = torch.distributions.kl_divergence(q, p)
    return out


def categorical(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    distribution: Any = torch.distributions.Categorical
    return kl(distribution(logits=x), distribution(probs=y.expand_as(x))).mean()


def bernoulli(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    distribution: Any = torch.distributions.Bernoulli
    return kl(distribution(logits=x), distribution(probs=y.expand_as(x))).sum(-1).mean()


def sphere(_: torch.Tensor, kappa: torch.Tensor) -> torch.Tensor:
    """On the sphere in three dimensions: Bessel's functions of half orders are elementary."""
    return (kappa / kappa.tanh() - 1 + (kappa / kappa.sinh()).log()).mean()


def directions(rng: np.random.Generator) -> list[Floats]:
    mean = rng.standard_normal((4, 3))
    return [mean / np.linalg.norm(mean, axis=1, keepdims=True), rng.uniform(0.5, 8, 4)]


KINDS = {
    "covariances": Kind(
        kantor.GaussianKl(prior="prior"),
        lambda m, a, n, b: {
            "posterior": kantor.Gaussian(m, covariance=a),
            "prior": kantor.Gaussian(n, covariance=b),
        },
        covariances,
        between_covariances,
    ),
    "categorical": Kind(
        kantor.CategoricalKl(prior="prior"),
        lambda x, y: {"posterior": kantor.Categorical(x), "prior": kantor.Categorical(probabilities=y)},
        lambda rng: [rng.standard_normal((4, 5)), rng.uniform(0.2, 1, (1, 5))],
        categorical,
    ),
    "bernoulli": Kind(
        kantor.BernoulliKl(prior="prior"),
        lambda x, y: {"posterior": kantor.Bernoulli(x), "prior": kantor.Bernoulli(probabilities=y)},
        lambda rng: [rng.standard_normal((4, 5)), rng.uniform(0.2, 0.8, (1, 5))],
        bernoulli,
    ),
    "von mises-fisher": Kind(
        kantor.VonMisesFisherKl(),
        lambda mean, kappa: {"posterior": kantor.VonMisesFisher(mean, kappa)},
        directions,
        sphere,
    ),
}

each = pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))


@pytest.fixture(autouse=True)
def wide() -> Iterator[None]:
    """Lets jax have 64-bit numbers."""
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


def by_torch(value: Values, arrays: list[Floats]) -> tuple[float, list[Floats]]:
    """The value, and its gradients; 0 in what it does not depend on."""
    leaves = [torch.tensor(array, requires_grad=True) for array in arrays]
    out = value(*leaves)
    gradients = torch.autograd.grad(out, leaves, allow_unused=True, materialize_grads=True)
    return out.item(), [gradient.numpy() for gradient in gradients]


def check(got: tuple[float, Any], want: tuple[float, Any]) -> None:
    np.testing.assert_allclose(got[0], want[0], rtol=1e-12)
    assert any(np.abs(gradient).max() > 1e-3 for gradient in want[1])  # so that the comparison says something
    for mine, other in zip(got[1], want[1], strict=True):
        np.testing.assert_allclose(np.asarray(mine), other, rtol=0, atol=1e-11)


@each
def test_torch(client: kantor.Client, rng: np.random.Generator, kind: Kind) -> None:
    criterion = kantor.torch.Loss(kind.term, client)
    arrays = kind.arrays(rng)
    want = by_torch(kind.value, arrays)
    check(by_torch(lambda *leaves: criterion(kind.inputs(*leaves)), arrays), want)
    compiled: Any = torch.compile(lambda *leaves: criterion(kind.inputs(*leaves)), fullgraph=True, backend="aot_eager")
    check(by_torch(compiled, arrays), want)


@each
def test_a_batch_by_torch_is_the_sum(client: kantor.Client, rng: np.random.Generator, kind: Kind) -> None:
    criterion = kantor.torch.Loss(kind.term, client)
    problems = [kind.arrays(rng) for _ in range(3)]
    wants = [by_torch(kind.value, arrays) for arrays in problems]
    stacked = [np.stack(column) for column in zip(*problems, strict=True)]
    gradients = [np.stack(column) for column in zip(*(g for _, g in wants), strict=True)]
    check(by_torch(lambda *leaves: criterion(kind.inputs(*leaves)), stacked), (sum(v for v, _ in wants), gradients))


@each
@pytest.mark.parametrize("jit", [False, True], ids=["eager", "jit"])
def test_jax(client: kantor.Client, rng: np.random.Generator, kind: Kind, jit: bool) -> None:
    loss = kantor.jax.Loss(kind.term, client)
    arrays = kind.arrays(rng)
    everything = tuple(range(len(arrays)))
    derived = jax.value_and_grad(lambda *given: loss(kind.inputs(*given)), argnums=everything)
    check((jax.jit(derived) if jit else derived)(*map(jnp.asarray, arrays)), by_torch(kind.value, arrays))


@each
def test_a_batch_by_jax_has_values_and_vmap_is_one(client: kantor.Client, rng: np.random.Generator, kind: Kind) -> None:
    """By axes of its own, whose value is the sum, and by vmap."""
    loss = kantor.jax.Loss(kind.term, client)
    problems = [kind.arrays(rng) for _ in range(3)]
    wants = [by_torch(kind.value, arrays) for arrays in problems]
    values = [value for value, _ in wants]
    gradients = [np.stack(column) for column in zip(*(g for _, g in wants), strict=True)]
    stacked = [jnp.stack(column) for column in zip(*problems, strict=True)]
    everything = tuple(range(len(stacked)))
    derived = jax.value_and_grad(lambda *given: loss(kind.inputs(*given)), argnums=everything)
    check(jax.jit(derived)(*stacked), (sum(values), gradients))
    report = jax.jit(lambda *given: loss.with_report(kind.inputs(*given)))(*stacked)[1]
    np.testing.assert_allclose(report[kind.term._loss].values, values, rtol=1e-12)
    mapped, slopes = jax.jit(jax.vmap(derived))(*stacked)
    np.testing.assert_allclose(mapped, values, rtol=1e-12)
    check((sum(mapped), slopes), (sum(values), gradients))
