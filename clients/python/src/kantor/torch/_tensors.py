"""Between tensors and arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any

import torch

from kantor._errors import InvalidArgumentError
from kantor._inputs import DIFFERENTIABLE, WITH_GRADIENTS, ConeCriticState, Input, Prior
from kantor.torch._device import to_host

# What the wire has for a number format. float32 holds every number of the half formats.
WIRE = {
    torch.float16: torch.float32,
    torch.bfloat16: torch.float32,
    torch.float32: torch.float32,
    torch.float64: torch.float64,
}


def widest(tensors: Iterable[torch.Tensor]) -> torch.dtype:
    """Returns the number format of a value: float64 if a tensor is, or if there is none; else float32."""
    formats = [tensor.dtype for tensor in tensors]
    return torch.float32 if formats and torch.float64 not in formats else torch.float64


def differentiable(inputs: Mapping[str, Input]) -> dict[str, torch.Tensor]:
    """Returns the tensors among the inputs by `input.field` that can have a gradient."""
    out = {}
    for name, value in inputs.items():
        if isinstance(value, torch.Tensor):
            out[f"{name}.points"] = value
        elif isinstance(value, WITH_GRADIENTS):
            for field in DIFFERENTIABLE:
                tensor = getattr(value, field, None)
                if isinstance(tensor, torch.Tensor):
                    out[f"{name}.{field}"] = tensor
    return out


def with_arrays(value: Input, name: str) -> Input:
    """Returns an input with arrays for tensors.

    Raises:
        InvalidArgumentError: a tensor cannot be sent, and which.
    """
    if isinstance(value, torch.Tensor):
        return _array(value, name, "points")
    if not isinstance(value, (*WITH_GRADIENTS, Prior, ConeCriticState)):
        return value
    tensors = {field.name: getattr(value, field.name) for field in fields(value)}
    tensors = {field: tensor for field, tensor in tensors.items() if isinstance(tensor, torch.Tensor)}
    for field, tensor in tensors.items():
        if isinstance(value, Prior | ConeCriticState) and tensor.requires_grad:
            reason = "has no gradient: want a tensor without, as after .detach()"
            raise InvalidArgumentError(f'inputs["{name}"].{field}', reason)
    return replace(value, **{field: _array(tensor, name, field) for field, tensor in tensors.items()})


def _array(value: torch.Tensor, name: str, field: str) -> Any:
    wire = value.dtype if field == "sizes" else WIRE.get(value.dtype)
    if wire is None or torch._C._functorch.is_functorch_wrapped_tensor(value):
        raise _refusal(value, f'inputs["{name}"].{field}')
    host = value if value.is_cpu else to_host(value.detach())  # halves travel from the device as they are
    return (host if host.dtype == wire else host.detach().to(wire)).numpy(force=True)


def _refusal(value: torch.Tensor, path: str) -> InvalidArgumentError:
    """Returns why a tensor cannot be sent."""
    if torch._C._functorch.is_functorch_wrapped_tensor(value):
        reason = (
            "is inside torch.func (vmap, grad, jvp), which kantor does not support: "
            "want plain tensors, several problems as [B, N, D], and .backward() or torch.autograd.grad"
        )
        return InvalidArgumentError(path, reason)
    reason = f"is {value.dtype}, want torch.float32, torch.float64, or a half format: use .float() before"
    return InvalidArgumentError(path, reason)
