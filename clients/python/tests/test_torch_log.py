"""kantor.torch.Loss.log: flat numbers, and those of the report."""

from __future__ import annotations

import json

import torch

import kantor
import kantor.torch
from kantor.schedules import Linear


def test_the_numbers_are_the_reports(client: kantor.Client) -> None:
    criterion = kantor.torch.Loss(
        kantor.Sinkhorn(blur=0.3, tolerance=1e-9, max_iterations=1, name="near") + kantor.GaussianKl(),
        client,
        schedules={"kl.weight": Linear(0.5, 1.5, 2)},
    )
    assert criterion.log() == {}
    z = torch.randn(16, 2, generator=torch.Generator().manual_seed(0))
    loss = criterion(source=z, target=z + 1, posterior=kantor.Gaussian(z, z))
    log, report = criterion.log(), criterion.report
    assert report is not None
    near, kl = report.terms["near"], report.terms["kl"]
    assert near.interval is not None
    assert near.solve is not None
    assert log == {
        "value": report.value,
        "seconds": report.timing.decode + report.timing.compute,
        "near.value": near.value,
        "near.lower": near.interval.lower,
        "near.upper": near.interval.upper,
        "near.converged": 0.0,
        "near.iterations": float(near.solve.iterations),
        "near.warnings": float(len(near.warnings)),
        "kl.value": kl.value,
        "kl.converged": 1.0,
        "kl.warnings": 0.0,
        "kl.weight": 0.5,
    }
    assert log["near.warnings"] >= 1  # NOT_CONVERGED among them
    assert log["seconds"] > 0
    assert loss.item() == torch.tensor(log["near.value"] + 0.5 * log["kl.value"], dtype=torch.float32).item()
    assert json.loads(json.dumps(log)) == log
    criterion(source=z, target=z + 1, posterior=kantor.Gaussian(z, z))
    assert criterion.log()["kl.weight"] == 1.0


def test_a_batch_is_summed(client: kantor.Client) -> None:
    criterion = kantor.torch.Loss(kantor.Sinkhorn(blur=1), client)
    x = torch.randn(3, 8, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    loss = criterion(source=x, target=x.flip(1) + 1)
    log, report = criterion.log(), criterion.report
    assert report is not None
    outcomes = report.terms["sinkhorn"].outcomes
    assert len(outcomes) == 3
    assert log["sinkhorn.value"] == sum(outcome.value for outcome in outcomes)
    assert log["sinkhorn.lower"] <= loss.item() <= log["sinkhorn.upper"]
    assert log["sinkhorn.iterations"] == max(outcome.solve.iterations for outcome in outcomes if outcome.solve)
