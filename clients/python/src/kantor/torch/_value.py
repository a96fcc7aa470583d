"""An evaluation's value as a function of its tensors, for autograd."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from kantor._errors import refusal_of_a_second_derivative
from kantor.torch._device import beside
from kantor.torch._tensors import widest


def value_of(
    value: float | list[float], gradients: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]
) -> torch.Tensor:
    """Returns a value, or those of a batch, to be differentiated in those tensors that it has gradients in.

    It is on the first tensor's device, and float64 if one of them is.
    """
    places = [(i, name) for i, name in enumerate(tensors) if name in gradients]
    given = (*tensors.values(),)
    own = [beside(given[i], torch.from_numpy(gradients[name])) for i, name in places]
    out = tensor_of(value, widest(given))
    # In one argument: autograd looks at each, and each is a microsecond of a step.
    made = (beside(given[0], out) if given else out, own, [i for i, _ in places])
    differentiable: torch.Tensor = _Value.apply(made, *given)
    return differentiable


def tensor_of(value: float | list[float], dtype: torch.dtype) -> torch.Tensor:
    """Returns a number, or numbers, as a tensor of float32 or float64 on the host.

    By way of numpy, since torch.tensor takes ten microseconds longer after a wait, when its code is in no cache.
    """
    with np.errstate(over="ignore"):  # what is beyond float32 is infinite there, as torch has it
        return torch.from_numpy(np.array(value, np.float64 if dtype == torch.float64 else np.float32))


class _Value(torch.autograd.Function):
    """A value that knows its gradients: they came with it, so that backward only scales."""

    @staticmethod
    def forward(
        ctx: Any, made: tuple[torch.Tensor, list[torch.Tensor], list[int]], *tensors: torch.Tensor
    ) -> torch.Tensor:
        value, gradients, ctx.places = made
        ctx.save_for_backward(*gradients, *[tensors[i] for i in ctx.places])
        return value

    @staticmethod
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        saved = ctx.saved_tensors  # read once, or activation checkpointing objects
        out: list[torch.Tensor | None] = [None] * len(ctx.needs_input_grad)
        again = torch.is_grad_enabled()  # what this computes may be differentiated: create_graph=True
        count = len(ctx.places)
        for i, gradient, tensor in zip(ctx.places, saved[:count], saved[count:], strict=True):
            out[1 + i] = scaled(_Once.apply(gradient, tensor) if again else gradient, upstream, tensor.dtype)
        return tuple(out)


def scaled(gradient: torch.Tensor, upstream: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Returns upstream times gradient: multiplied in the gradient's format, which is no half, and then cast once.

    An upstream [B] is of values of a batch, each times the gradient of its problem.
    """
    # What changes nothing is not called: each call is a microsecond of a step.
    if upstream.dtype != gradient.dtype or upstream.device != gradient.device:
        upstream = upstream.to(gradient.device, gradient.dtype)
    if upstream.dim():
        upstream = upstream.reshape(upstream.shape + (1,) * (gradient.dim() - upstream.dim()))
    out = gradient * upstream
    return out if out.dtype == dtype else out.to(dtype)


class _Once(torch.autograd.Function):
    """A gradient that depends on its tensor in a way nobody knows.

    Without this, or with torch's once_differentiable, a gradient penalty would take the gradient for a constant and be
    wrong without an error.
    """

    @staticmethod
    def forward(ctx: Any, gradient: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        raise refusal_of_a_second_derivative()
