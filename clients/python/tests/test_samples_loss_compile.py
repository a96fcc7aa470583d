"""kantor.torch.SamplesLoss under torch.compile, whole graphs only, with backends that need no compiler of C++."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

import kantor
import kantor.torch

pytestmark = pytest.mark.filterwarnings("ignore::kantor.torch.AccuracyWarning")

BACKENDS = ["eager", "aot_eager"]
Tensors = tuple[torch.Tensor, ...]


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    torch.manual_seed(3)
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def clouds(
    n: int = 8,
    m: int = 6,
    batch: tuple[int, ...] = (),
    points: torch.dtype = torch.float32,
) -> Tensors:
    """Weights and points: a [N], x [N, 2], b [M], y [M, 2], or as many as a batch has problems."""
    out: list[torch.Tensor] = []
    for size in (n, m):
        out += [torch.rand(*batch, size).softmax(-1), torch.rand(*batch, size, 2).to(points)]
    return tuple(out)


def value_and_gradients(f: Any, tensors: Tensors) -> list[torch.Tensor]:
    leaves = [t.clone().requires_grad_() for t in tensors]
    value = f(*leaves)
    upstream = torch.linspace(0.5, 2, value.numel()).to(value.dtype).view_as(value)
    return [value.detach(), *torch.autograd.grad(value, leaves, upstream)]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "arguments",
    [{}, {"p": 1, "blur": 0.3, "debias": False}, {"tolerance": 1e-4}, {"reach": 0.5}, {"loss": "energy"}],
    ids=str,
)
def test_a_compiled_loss_is_the_same_bit_for_bit(
    client: kantor.Client, backend: str, arguments: dict[str, Any]
) -> None:
    loss = kantor.torch.SamplesLoss(**{"blur": 0.5, **arguments}, client=client)

    def f(a: torch.Tensor, x: torch.Tensor, b: torch.Tensor, y: torch.Tensor) -> Any:
        return 2 * loss(a, 3 * x, b, y)

    compiled = torch.compile(f, fullgraph=True, backend=backend)
    cases = [clouds(), clouds(9, 5), clouds(points=torch.bfloat16), clouds(7, 7, (3,))]
    for case in cases[: 1 if arguments else None]:
        want, got = value_and_gradients(f, case), value_and_gradients(compiled, case)
        assert [t.dtype for t in got] == [t.dtype for t in want]
        assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))


def test_call_forms_and_potentials(client: kantor.Client) -> None:
    a, x, b, y = clouds()
    labels = torch.arange(8)
    loss = kantor.torch.SamplesLoss(blur=0.5, client=client)

    def f(*args: Any) -> Any:
        return loss(*args)

    compiled: Any = torch.compile(f, fullgraph=True, backend="eager")
    for potentials in (False, True):
        loss.potentials = potentials
        for form in ((x, y), (labels, a[:, None], x, None, b, y), (x[None], y[None])):
            got, want = compiled(*form), f(*form)
            if potentials:
                assert all(torch.equal(g, w) and not g.requires_grad for g, w in zip(got, want, strict=True))
            else:
                assert torch.equal(got, want)
    assert loss.report is not None
    assert "potentials" in loss.report.terms["sinkhorn"].extras


def test_a_changed_attribute_is_noticed(client: kantor.Client) -> None:
    """It compiles again, also where the change is made inside of what is compiled."""
    _, x, _, y = clouds()
    loss = kantor.torch.SamplesLoss(blur=0.5, client=client)

    def f(x: torch.Tensor, y: torch.Tensor) -> Any:
        wide = loss(x, y)
        loss.blur = 0.25
        narrow = loss(x, y)
        loss.blur = 0.5
        return torch.stack([wide, narrow])

    compiled: Any = torch.compile(f, fullgraph=True, backend="eager")
    assert torch.equal(compiled(x, y), f(x, y))
    assert loss.blur == 0.5
    loss.reach = 0.4
    assert torch.equal(compiled(x, y), f(x, y))


def test_the_operation_is_what_torch_asks_of_one(client: kantor.Client) -> None:
    a, x, b, y = (t.requires_grad_() for t in clouds())
    loss = kantor.torch.SamplesLoss(client=client)
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    for arguments in (
        (
            [x, a, y, b],
            [True, False, True, True],
            loss._number,
            "sinkhorn",
            2.0,
            0.5,
            None,
            None,
            0.5,
            True,
            False,
            None,
        ),
        ([x, a, y, b], [False] * 4, loss._number, "energy", 2.0, 0.5, None, None, 0.5, True, True, None),
    ):
        result = torch.library.opcheck(torch.ops.kantor.samples_loss, arguments, test_utils=checks)
        assert set(result.values()) == {"SUCCESS"}


def test_a_second_derivative_is_refused(client: kantor.Client) -> None:
    _, x, _, y = clouds()
    x.requires_grad_()
    compiled: Any = torch.compile(kantor.torch.SamplesLoss(blur=0.5, client=client), fullgraph=True, backend="eager")
    (gradient,) = torch.autograd.grad(compiled(x, y), x, create_graph=True)
    with pytest.raises(RuntimeError, match="can be differentiated once"):
        torch.autograd.grad(gradient.square().sum(), x)


def test_what_is_wrong_is_refused_by_name(client: kantor.Client) -> None:
    a, x, b, y = clouds()
    compiled: Any = torch.compile(kantor.torch.SamplesLoss(client=client), fullgraph=True, backend="eager")
    with pytest.raises(kantor.InvalidArgumentError, match=r"^terms\[0\]\.target: .* mass"):
        compiled(2 * a, x, b, y)
    # What is seen before a call torch hides where it may not go on without a graph.
    compiled = torch.compile(kantor.torch.SamplesLoss(client=client), backend="eager")
    with pytest.raises(kantor.InvalidArgumentError, match=r"^y: has the shape \(6, 1\) beside x"):
        compiled(x, y[:, :1])
