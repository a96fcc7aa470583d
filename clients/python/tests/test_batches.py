"""Batches of problems against a live server: each problem is as if it were alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import kantor
import kantor.torch

# Each with its extras.
TERMS: list[tuple[kantor.Term, list[str]]] = [
    (kantor.Sinkhorn(blur=0.5), ["potentials"]),
    (kantor.Kantorovich(), ["potentials"]),
    (kantor.Kantorovich(method="entropic"), ["potentials"]),
    (kantor.Transport(), ["potentials", "plan", "map", "interpolation"]),
    (kantor.Sliced(directions=8), ["directions"]),
    (kantor.Sliced(directions=8, aggregate="max"), ["directions"]),
    (kantor.Mmd(), ["witness"]),
    (kantor.Mmd(kernel="gaussian"), ["witness"]),
]
SIZES = [4, 2, 3]


def ragged(rng: np.random.Generator, dtype: Any) -> tuple[Any, Any]:
    """Points [3, 4, 2] and weights [3, 4] of SIZES, NaN beyond."""
    points, weights = rng.standard_normal((3, 4, 2)).astype(dtype), rng.random((3, 4)).astype(dtype) + 0.5
    for b, size in enumerate(SIZES):
        weights[b] /= weights[b, :size].sum(dtype=np.float64)
        points[b, size:] = weights[b, size:] = np.nan
    return points, weights


def of_problem(extra: Any, b: int, size: int) -> Any:
    """What a batch's extra has of problem b, whose source has this many points."""
    if isinstance(extra, np.ndarray):
        return extra[b, :size] if extra.shape[:2] == (len(SIZES), max(SIZES)) else extra[b]
    if isinstance(extra, kantor.Plan):
        return extra.problems()[b]
    if isinstance(extra, kantor.Measure):
        return kantor.Measure(extra.points[b, : extra.sizes[b]], extra.weights[b, : extra.sizes[b]])
    selves = None if extra.source_self is None else (extra.source_self[b, :size], extra.target_self[b])
    return kantor.Potentials(extra.gauge, extra.source[b, :size], extra.target[b], *(selves or (None, None)))


def same(one: Any, other: Any) -> None:
    if isinstance(one, np.ndarray):
        np.testing.assert_array_equal(one, other)
        return
    for name, value in vars(one).items():
        np.testing.assert_array_equal(value, getattr(other, name))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("term", "extras"), TERMS, ids=lambda one: type(one).__name__)
def test_a_ragged_batch_is_its_problems(
    client: kantor.Client, rng: np.random.Generator, term: kantor.Term, extras: list[str], dtype: Any
) -> None:
    x, a = ragged(rng, dtype)
    y = rng.standard_normal((5, 2))
    name, gradients = term._loss, ["source.points", "source.weights", "target.points"]
    asked: Any = {"gradients": gradients, "extras": [f"{name}.{extra}" for extra in extras]}
    batch = client.evaluate(term, source=kantor.Measure(x, a, SIZES), target=y, **asked)
    with client.stream(term, **asked) as stream:
        streamed = stream.evaluate(source=kantor.Measure(x, a, SIZES), target=y)
    shared, value = np.zeros_like(y), 0.0
    for b, size in enumerate(SIZES):
        alone = client.evaluate(term, source=kantor.Measure(x[b, :size], a[b, :size]), target=y, **asked)
        assert batch.terms[name].outcomes[b] == alone.terms[name].outcomes[0]
        for field in ("points", "weights"):
            gradient = batch.gradients[f"source.{field}"][b]
            np.testing.assert_array_equal(gradient[:size], alone.gradients[f"source.{field}"])
            assert not gradient[size:].any()
        for extra in extras:
            own = alone.terms[name].extras[extra]
            same(of_problem(batch.terms[name].extras[extra], b, size), own)
        shared += alone.gradients["target.points"]
        value += alone.value
    np.testing.assert_array_equal(batch.gradients["target.points"], shared)
    assert batch.value == streamed.value == value
    assert batch.terms[name].values == streamed.terms[name].values
    for gradient, other in zip(batch.gradients.values(), streamed.gradients.values(), strict=True):
        np.testing.assert_array_equal(gradient, other)


def test_what_is_wrong_with_one_problem_names_it(client: kantor.Client) -> None:
    x = np.zeros((3, 2, 1))
    heavy = kantor.Measure(x, np.array([[0.5, 0.5], [0.5, 0.5], [1, 1]]))
    with pytest.raises(kantor.InvalidArgumentError, match=r"target: problem 2: input \"target\" has mass 1, want"):
        client.evaluate(kantor.Sinkhorn(), source=heavy, target=x[0])
    with pytest.raises(kantor.InvalidArgumentError, match=r"^source\.sizes: has 3 at \[1\], want 1 to 2"):
        client.evaluate(kantor.Sinkhorn(), source=kantor.Measure(x, sizes=[1, 3, 2]), target=x[0])
    with pytest.raises(kantor.InvalidArgumentError, match="batch of 2 problems, want 3"):
        client.evaluate(kantor.Sinkhorn(), source=x, target=x[:2])


def test_torch_sums_over_the_batch(client: kantor.Client, rng: np.random.Generator) -> None:
    criterion = kantor.torch.Loss(kantor.Sinkhorn(blur=0.5), client)
    points, weights = ragged(rng, np.float64)
    x, a = torch.from_numpy(points).requires_grad_(), torch.from_numpy(weights).requires_grad_()
    y = torch.from_numpy(rng.standard_normal((5, 2))).requires_grad_()
    loss = criterion(source=kantor.Measure(x, a, torch.tensor(SIZES)), target=y)
    assert criterion.report is not None
    assert loss.shape == ()
    assert loss.item() == sum(criterion.report.terms["sinkhorn"].values)
    got = torch.autograd.grad(loss, (x, a, y))
    assert [g.shape for g in got] == [x.shape, a.shape, y.shape]
    want = [torch.zeros_like(t) for t in (x, a, y)]
    for b, size in enumerate(SIZES):
        alone = criterion(source=kantor.Measure(x[b, :size], a[b, :size]), target=y)
        for total, part in zip(want, torch.autograd.grad(alone, (x, a, y)), strict=True):
            total += part
    for one, other in zip(got, want, strict=True):
        assert torch.equal(one, other)


def test_torch_has_the_format_of_its_tensors_not_of_the_sizes(client: kantor.Client) -> None:
    criterion = kantor.torch.Loss(kantor.Sinkhorn(blur=0.5), client)
    x = torch.zeros(2, 3, 1).requires_grad_()
    loss = criterion(source=kantor.Measure(x, sizes=torch.tensor([1, 3])), target=torch.ones(2, 1, 1))
    assert loss.dtype == torch.float32
    loss.backward()
    assert x.grad is not None
    # Diracs at distance 1: -1 in all, shared by the points that count.
    torch.testing.assert_close(x.grad.sum(1).squeeze(1), torch.tensor([-1.0, -1.0]), rtol=0, atol=1e-6)
    assert not x.grad[0, 1:].any()
