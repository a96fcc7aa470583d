"""kantor.torch.SamplesLoss in scripts that were written for GeomLoss's: call forms, shapes, refusals, one warning."""

from __future__ import annotations

import copy
import inspect
import pickle
import warnings
from typing import Any

import geomloss
import numpy as np
import pytest
import torch

import kantor
import kantor.torch


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(5)


def clouds(n: int = 12, m: int = 9, d: int = 2, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, ...]:
    """Points and weights: a [n], x [n,d], b [m], y [m,d]."""
    a, b = torch.rand(n, dtype=dtype) + 0.2, torch.rand(m, dtype=dtype) + 0.2
    return a / a.sum(), torch.rand(n, d, dtype=dtype), b / b.sum(), torch.rand(m, d, dtype=dtype) + 0.3


def test_the_signature_is_geomlosss() -> None:
    theirs = list(inspect.signature(geomloss.SamplesLoss).parameters.values())
    ours = list(inspect.signature(kantor.torch.SamplesLoss).parameters.values())
    assert [(p.name, p.default, p.kind) for p in ours[: len(theirs)]] == [(p.name, p.default, p.kind) for p in theirs]
    assert {p.kind for p in ours[len(theirs) :]} == {inspect.Parameter.KEYWORD_ONLY}
    made = kantor.torch.SamplesLoss()
    assert {name: getattr(made, name) for name in vars(geomloss.SamplesLoss()) if not name.startswith("_")}.keys() >= {
        p.name for p in theirs
    }


@pytest.mark.parametrize("potentials", [False, True])
@pytest.mark.parametrize("loss", ["sinkhorn", "gaussian", "energy"])
def test_call_forms_and_shapes(client: kantor.Client, loss: str, potentials: bool) -> None:
    a, x, b, y = clouds()
    two = [torch.stack([t, t.flip(0)]) for t in (a, x, b, y)]
    one = [t[None] for t in (a, x, b, y)]
    forms = [
        (x, y),
        (a, x, b, y),
        (a[:, None], x, b[:, None], y),
        (None, a, x, None, b, y),
        tuple(two),
        (two[1], two[3]),
        (two[0][..., None], two[1], two[2][..., None], two[3]),
        tuple(one),
    ]
    mine = kantor.torch.SamplesLoss(loss, blur=0.5, potentials=potentials, client=client)
    theirs = geomloss.SamplesLoss(loss, blur=0.5, potentials=potentials, backend="tensorized")
    for form in forms:
        got, want = mine(*form), theirs(*form)
        # 1e-4 is what GeomLoss has for the distance 0, times half of Σ a², or a potential's own weight.
        torch.testing.assert_close(got, want, rtol=0, atol=1e-4 if loss == "energy" else 1e-13)


def test_labels_and_the_multiscale_backend_change_no_number(client: kantor.Client) -> None:
    a, x, b, y = clouds()
    labels, others = torch.arange(12), torch.arange(9)[:, None]
    loss = kantor.torch.SamplesLoss(blur=0.5, client=client)
    assert loss(labels, a, x, others, b, y) == loss(a, x, b, y)
    loss.potentials = True
    f, g = loss(labels, a, x, others, b, y)
    assert (f.shape, g.shape) == (a.shape, b.shape)
    loss.backend = "multiscale"
    loss.verbose, loss.truncate, loss.cluster_scale = True, 1.0, 0.1
    assert torch.equal(loss(a, x, b, y)[0], f)
    # GeomLoss's multiscale algorithm has no axis for a single problem, whether or not the clouds have one.
    assert torch.equal(loss(a[None], x[None], b[None], y[None])[0], f)
    several = [torch.stack([t, t]) for t in (a, x, b, y)]
    assert torch.equal(loss(*several)[0], torch.stack([f, f]))


@pytest.mark.parametrize(
    ("n", "d", "arguments", "shape"),
    [
        (10_001, 3, {}, (10_001,)),
        (10_000, 3, {}, (1, 10_000)),
        (10_001, 4, {}, (1, 10_001)),
        (10_001, 3, {"p": 1}, (1, 10_001)),
        (10_001, 3, {"backend": "online"}, (1, 10_001)),
    ],
)
def test_potentials_of_large_clouds_have_the_shape_of_the_algorithm_that_geomloss_takes(
    client: kantor.Client, monkeypatch: pytest.MonkeyPatch, n: int, d: int, arguments: dict[str, Any], shape: Any
) -> None:
    """Above 10,000² pairs "auto" is "multiscale" in low dimensions. The numbers are not computed here."""
    loss = kantor.torch.SamplesLoss(**arguments, potentials=True, client=client)
    zeros = {"source.weights": np.zeros(n), "target.weights": np.zeros(10_000)}
    monkeypatch.setattr(loss, "_solve", lambda *_: (0.0, zeros))
    assert loss(torch.zeros(n, d), torch.zeros(10_000, d))[0].shape == shape


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"loss": "hausdorff"}, r"^loss: is 'hausdorff', want one of: sinkhorn, gaussian, laplacian, energy"),
        ({"cost": lambda x, y: x @ y.mT}, "^cost: is given, want None"),
        ({"cost": "Norm2(X-Y)"}, "^cost: is given, want None"),
        ({"kernel": lambda x, y: x @ y.mT}, "^kernel: is given, want None"),
        ({"p": 3}, "^p: is 3, want one of: 1, 2"),
        ({"backend": "cuda"}, "^backend: is 'cuda', want one of: auto"),
        ({"loss": "energy", "tolerance": 1e-3}, "^tolerance: is given with the loss 'energy'"),
    ],
)
def test_what_it_cannot_do_is_refused_by_name(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(kantor.InvalidArgumentError, match=message):
        kantor.torch.SamplesLoss(**arguments)
    loss = kantor.torch.SamplesLoss()
    for name, value in arguments.items():
        setattr(loss, name, value)
    with pytest.raises(kantor.InvalidArgumentError, match=message):
        loss(torch.rand(3, 2), torch.rand(3, 2))


def test_bad_inputs_are_refused_by_name(client: kantor.Client) -> None:
    a, x, b, y = clouds()
    loss = kantor.torch.SamplesLoss(client=client)
    labels = torch.arange(12)
    refusals: list[tuple[tuple[Any, ...], str]] = [
        ((x,), "^got 1 arguments, want"),
        ((x.numpy(), y), "^x: is a ndarray"),
        ((x, y[0]), r"^y: is a tensor \[2\]"),
        ((x, y[:, :1]), r"^y: has the shape \(9, 1\) beside x of \(12, 2\)"),
        ((x[None], torch.stack([y, y])), r"^y: has the shape \(2, 9, 2\)"),
        ((a[1:], x, b, y), r"^a: is a tensor \[11\], want a tensor \[12\]"),
        ((a, x, None, y), "^b: is a NoneType"),
        ((labels[1:], a, x, None, b, y), r"^l_x: is a tensor \[11\]"),
        ((labels, a[None], x[None], None, b[None], y[None]), "^l_x: is given with a batch"),
        ((2 * a, x, b, y), r"^terms\[0\]\.target: .* mass"),
    ]
    for form, message in refusals:
        with pytest.raises(kantor.InvalidArgumentError, match=message):
            loss(*form)
    loss.backend = "tensorized"
    with pytest.raises(kantor.InvalidArgumentError, match=r"^l_x: is given with the backend 'tensorized'"):
        loss(labels, a, x, None, b, y)
    loss.diameter = -1.0
    with pytest.raises(kantor.InvalidArgumentError, match=r"diameter: is -1, want a number between"):
        loss(x, y)


def test_a_large_marginal_error_is_warned_of_once(client: kantor.Client) -> None:
    x, y = torch.rand(50, 3), torch.rand(50, 3) + 0.2
    seen = False
    for blur in (0.05, 0.05, 0.02):
        # A scaling that no other test has: what was warned of before is not again.
        loss = kantor.torch.SamplesLoss(blur=blur, scaling=0.45, client=client)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            loss(x, y)
            loss(x, y)
        if not seen:
            assert [(w.category, w.filename) for w in caught] == [(kantor.torch.AccuracyWarning, __file__)]
            assert "tolerance=3e-4" in str(caught[0].message)
        else:
            assert caught == []
        seen = True
        assert loss.report is not None
        solve = loss.report.terms["sinkhorn"].solve
        assert solve is not None
        assert solve.marginal_error > 0.1
    # Another p, scaling or debias is another case, each warned of once.
    others: list[dict[str, Any]] = [{"p": 1}, {"scaling": 0.44}, {"debias": False}]
    for other in others:
        case = kantor.torch.SamplesLoss(**{"blur": 0.02, "scaling": 0.45, **other}, client=client)
        with pytest.warns(kantor.torch.AccuracyWarning):
            case(x, y)
        case(x, y)
    # filterwarnings=error makes this one fail if it warned.
    kantor.torch.SamplesLoss(blur=1.5, scaling=0.46, client=client)(x, y)
    kantor.torch.SamplesLoss(blur=0.1, scaling=0.46, tolerance=1e-2, client=client)(x, y)


def test_tolerance_selects_the_accurate_solve(client: kantor.Client) -> None:
    _, x, _, y = clouds()
    x.requires_grad_()
    accurate = kantor.torch.SamplesLoss(blur=0.3, tolerance=1e-9, client=client)
    value = accurate(x, y)
    (gradient,) = torch.autograd.grad(value, x)
    assert accurate.report is not None
    term = accurate.report.terms["sinkhorn"]
    assert term.converged
    assert term.interval is not None
    assert value.item() in term.interval
    # GeomLoss comes to it as scaling goes to 1: the value by (1 - scaling)², the gradient by 1 - scaling, a few times.
    fine = geomloss.SamplesLoss(blur=0.3, scaling=0.99, backend="tensorized")(x, y)
    torch.testing.assert_close(value, fine, rtol=1e-3, atol=0)
    (theirs,) = torch.autograd.grad(fine, x)
    assert (gradient - theirs).norm() < 0.05 * theirs.norm()


def test_reach_has_the_right_gradient_and_a_note(client: kantor.Client) -> None:
    a, x, b, y = clouds()
    loss = kantor.torch.SamplesLoss(blur=0.4, reach=0.5, tolerance=None, scaling=0.99, client=client)
    loss(a, x.requires_grad_(), 2 * b, y)
    assert loss.report is not None
    assert "GRADIENT_DIFFERS" in [w.code for w in loss.report.terms["sinkhorn"].warnings]
    accurate = kantor.torch.SamplesLoss(blur=0.4, reach=0.5, tolerance=1e-9, client=client)
    got, want = (torch.autograd.grad(criterion(a, x, b, y), x)[0] for criterion in (loss, accurate))
    # The schedule's own lag of 1 - scaling; GeomLoss's factor would be (.25+.08)/(.25+.16) = .8.
    assert (got - want).norm() < 0.05 * want.norm()


def test_the_server_is_asked_only_for_what_needs_a_gradient(client: kantor.Client) -> None:
    a, x, b, y = clouds()
    loss = kantor.torch.SamplesLoss(blur=0.5, client=client)
    value = loss(a, x, b, y.requires_grad_())
    assert loss.report is not None
    assert set(loss.report.gradients) == {"target.points"}
    value.backward()
    assert y.grad is not None
    assert x.grad is None
    with torch.no_grad():
        assert not loss(a, x, b, y).requires_grad
        assert torch.is_grad_enabled() is False  # GeomLoss leaves it on
    assert loss.report.gradients == {}
    assert not loss(a, x, b, y.detach()).requires_grad


def test_a_second_derivative_is_refused(client: kantor.Client) -> None:
    a, x, b, y = clouds()
    x.requires_grad_()
    a.requires_grad_()
    for loss in (kantor.torch.SamplesLoss(blur=0.5, client=client), kantor.torch.SamplesLoss("energy", client=client)):
        in_a, in_x = torch.autograd.grad(loss(a, x, b, y), (a, x), create_graph=True)
        for gradient in (in_a, in_x):
            with pytest.raises(RuntimeError, match="can be differentiated once"):
                torch.autograd.grad(gradient.square().sum(), (a, x), retain_graph=True, allow_unused=True)


def test_half_formats(client: kantor.Client) -> None:
    _, x, _, y = clouds()
    x = x.to(torch.bfloat16).requires_grad_()
    value = kantor.torch.SamplesLoss(blur=0.5, client=client)(x, y.to(torch.bfloat16))
    assert value.dtype == torch.float32
    value.backward()
    assert x.grad is not None
    assert x.grad.dtype == torch.bfloat16


def test_it_is_a_module_that_can_be_copied(client: kantor.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KANTOR_ADDRESS", client.address)
    _, x, _, y = clouds()
    loss = kantor.torch.SamplesLoss(blur=0.5)
    assert list(loss.parameters()) == []
    assert "blur=0.5" in repr(torch.nn.Sequential(loss))
    value = loss(x, y)
    assert copy.deepcopy(loss)(x, y) == value
    assert pickle.loads(pickle.dumps(loss))(x, y) == value
    loss.blur = 1.0
    assert loss(x, y) == kantor.torch.SamplesLoss(blur=1.0)(x, y)
