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
        own = (
            torch.from_numpy(gradients[name]).to(tensor.device) if name in gradients else None
            for name, tensor in zip(names, tensors, strict=True)
        )
        ctx.save_for_backward(*own, *tensors)
        return torch.tensor(value, dtype=widest(tensors), device=tensors[0].device if tensors else None)

    @staticmethod
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        saved = ctx.saved_tensors  # read once, or activation checkpointing objects
        half = len(saved) // 2
        gradients = (
            None if gradient is None else scaled(_Once.apply(gradient, tensor), upstream, tensor.dtype)
            for gradient, tensor in zip(saved[:half], saved[half:], strict=True)
        )
        return None, None, None, *gradients


def scaled(gradient: torch.Tensor, upstream: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Returns upstream times gradient: multiplied in the gradient's format, which is no half, and then cast once.

    An upstream [B] is of values of a batch, each times the gradient of its problem.
    """
    factors = upstream.to(gradient.device, gradient.dtype).reshape(
        upstream.shape + (1,) * (gradient.dim() - upstream.dim())
    )
    return (gradient * factors).to(dtype)


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
