"""kantor's losses as PyTorch criteria.

    import kantor.torch

    criterion = kantor.torch.Loss(kantor.Sinkhorn("codes", "prior", blur=0.5) + 4 * kantor.GaussianKl())
    loss = criterion(codes=z, prior=kantor.StandardNormal(), posterior=kantor.Gaussian(mean, log_variance), seed=step)
    loss.backward()

Tensors may be float32 or float64, on any device and with any strides: they are copied to the server and the gradients
back. The server computes the gradients of the inputs that need them, in the same call as the value. Tensors [B, N, D]
are B problems in one call: the value is the sum over them, and `report` has each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any

import torch

from kantor import _client, _codec
from kantor._errors import InvalidArgumentError
from kantor._inputs import ConeCriticState, Gaussian, Input, Measure, Prior
from kantor._objective import Terms, terms_of
from kantor._results import Evaluation
from kantor._stream import Stream

__all__ = ["Loss"]


class Loss(torch.nn.Module):
    """An objective as a criterion: a module without parameters whose value can be differentiated once.

    Attributes:
        terms: what it computes.
        report: the Evaluation behind the last value, with each term's value, interval and convergence; None before the
            first.

    Args:
        terms: what to compute, as in kantor.Client.evaluate.
        client: which computes it; None: one that all such losses of the process share, made with the first value.
        extras: what else to report, as `term.extra`.
        gradients_per_term: reports with each term its own gradients as well, of the unweighted value, as arrays: to
            weigh terms by the norms of `report.terms["kl"].gradients["posterior.mean"]` and its like.
    """

    report: Evaluation | None

    def __init__(
        self,
        terms: Terms,
        client: _client.Client | None = None,
        *,
        extras: Iterable[str] = (),
        gradients_per_term: bool = False,
    ) -> None:
        super().__init__()
        self.terms = terms_of(terms)
        self.report = None
        self._client = client
        self._extras = _codec.strings(extras)
        self._gradients_per_term = gradients_per_term
        # By the gradients that a stream computes: training and validation differ in them.
        self._streams: dict[tuple[str, ...], Stream] = {}

    def forward(
        self,
        inputs: Mapping[str, Input] | None = None,
        /,
        *,
        seed: int = 0,
        overrides: Mapping[str, float] | None = None,
        timeout: float | None = None,
        **named: Input,
    ) -> torch.Tensor:
        """Returns the objective's value, a scalar: of a batch the sum over its problems.

        Its number format is the widest of the tensors', its device the first's.

        Args:
            inputs: the arguments by name, as in kantor.Client.evaluate, with tensors for arrays; or as keywords.
            seed: of everything random that the server does. A training loop sends a new one with every step.
            overrides: numbers of the terms that differ for this call, by `term.field`: `{"kl.weight": 0.1}`.
            timeout: seconds; None: the client's timeout.
            **named: the arguments by name.

        Raises:
            KantorError: why there is no value.
        """
        arguments = _codec.merge(inputs, named)
        tensors = _tensors(arguments)
        learning = torch.is_grad_enabled()
        gradients = tuple(name for name, tensor in tensors.items() if learning and tensor.requires_grad)
        numbers = {name: _with_arrays(value, name) for name, value in arguments.items()}
        stream = self._stream(gradients)
        self.report = stream.evaluate(numbers, overrides=overrides, seed=seed, timeout=timeout)
        value: torch.Tensor = _Value.apply(self.report, tuple(tensors), *tensors.values())
        return value

    def close(self) -> None:
        """Ends the streams; the next value opens them again. The client stays open."""
        while self._streams:
            self._streams.popitem()[1].close()

    def extra_repr(self) -> str:
        """Shows the terms, as torch.nn.Module has it."""
        return " + ".join(map(str, self.terms))

    def _stream(self, gradients: tuple[str, ...]) -> Stream:
        if gradients not in self._streams:
            client = self._client or _client.shared()
            self._streams[gradients] = client.stream(
                self.terms, gradients=gradients, extras=self._extras, gradients_per_term=self._gradients_per_term
            )
        return self._streams[gradients]

    def __getstate__(self) -> dict[str, Any]:
        # A copy, in this process or another, opens streams of its own.
        return {**self.__dict__, "_streams": {}}


class _Value(torch.autograd.Function):
    """An evaluation's value as a function of its tensors. The gradients came with it, so that backward only scales."""

    @staticmethod
    def forward(ctx: Any, report: Evaluation, names: tuple[str, ...], *tensors: torch.Tensor) -> torch.Tensor:
        gradients = (
            torch.from_numpy(report.gradients[name]).to(tensor.device) if name in report.gradients else None
            for name, tensor in zip(names, tensors, strict=True)
        )
        ctx.save_for_backward(*gradients, *tensors)
        return torch.tensor(report.value, dtype=_widest(tensors), device=tensors[0].device if tensors else None)

    @staticmethod
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        half = len(ctx.saved_tensors) // 2
        gradients = (
            None if gradient is None else _Once.apply(gradient, tensor) * upstream.to(gradient.device, gradient.dtype)
            for gradient, tensor in zip(ctx.saved_tensors[:half], ctx.saved_tensors[half:], strict=True)
        )
        return None, None, *gradients


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
        raise RuntimeError("kantor's losses can be differentiated once, and this asks for a second derivative")


def _widest(tensors: tuple[torch.Tensor, ...]) -> torch.dtype:
    return torch.float32 if tensors and all(t.dtype == torch.float32 for t in tensors) else torch.float64


# What an input can have gradients in.
_DIFFERENTIABLE = ("points", "weights", "mean", "log_variance", "covariance")


def _tensors(inputs: Mapping[str, Input]) -> dict[str, torch.Tensor]:
    """The tensors among the inputs by `input.field` that can have a gradient."""
    measured = {name: Measure(value) if isinstance(value, torch.Tensor) else value for name, value in inputs.items()}
    return {
        f"{name}.{field}": getattr(value, field)
        for name, value in measured.items()
        if isinstance(value, Measure | Gaussian)
        for field in _DIFFERENTIABLE
        if isinstance(getattr(value, field, None), torch.Tensor)
    }


def _with_arrays(value: Input, name: str) -> Input:
    """Returns an input with arrays for tensors."""
    path = f'inputs["{name}"]'
    if isinstance(value, torch.Tensor):
        return _array(value, f"{path}.points")
    if not isinstance(value, Measure | Gaussian | Prior | ConeCriticState):
        return value
    tensors = {field.name: getattr(value, field.name) for field in fields(value)}
    tensors = {field: tensor for field, tensor in tensors.items() if isinstance(tensor, torch.Tensor)}
    for field, tensor in tensors.items():
        if isinstance(value, Prior | ConeCriticState) and tensor.requires_grad:
            raise InvalidArgumentError(f"{path}.{field}", "has no gradient: want a tensor without, as after .detach()")
    return replace(value, **{field: _array(tensor, f"{path}.{field}") for field, tensor in tensors.items()})


def _array(value: torch.Tensor, path: str) -> Any:
    if value.dtype not in (torch.float32, torch.float64) and not path.endswith(".sizes"):
        raise InvalidArgumentError(path, f"is {value.dtype}, want torch.float32 or torch.float64: use .float() before")
    return value.detach().cpu().numpy()
