"""An evaluation's value as a function of its tensors, for autograd."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from kantor._errors import refusal_of_a_second_derivative
from kantor.torch._tensors import widest


class Value(torch.autograd.Function):
    """A value that knows its gradients: they came with it, so that backward only scales. Or the values of a batch."""

    @staticmethod
    def forward(
        ctx: Any,
        value: float | list[float],
        gradients: Mapping[str, Any],
        names: tuple[str, ...],
        *tensors: torch.Tensor,
    ) -> torch.Tensor:
        own: list[torch.Tensor] = []
        ctx.places = []
        for i, name in enumerate(names):
            if name in gradients:
                ctx.places.append(i)
                own += (on_device_of(tensors[i], gradients[name]), tensors[i])
        ctx.save_for_backward(*own)
        return torch.tensor(value, dtype=widest(tensors), device=tensors[0].device if tensors else None)

    @staticmethod
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        saved = iter(ctx.saved_tensors)  # read once, or activation checkpointing objects
        out: list[torch.Tensor | None] = [None] * len(ctx.needs_input_grad)
        again = torch.is_grad_enabled()  # what this computes may be differentiated: create_graph=True
        for i, gradient, tensor in zip(ctx.places, saved, saved, strict=True):
            out[3 + i] = scaled(_Once.apply(gradient, tensor) if again else gradient, upstream, tensor.dtype)
        return tuple(out)


def on_device_of(tensor: torch.Tensor, gradient: Any) -> torch.Tensor:
    """Returns an array as a tensor where another is."""
    out = torch.from_numpy(gradient)
    return out if tensor.is_cpu else out.to(tensor.device)


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
