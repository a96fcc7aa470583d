"""A user's program that a strict type checker understands: `make lint` holds pyright to it, and here it runs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

import kantor
import kantor.torch
from kantor.schedules import Linear

Points = npt.NDArray[np.float64]


def test_numpy(client: kantor.Client, rng: np.random.Generator) -> None:
    x: Points = rng.standard_normal((8, 2))
    y: Points = rng.standard_normal((8, 2)) + 1
    objective = kantor.Transport(name="exact") + 0.1 * kantor.Sinkhorn(blur=0.5)
    result = client.evaluate(objective, source=x, target=y, gradients=["source.points"], extras=["exact.plan"])
    gradient = result.gradients["source.points"]
    moved = x - gradient
    assert moved.shape == (8, 2)
    term = result.terms["exact"]
    assert term.interval is not None
    assert term.interval.lower <= term.value <= term.interval.upper
    plan: kantor.Plan = term.extras["plan"]
    assert plan.dense(8, 8).sum() > 0.99
    with client.stream(objective) as stream:
        pending = [stream.submit(source=x, target=y, seed=seed) for seed in range(2)]
        values = [p.result().value for p in pending]
    assert values == [result.value, result.value]
    try:
        client.evaluate(kantor.GaussianKl(), posterior=kantor.Gaussian(x, y[:1]))
    except kantor.InvalidArgumentError as error:
        assert error.argument.startswith("posterior")


def test_torch(client: kantor.Client) -> None:
    objective = kantor.Sinkhorn("codes", "prior", blur=0.5) + kantor.GaussianKl(weight=0.5)
    criterion = kantor.torch.Loss(objective, client, schedules={"kl.weight": Linear(0, 1, 10)})
    codes = torch.zeros(16, 2, requires_grad=True)
    posterior = kantor.Gaussian(codes, torch.zeros(16, 2))
    loss = criterion(codes=codes, prior=kantor.StandardNormal(), posterior=posterior)
    loss.backward()
    assert codes.grad is not None
    report = criterion.report
    assert report is not None
    numbers: dict[str, float] = {name: term.value for name, term in report.terms.items()}
    assert set(numbers) == {"sinkhorn", "kl"}
    exact = kantor.torch.SamplesLoss("sinkhorn", blur=0.5, client=client)(codes.detach(), codes.detach() + 1)
    assert exact.shape == ()
