"""Stress, live against SciPy's distances and ranks, scikit-learn's isotonic regression, and torch's autograd."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.spatial.distance
import scipy.stats
import sklearn.isotonic
import torch

import kantor
import kantor.torch
from conftest import Floats


def rows(seed: int, n: int = 60) -> tuple[Floats, Floats]:
    """Data, and codes that keep something of their distances."""
    rng = np.random.default_rng(seed)
    data = rng.standard_normal((n, 9))
    return data[:, :3] + 0.5 * rng.standard_normal((n, 3)), data


def extras(result: kantor.Evaluation) -> dict[str, float]:
    return {name: float(np.asarray(value)[0]) for name, value in result.terms["stress"].extras.items()}


@pytest.mark.parametrize(("ours", "theirs"), [("euclidean", "euclidean"), ("manhattan", "cityblock")])
def test_metric(client: kantor.Client, ours: str, theirs: str) -> None:
    codes, data = rows(1)
    d, e = (scipy.spatial.distance.pdist(x, metric=theirs) for x in (codes, data))
    scale = (d @ e) / (e @ e)
    term = kantor.Stress(code_metric=ours, data_metric=ours)  # type: ignore[arg-type]
    result = client.evaluate(term, codes=codes, data=data, extras=["stress.scale", "stress.correlation"])
    assert result.value == pytest.approx(((d - scale * e) ** 2).sum() / (d @ d), rel=1e-12)
    assert extras(result)["scale"] == pytest.approx(scale, rel=1e-12)
    assert extras(result)["correlation"] == pytest.approx(np.corrcoef(d, e)[0, 1], rel=1e-11)


@pytest.mark.parametrize("ties", [False, True])
def test_rank(client: kantor.Client, ties: bool) -> None:
    codes, data = rows(2)
    if ties:
        data = np.round(data[:, :1])
    d, e = (scipy.spatial.distance.pdist(x) for x in (codes, data))
    order = np.lexsort((d, e))  # equal ones are free: by the codes' own
    fitted = sklearn.isotonic.IsotonicRegression().fit_transform(np.arange(len(d)), d[order])
    result = client.evaluate(kantor.Stress(form="rank"), codes=codes, data=data, extras="stress.correlation")
    assert result.value == pytest.approx(((d[order] - fitted) ** 2).sum() / (d @ d), rel=1e-12)
    assert extras(result)["correlation"] == pytest.approx(scipy.stats.spearmanr(d, e).statistic, rel=1e-11)


@pytest.mark.parametrize("scale", [None, 0.7])
def test_gradients_by_autograd(client: kantor.Client, scale: float | None) -> None:
    codes, data = (torch.tensor(x, requires_grad=True) for x in rows(3))
    d, e = torch.pdist(codes), torch.pdist(data)
    s = (d @ e) / (e @ e) if scale is None else scale
    want = ((d - s * e) ** 2).sum() / (d @ d if scale is None else (s * e) @ (s * e))
    got = kantor.torch.Loss(kantor.Stress(scale=scale), client)(codes=codes, data=data)
    torch.testing.assert_close(got, want, rtol=1e-12, atol=0)
    mine, theirs = (torch.autograd.grad(value, (codes, data)) for value in (got, want))
    torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-13)
