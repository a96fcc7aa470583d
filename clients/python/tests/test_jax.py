"""kantor.jax: values and gradients against closed forms, differences and kantor.torch, in 32 and in 64 bits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest
import torch

import kantor
import kantor.jax
import kantor.torch


@pytest.fixture(params=[False, True], ids=["32 bits", "64 bits"])
def wide(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Whether jax has 64-bit numbers."""
    jax.config.update("jax_enable_x64", request.param)
    yield request.param
    jax.config.update("jax_enable_x64", False)


@pytest.fixture
def wide_only() -> Iterator[None]:
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


def normal(rng: np.random.Generator, *shape: int) -> jax.Array:
    """Draws numbers, float32 or float64, whichever jax has."""
    return jnp.asarray(rng.normal(size=shape))


def same(a: Any, b: Any) -> bool:
    """Whether two trees of arrays have the same bits and formats."""
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes() for x, y in pairs)


def test_kl_and_its_gradients_are_the_closed_form(client: kantor.Client, rng: np.random.Generator, wide: bool) -> None:
    """½ Σ (exp(l) + μ² - 1 - l) / N, whose derivatives are μ/N and ½(exp(l) - 1)/N."""
    loss = kantor.jax.Loss(kantor.GaussianKl(), client)
    mean, log_variance = normal(rng, 8, 3), normal(rng, 8, 3)
    value, gradients = jax.jit(jax.value_and_grad(lambda m, v: loss(posterior=kantor.Gaussian(m, v)), argnums=(0, 1)))(
        mean, log_variance
    )
    m, v = np.float64(mean), np.float64(log_variance)
    rounding = 1e-12 if wide else 1e-6  # some units in the last place
    assert value.dtype == gradients[0].dtype == (np.float64 if wide else np.float32)
    np.testing.assert_allclose(value, (np.exp(v) + m**2 - 1 - v).sum() / 16, rtol=rounding)
    np.testing.assert_allclose(gradients[0], m / 8, rtol=rounding)
    np.testing.assert_allclose(gradients[1], (np.exp(v) - 1) / 16, rtol=rounding, atol=rounding)


def test_a_translation_has_its_closed_form(client: kantor.Client, rng: np.random.Generator) -> None:
    """Of ½|x-y|² the debiased divergence of a cloud from itself moved by t is ½|t|², with the gradient -t/N."""
    loss = kantor.jax.Loss(kantor.Sinkhorn(blur=0.5, tolerance=1e-6), client)
    x, t = normal(rng, 16, 2), jnp.array([1.0, -2.0])
    value, gradient = jax.value_and_grad(lambda x, y: loss(source=x, target=y))(x, x + t)
    np.testing.assert_allclose(value, 2.5, rtol=1e-5)
    np.testing.assert_allclose(gradient, np.tile(-np.asarray(t) / 16, (16, 1)), atol=1e-5)


def test_gradients_in_all_inputs_are_those_of_differences(
    client: kantor.Client, rng: np.random.Generator, wide_only: None
) -> None:
    terms = kantor.Sinkhorn(blur=1.0, tolerance=1e-11) + 0.3 * kantor.Mmd() + 0.5 * kantor.GaussianKl()
    loss = kantor.jax.Loss(terms + 0.2 * kantor.Bures("posterior", "other"), client)
    root = normal(rng, 2, 2)

    def value(x: Any, a: Any, y: Any, mean: Any, log_variance: Any, covariance: Any) -> Any:
        return loss(
            source=kantor.Measure(x, jax.nn.softmax(a)),
            target=y,
            posterior=kantor.Gaussian(mean, log_variance),
            other=kantor.Gaussian(mean[:1] + 1, covariance=(covariance @ covariance.T + jnp.eye(2))[None]),
        )

    arguments = (
        *(normal(rng, 5, 2), normal(rng, 5), normal(rng, 4, 2)),
        *(normal(rng, 1, 2), normal(rng, 1, 2), root),
    )
    jax.test_util.check_grads(value, arguments, order=1, modes=["rev"], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("half", [None, "float16", "bfloat16"])
def test_it_is_kantor_torch_bit_for_bit(
    client: kantor.Client, rng: np.random.Generator, wide: bool, half: str | None
) -> None:
    terms = kantor.Sinkhorn("x", "prior", blur=0.5) + 0.1 * kantor.GaussianKl(weight=2)
    x, mean, log_variance = (np.float64 if wide else np.float32)(rng.normal(size=(3, 12, 2)))
    tensors = [torch.tensor(v, dtype=getattr(torch, half) if half else None) for v in (x, mean, log_variance)]
    for tensor in tensors:
        tensor.requires_grad_()
    overrides, seed, prior = {"sinkhorn.blur": 0.7}, 2**63 + 5, kantor.StandardNormal(20)
    criterion = kantor.torch.Loss(terms, client)
    want = criterion(x=tensors[0], prior=prior, posterior=kantor.Gaussian(*tensors[1:]), seed=seed, overrides=overrides)
    (3 * want).backward()

    loss = kantor.jax.Loss(terms, client)

    def value(x: Any, mean: Any, log_variance: Any) -> Any:
        posterior = kantor.Gaussian(mean, log_variance)
        return 3 * loss(x=x, prior=prior, posterior=posterior, seed=seed, overrides=overrides)

    arrays = [jnp.asarray(v, half) for v in (x, mean, log_variance)]
    got, gradients = jax.jit(jax.value_and_grad(value, argnums=(0, 1, 2)))(*arrays)
    assert same(got, (3 * want).detach().numpy())
    for tensor, array, gradient in zip(tensors, arrays, gradients, strict=True):
        assert gradient.dtype == array.dtype and tensor.grad is not None
        np.testing.assert_array_equal(np.float64(gradient), tensor.grad.double().numpy())
    criterion.close()


def test_a_batch_is_the_sum_of_its_problems_and_the_report_has_each(
    client: kantor.Client, rng: np.random.Generator
) -> None:
    loss = kantor.jax.Loss(kantor.Sinkhorn(blur=0.5) + 3 * kantor.GaussianKl(), client)
    x, y, q = normal(rng, 3, 8, 2), normal(rng, 6, 2), kantor.Gaussian(normal(rng, 2, 2), normal(rng, 2, 2))
    sizes = jnp.array([8, 5, 3])
    value, report = jax.jit(loss.with_report)({"source": kantor.Measure(x, sizes=sizes), "target": y, "posterior": q})
    parts = [loss.with_report(source=x[i, : int(n)], target=y, posterior=q)[1] for i, n in enumerate(sizes)]
    assert same(report["sinkhorn"], jax.tree.map(lambda *leaves: jnp.stack(leaves), *[p["sinkhorn"] for p in parts]))
    np.testing.assert_allclose(value, report["sinkhorn"].values.sum() + 3 * parts[0]["kl"].values, rtol=1e-6)


def test_a_report_is_what_the_server_says(client: kantor.Client, rng: np.random.Generator) -> None:
    terms = kantor.Sinkhorn(blur=0.1, max_iterations=2) + kantor.Mmd()
    x, y = normal(rng, 9, 2), normal(rng, 9, 2)
    loss = kantor.jax.Loss(terms, client)
    inputs = {"source": x, "target": y}
    (value, report), gradient = jax.jit(jax.value_and_grad(loss.with_report, has_aux=True))(inputs)
    want = client.evaluate(terms, inputs, gradients=["source.points"])
    assert same(value, np.float32(want.value))
    assert same(gradient["source"], want.gradients["source.points"])
    assert set(report) == {"sinkhorn", "mmd"}
    for name, term in want.terms.items():
        assert same(report[name].values, np.float32(term.value))
        assert report[name].converged == term.converged
        assert report[name].iterations == (term.solve.iterations if term.solve else 0)
    interval = want.terms["sinkhorn"].interval
    assert interval is not None and not want.terms["sinkhorn"].converged
    # Rounded outwards, by less than a unit in the last place.
    lower, upper = (np.float32(report["sinkhorn"].lower), np.float32(report["sinkhorn"].upper))
    assert np.float64(lower) <= interval.lower < np.float64(np.nextafter(lower, np.float32(np.inf)))
    assert np.float64(np.nextafter(upper, np.float32(-np.inf))) < interval.upper <= np.float64(upper)
    assert (report["mmd"].lower, report["mmd"].upper) == (-np.inf, np.inf)


def test_seeds_are_integers_or_keys(client: kantor.Client, rng: np.random.Generator) -> None:
    loss = kantor.jax.Loss(kantor.Sinkhorn(target="prior", blur=0.5), client)
    x, prior = normal(rng, 8, 2), kantor.StandardNormal()

    def of(seed: Any) -> float:
        traced = float(jax.jit(lambda seed: loss(source=x, prior=prior, seed=seed))(seed))
        assert traced == float(loss(source=x, prior=prior, seed=seed))
        return traced

    assert of(5) == of(jnp.uint32(5)) == of(np.int64(5)) != of(6)
    key = jax.random.key(5)
    low, high = (int(word) for word in jax.random.bits(key, (2,), "uint32"))
    big = low | high << 32
    assert of(key) == of(jax.random.PRNGKey(5)) == float(loss(source=x, prior=prior, seed=big))
    assert float(loss(source=x, prior=prior, seed=big)) == np.float32(
        client.evaluate(loss.terms, source=np.asarray(x), prior=prior, seed=big).value
    )
    assert of(key) != of(jax.random.split(key)[0])


def test_numbers_of_the_64_bit_kind_arrive_whole(client: kantor.Client) -> None:
    """Half of this weight is above the middle between two float32, and as a float32 it would be that middle."""
    loss = kantor.jax.Loss(kantor.GaussianKl(), client)
    q = kantor.Gaussian(jnp.ones((1, 1)), jnp.zeros((1, 1)))
    value = jax.jit(lambda: loss(posterior=q, overrides={"kl.weight": 2 * 2.0**-24 * (1 + 2.0**-20) + 2}))()
    assert value == np.nextafter(np.float32(1), np.float32(2))


def test_inputs_are_pytrees(client: kantor.Client, rng: np.random.Generator) -> None:
    mixture = kantor.GaussianMixture(jnp.ones((2, 2)), size=7)
    x = normal(rng, 5, 2)
    inputs = {"source": kantor.Measure(x), "target": mixture}
    loss = kantor.jax.Loss(kantor.Sinkhorn(blur=0.5), client)
    doubled = jax.jit(lambda inputs: jax.tree.map(lambda leaf: 2 * leaf, inputs))(inputs)
    assert doubled["target"].size == 7
    assert loss(doubled) == loss(source=2 * x, target=kantor.GaussianMixture([[2.0, 2]] * 2, size=7))


def test_a_trained_critic_is_an_input(client: kantor.Client, rng: np.random.Generator, wide: bool) -> None:
    critic = kantor.ConeCritic(state="critic")
    x, y = rng.normal(size=(2, 8, 2))
    new = client.evaluate(kantor.ConeCritic(), source=x, target=y, extras="cone_critic.state")
    state = new.terms["cone_critic"].extras["state"]
    want = client.evaluate(critic, source=x, target=y, critic=state, gradients="source.points")
    loss = kantor.jax.Loss(critic, client)
    value, gradient = jax.jit(jax.value_and_grad(lambda x, state: loss(source=x, target=y, critic=state)))(x, state)
    np.testing.assert_allclose(value, want.value, rtol=1e-12 if wide else 1e-5)
    np.testing.assert_allclose(gradient, want.gradients["source.points"], rtol=1e-6, atol=1e-7)
    each = jax.vmap(lambda x: loss(source=x, target=y, critic=state))(np.stack([x, x + 1]))
    np.testing.assert_allclose(each[0], value, rtol=1e-6)
