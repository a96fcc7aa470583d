"""SamplesLoss as one operation of torch.compile's graphs, which cannot look into it.

The operation takes the clouds and the loss's arguments, all of them: torch guards what a call reads, and compiles again
where one was changed. The loss itself is named by a number, for its client and its report.
"""

from __future__ import annotations

import copy
import itertools
import weakref
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import torch

from kantor._errors import refusal_of_a_second_derivative
from kantor.torch._clouds import Clouds
from kantor.torch._device import beside
from kantor.torch._tensors import WIRE, widest
from kantor.torch._value import scaled, tensor_of

if TYPE_CHECKING:
    from kantor.torch._samples_loss import SamplesLoss

_numbers = itertools.count(1)
_living: weakref.WeakValueDictionary[int, SamplesLoss] = weakref.WeakValueDictionary()

# SamplesLoss's attributes, as the operation takes them.
_ARGUMENTS = ("loss", "p", "blur", "reach", "diameter", "scaling", "debias", "potentials", "tolerance")


def enrol(loss: SamplesLoss) -> int:
    """Returns the number that names a loss in a graph, as long as it lives."""
    number = next(_numbers)
    _living[number] = loss
    return number


def call(loss: SamplesLoss, clouds: Clouds, wanted: Collection[str]) -> list[torch.Tensor]:
    """Puts a call of the loss into the graph: its value, or its two potentials. torch.compile traces this."""
    tensors = clouds.tensors
    out: list[torch.Tensor] = torch.ops.kantor.samples_loss(
        list(tensors.values()),
        [name in wanted for name in tensors],
        loss._number,
        *[getattr(loss, name) for name in _ARGUMENTS],
    )
    return out if loss.potentials else out[:1]


@torch.library.custom_op(
    "kantor::samples_loss",
    mutates_args=(),
    schema=(
        "(Tensor[] tensors, bool[] wanted, int number, str loss, float p, float blur, float? reach, float? diameter, "
        "float scaling, bool debias, bool potentials, float? tolerance) -> Tensor[]"
    ),
)
def _samples_loss(
    tensors: Sequence[torch.Tensor], wanted: Sequence[bool], number: int, *arguments: Any
) -> list[torch.Tensor]:
    """Returns the value and the gradients that are wanted in the wire's formats; or potentials."""
    clouds = Clouds(*tensors)
    asked = [name for name, want in zip(clouds.tensors, wanted, strict=True) if want]
    loss = copy.copy(_living[number])
    for name, argument in zip(_ARGUMENTS, arguments, strict=True):
        setattr(loss, name, argument)
    value, gradients = loss._solve(clouds, set(asked))
    _living[number].report = loss.report
    if loss.potentials:
        return clouds.potentials(gradients)
    found = (clouds.tensors[name] for name in asked)
    return [
        beside(clouds.x, tensor_of(value, widest(tensors))),
        *(
            beside(tensor, torch.from_numpy(gradients[name])).to(WIRE[tensor.dtype])
            for name, tensor in zip(asked, found, strict=True)
        ),
    ]


@_samples_loss.register_fake
def _(tensors: Sequence[torch.Tensor], wanted: Sequence[bool], number: int, *arguments: Any) -> list[torch.Tensor]:
    """Returns tensors of the shapes and formats that _samples_loss returns."""
    clouds = Clouds(*tensors)
    if arguments[_ARGUMENTS.index("potentials")]:
        return [torch.empty_like(clouds.a), torch.empty_like(clouds.b)]
    return [
        torch.empty(clouds.x.shape[:-2], dtype=widest(tensors), device=clouds.x.device),
        *(
            torch.empty(tensor.shape, dtype=WIRE[tensor.dtype], device=tensor.device)
            for tensor, want in zip(tensors, wanted, strict=True)
            if want
        ),
    ]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: list[torch.Tensor]) -> None:
    tensors, wanted, *others = inputs
    ctx.set_materialize_grads(False)
    ctx.formats = [tensor.dtype if want else None for tensor, want in zip(tensors, wanted, strict=True)]
    ctx.others = len(others)
    ctx.save_for_backward(*output[1:])


def _scale(ctx: Any, upstream: Sequence[torch.Tensor | None]) -> tuple[Any, ...]:
    value, *second = upstream
    if any(gradient is not None for gradient in second):
        raise refusal_of_a_second_derivative()
    saved = iter(ctx.saved_tensors)
    gradients = [None if dtype is None or value is None else scaled(next(saved), value, dtype) for dtype in ctx.formats]
    return gradients, None, *[None] * ctx.others


_samples_loss.register_autograd(_scale, setup_context=_keep)
