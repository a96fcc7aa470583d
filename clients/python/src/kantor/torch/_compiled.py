"""The criterion as one operation of torch.compile's graphs, which cannot look into it.

An operation takes tensors, numbers and strings. So a call's inputs become a list of tensors and a layout, a string that
says where each of them belongs, and the criterion is named by a number.
"""

from __future__ import annotations

import ast
import functools
import itertools
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from kantor import _inputs
from kantor._errors import InvalidArgumentError, refusal_of_a_second_derivative
from kantor._inputs import DIFFERENTIABLE, WITH_GRADIENTS, Input
from kantor.torch._device import beside
from kantor.torch._tensors import WIRE, widest, with_arrays
from kantor.torch._value import scaled, tensor_of

if TYPE_CHECKING:
    from kantor.torch._loss import Loss

_KINDS: dict[str, Any] = {
    kind.__name__: kind
    for kind in vars(_inputs).values()
    if isinstance(kind, type) and kind.__module__ == _inputs.__name__
}
_FIELDS = {name: tuple(field.name for field in fields(kind)) for name, kind in _KINDS.items()}
_LEARNT = tuple(kind.__name__ for kind in WITH_GRADIENTS)

_numbers = itertools.count(1)
_living: weakref.WeakValueDictionary[int, Loss] = weakref.WeakValueDictionary()


def enrol(criterion: Loss) -> int:
    """Returns the number that names a criterion in a graph, as long as it lives."""
    number = next(_numbers)
    _living[number] = criterion
    return number


class _Part(NamedTuple):
    """One attribute of one input."""

    input: str
    kind: str
    field: str
    value: Any  # None: the next tensor

    @property
    def path(self) -> str:
        return f"{self.input}.{self.field}"


def call(
    number: int,
    inputs: Mapping[str, Input],
    *,
    counts: bool,
    seed: int | None,
    overrides: Mapping[str, float] | None,
    timeout: float | None,
) -> torch.Tensor:
    """Puts a call of the criterion of that number into the graph. This is what torch.compile traces."""
    tensors: list[torch.Tensor] = []
    wanted: list[bool] = []
    rows: list[str] = []
    for name, given in inputs.items():
        value = given if type(given).__name__ in _FIELDS else _inputs.Measure(given)
        kind = type(value).__name__
        rows.append(f"{name}\t{kind}\t\t")
        for field in _FIELDS[kind]:
            part = getattr(value, field)
            if isinstance(part, int | float):
                rows.append(f"{name}\t{kind}\t{field}\t{part}")
            elif part is not None:
                tensor = part if isinstance(part, torch.Tensor) else torch.as_tensor(part)
                learns = tensor.requires_grad and torch.is_grad_enabled()
                if learns and not (kind in _LEARNT and field in DIFFERENTIABLE):
                    raise InvalidArgumentError(f"{name}.{field}", "has no gradient: want a tensor without")
                rows.append(f"{name}\t{kind}\t{field}\t")
                tensors.append(tensor)
                wanted.append(learns)
    overrides = overrides or {}
    drawn = 0 if seed is None else seed
    out: list[torch.Tensor] = torch.ops.kantor.evaluate(
        tensors,
        "\n".join(rows),
        number,
        wanted,
        counts,
        seed is not None,
        # The wire's seeds have 64 bits without a sign, a graph's integers have one.
        drawn if drawn < 1 << 63 else drawn - (1 << 64),
        "\n".join(overrides),
        [float(value) for value in overrides.values()],
        timeout,
    )
    return out[0]


@functools.lru_cache(maxsize=256)
def _parts(layout: str) -> tuple[_Part, ...]:
    rows = (row.split("\t") for row in layout.split("\n") if row)
    return tuple(
        _Part(name, kind, field, ast.literal_eval(value) if value else None) for name, kind, field, value in rows
    )


def _learnt(tensors: Sequence[torch.Tensor], layout: str) -> list[torch.Tensor]:
    """Returns the tensors that can have a gradient, which decide the value's number format."""
    parts = [part for part in _parts(layout) if part.field and part.value is None]
    return [
        tensor
        for part, tensor in zip(parts, tensors, strict=True)
        if part.kind in _LEARNT and part.field in DIFFERENTIABLE
    ]


@torch.library.custom_op(
    "kantor::evaluate",
    mutates_args=(),
    schema=(
        "(Tensor[] tensors, str layout, int number, bool[] wanted, bool counts, bool seeded, SymInt seed, str names, "
        "float[] overrides, float? timeout) -> Tensor[]"
    ),
    # Two calls with the same arguments are two steps: neither is to be left out.
    tags=(torch.Tag.nondeterministic_seeded,),
)
def _evaluate(
    tensors: Sequence[torch.Tensor],
    layout: str,
    number: int,
    wanted: Sequence[bool],
    counts: bool,
    seeded: bool,
    seed: int,
    names: str,
    overrides: Sequence[float],
    timeout: float | None,
) -> list[torch.Tensor]:
    """Returns the value and the gradients that are wanted, in the formats of the wire."""
    given: dict[str, tuple[str, dict[str, Any]]] = {}
    left, paths = iter(tensors), []
    for part in _parts(layout):
        _, attributes = given.setdefault(part.input, (part.kind, {}))
        if part.field and part.value is None:
            attributes[part.field] = next(left)
            paths.append(part.path)
        elif part.field:
            attributes[part.field] = part.value
    inputs = {name: with_arrays(_KINDS[kind](**attributes), name) for name, (kind, attributes) in given.items()}
    asked = [path for path, want in zip(paths, wanted, strict=True) if want]
    value, gradients = _living[number]._evaluate(
        inputs,
        tuple(asked),
        counts=counts,
        seed=seed % (1 << 64) if seeded else None,
        overrides=dict(zip(names.split("\n"), overrides, strict=True)) if names else None,
        timeout=timeout,
    )
    wants = (tensor for tensor, want in zip(tensors, wanted, strict=True) if want)
    own = tensor_of(value, widest(_learnt(tensors, layout)))
    return [
        beside(tensors[0], own) if tensors else own,
        *(beside(t, torch.from_numpy(gradients[path])) for path, t in zip(asked, wants, strict=True)),
    ]


def _device(tensors: Sequence[torch.Tensor]) -> torch.device | None:
    return tensors[0].device if tensors else None


@_evaluate.register_fake
def _(tensors: Sequence[torch.Tensor], layout: str, number: int, wanted: Sequence[bool], *_: Any) -> list[torch.Tensor]:
    """Returns tensors of the shapes and formats that _evaluate returns."""
    return [
        torch.empty((), dtype=widest(_learnt(tensors, layout)), device=_device(tensors)),
        *(
            torch.empty(tensor.shape, dtype=WIRE[tensor.dtype], device=tensor.device)
            for tensor, want in zip(tensors, wanted, strict=True)
            if want
        ),
    ]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: list[torch.Tensor]) -> None:
    tensors, _, _, wanted, *others = inputs
    ctx.set_materialize_grads(False)
    ctx.formats = [tensor.dtype if want else None for tensor, want in zip(tensors, wanted, strict=True)]
    # For an empty list torch wants an empty list, for all else without a gradient None.
    ctx.others = [[] if other == [] else None for other in (None, None, wanted, *others)]
    ctx.save_for_backward(*output[1:])


def _scale(ctx: Any, upstream: Sequence[torch.Tensor | None]) -> tuple[Any, ...]:
    value, *second = upstream
    if any(gradient is not None for gradient in second):
        raise refusal_of_a_second_derivative()
    saved = iter(ctx.saved_tensors)
    gradients = [None if dtype is None or value is None else scaled(next(saved), value, dtype) for dtype in ctx.formats]
    return gradients, *ctx.others


_evaluate.register_autograd(_scale, setup_context=_keep)
