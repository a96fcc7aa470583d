"""kantor.torch under torch.compile, whole graphs only, with backends that need no compiler of C++."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import kantor
import kantor.torch
from kantor.schedules import Linear

BACKENDS = ["eager", "aot_eager"]
PRIOR = kantor.StandardNormal()


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    torch.manual_seed(3)
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def objective() -> kantor.Objective:
    return kantor.Sinkhorn("z", "prior", blur=0.5) + kantor.GaussianKl("q") + 0.1 * kantor.ConeCritic("z", "prior")


class Model(torch.nn.Module):
    """An encoder with its loss, which is what people compile."""

    def __init__(self, client: kantor.Client) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder = torch.nn.Linear(3, 4)
        self.criterion = kantor.torch.Loss(objective(), client, schedules={"kl.weight": Linear(0, 1, 4)}, seed=5)

    def forward(self, x: torch.Tensor) -> Any:
        mean, log_variance = self.encoder(x).chunk(2, 1)
        return self.criterion(z=mean, prior=PRIOR, q=kantor.Gaussian(mean, log_variance))


def steps(model: Model, compiled: Any, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    """Values and gradients of four steps, one of them of another batch size, and of a validation between."""
    out = []
    for step, size in enumerate((16, 16, 16, 24)):
        x = torch.randn(size, 3, generator=torch.Generator().manual_seed(step)).to(dtype)
        model.zero_grad()
        loss = compiled(x)
        loss.backward()
        with torch.no_grad():
            out += [loss.detach().clone(), compiled(x)]
        out += [p.grad.clone() for p in model.parameters() if p.grad is not None]
    return out


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_compiled_model_makes_the_same_steps(client: kantor.Client, backend: str, dtype: torch.dtype) -> None:
    plain, model = Model(client).to(dtype), Model(client).to(dtype)
    want = steps(plain, plain, dtype)
    got = steps(model, torch.compile(model, fullgraph=True, backend=backend), dtype)
    assert len(want) == 4 * 4
    assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))
    assert model.criterion.step == 4
    assert model.criterion.report is not None
    assert set(model.criterion.report.terms) == {"sinkhorn", "kl", "cone_critic"}


def test_the_operation_is_what_torch_asks_of_one(client: kantor.Client) -> None:
    """Torch's own checks: schema, fake kernel and autograd, with tensors that learn and such that do not."""
    criterion = kantor.torch.Loss(kantor.GaussianKl("q", "p"), client)
    a, b = (torch.randn(4, 2, dtype=dtype).requires_grad_() for dtype in (torch.float32, torch.float64))
    layout = "\n".join(f"{name}\tGaussian\t{field}\t" for name in "qp" for field in ("mean", "log_variance"))
    arguments = ([a, b, torch.zeros(1, 2), torch.zeros(1, 2)], layout, criterion._number, [True, True, False, False])
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    result = torch.library.opcheck(
        torch.ops.kantor.evaluate, (*arguments, True, True, 0, "", [], None), test_utils=checks
    )
    assert set(result.values()) == {"SUCCESS"}


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_kind_of_input_and_argument(client: kantor.Client, backend: str) -> None:
    criterion = kantor.torch.Loss(
        kantor.Sinkhorn("z", "x", blur=1) + kantor.Sinkhorn("z", "mixture", blur=1, name="mixed"), client
    )
    means = torch.tensor([[0.0, 2.0], [1.0, 1.0]])
    points, z = np.random.default_rng(0).standard_normal((5, 2)), torch.randn(8, 2, dtype=torch.float64)

    def f(z: torch.Tensor, weights: torch.Tensor, seed: int) -> Any:
        x = kantor.Measure(torch.from_numpy(points), weights)
        mixture = kantor.GaussianMixture(means, size=12)
        return criterion({"z": z, "x": x, "mixture": mixture}, seed=seed, overrides={"mixed.weight": 0.5}, timeout=30.0)

    compiled: Any = torch.compile(f, fullgraph=True, backend=backend)
    weights = torch.full((5,), 0.2, dtype=torch.float64)
    for seed in (1, 2, (1 << 64) - 1):
        one, other = z.clone().requires_grad_(), z.clone().requires_grad_()
        want, got = f(one, weights, seed), compiled(other, weights, seed)
        want.backward()
        got.backward()
        assert got.item() == want.item()
        assert torch.equal(torch.as_tensor(other.grad), torch.as_tensor(one.grad))


def test_a_copy_is_a_criterion_of_its_own(client: kantor.Client) -> None:
    criterion = kantor.torch.Loss(kantor.GaussianKl(), client)
    q = kantor.Gaussian(torch.randn(4, 2), torch.randn(4, 2))
    for twin in (copy.deepcopy(criterion), pickle.loads(pickle.dumps(criterion))):
        value = torch.compile(twin, fullgraph=True, backend="eager")(posterior=q)
        assert (twin.step, criterion.step) == (1, 0)
        assert value.item() == criterion.eval()(posterior=q).item()


def test_a_second_derivative_is_refused(client: kantor.Client) -> None:
    criterion = kantor.torch.Loss(kantor.GaussianKl(), client)
    mean = torch.randn(4, 2).requires_grad_()

    def f(mean: torch.Tensor) -> Any:
        return criterion(posterior=kantor.Gaussian(mean, torch.zeros(4, 2)))

    compiled: Any = torch.compile(f, fullgraph=True, backend="eager")
    (gradient,) = torch.autograd.grad(compiled(mean), mean, create_graph=True)
    torch.testing.assert_close(gradient, mean / 4)
    with pytest.raises(RuntimeError, match="can be differentiated once"):
        torch.autograd.grad(gradient.square().sum(), mean)


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_equal_calls_in_one_graph_are_two_steps(client: kantor.Client, backend: str) -> None:
    """Neither is taken for the other's result."""
    criterion = kantor.torch.Loss(kantor.Sinkhorn("z", "prior", blur=1), client)
    z = torch.randn(8, 2, dtype=torch.float64)

    def f(z: torch.Tensor) -> Any:
        return torch.stack([criterion(z=z, prior=PRIOR), criterion(z=z, prior=PRIOR)])

    compiled: Any = torch.compile(f, fullgraph=True, backend=backend)
    got = compiled(z.clone().requires_grad_()).tolist()
    assert criterion.step == 2
    criterion.step = 0
    assert got == f(z).tolist()
    assert got[0] != got[1]
