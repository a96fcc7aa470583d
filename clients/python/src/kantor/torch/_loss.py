"""The criterion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from kantor import _client, _codec
from kantor._inputs import Input
from kantor._objective import Terms, terms_of
from kantor._results import Evaluation
from kantor._stream import Stream
from kantor.torch._tensors import differentiable, with_arrays
from kantor.torch._value import Value


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

        It is float64 if one of the tensors is, else float32, and on the first one's device.

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
        tensors = differentiable(arguments)
        learning = torch.is_grad_enabled()
        gradients = tuple(name for name, tensor in tensors.items() if learning and tensor.requires_grad)
        numbers = {name: with_arrays(value, name) for name, value in arguments.items()}
        stream = self._stream(gradients)
        self.report = stream.evaluate(numbers, overrides=overrides, seed=seed, timeout=timeout)
        value: torch.Tensor = Value.apply(self.report.value, self.report.gradients, tuple(tensors), *tensors.values())
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
