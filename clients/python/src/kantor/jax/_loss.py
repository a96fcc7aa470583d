"""The loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kantor import _client, _codec
from kantor._errors import InvalidArgumentError
from kantor._inputs import Input
from kantor._objective import Term, Terms, terms_of
from kantor._stream import Stream
from kantor._terms import ConeCritic
from kantor.jax import _call
from kantor.jax._report import Report


class Loss:
    """An objective as a function of jax arrays whose value can be differentiated once.

        loss = kantor.jax.Loss(kantor.Sinkhorn(blur=0.5) + 0.1 * kantor.GaussianKl())
        loss(source=x, target=y, posterior=kantor.Gaussian(mean, log_variance), seed=step)

    It works under jit, grad, value_and_grad, vmap, scan and checkpoint, and has no state: what changes from step to
    step are its arguments, the seed and overrides. They may be traced: another number compiles nothing again.

    Gradients are those in the arrays of every input with rows: a Measure (points, weights), a Gaussian (mean,
    log_variance, covariance), a Categorical, a Bernoulli (logits, probabilities), a VonMisesFisher (concentration; in
    mean it is 0). A Prior, a seed and overrides have none: differentiating in them is an error, not a zero. So is a
    second derivative.

    Arrays [B, N, D] are a batch: the value is the sum over its problems. Under vmap there is one value for each
    element; their problems are sent as batches where nothing but such inputs is mapped, else one by one, with the same
    bits. Under jit with arrays that are sharded over devices the whole arrays are one problem; under shard_map and pmap
    each device has a problem of its own.

    Outside of jit and vmap errors are kantor's own. Inside them jax raises what it makes of them, with their text; what
    can be said of shapes, number formats and the objective is said when the function is traced, by kantor's own.

    Attributes:
        terms: what it computes.

    Args:
        terms: what to compute, as in kantor.Client.evaluate.
        client: which computes it; None: one that all such losses of the process share, made with the first value.

    Raises:
        InvalidArgumentError: a term has a state of its own, which has no place in a function of jax.
    """

    def __init__(self, terms: Terms, client: _client.Client | None = None) -> None:
        self.terms: tuple[Term, ...] = terms_of(terms)
        for i, term in enumerate(self.terms):
            if isinstance(term, ConeCritic) and term.state is None:
                reason = "is None, want the name of an input: a function of jax cannot keep what a critic has learnt"
                raise InvalidArgumentError(f"objective.terms[{i}].cone_critic.state", reason)
        self._client = client
        # By the gradients that a stream computes.
        self._streams: dict[tuple[str, ...], Stream] = {}

    def __call__(
        self,
        inputs: Mapping[str, Input] | None = None,
        /,
        *,
        seed: Any = 0,
        overrides: Mapping[str, Any] | None = None,
        **named: Input,
    ) -> Any:
        """Returns the objective's value, a scalar: of a batch the sum over its problems.

        It is float64 if one of the arrays that can have a gradient is, else float32.

        Args:
            inputs: the arguments by name, as in kantor.Client.evaluate, with jax arrays; or as keywords.
            seed: of everything random that the server does: an integer, traced or not, or a key of jax.random. The same
                seed draws the same samples.
            overrides: numbers of the terms that differ for this call, by `term.field`: `{"kl.weight": 0.1}`; traced or
                not.
            **named: the arguments by name.

        Raises:
            KantorError: why there is no value.
        """
        value, _ = _call.evaluate(self, _codec.merge(inputs, named), seed, overrides or {}, reports=False)
        return value

    def with_report(
        self,
        inputs: Mapping[str, Input] | None = None,
        /,
        *,
        seed: Any = 0,
        overrides: Mapping[str, Any] | None = None,
        **named: Input,
    ) -> tuple[Any, Report]:
        """Returns the value and, by the names of the terms, each term's value, interval and convergence as arrays.

            (value, report), gradient = jax.value_and_grad(loss.with_report, has_aux=True)({"source": x, "target": y})
            report["sinkhorn"].lower, report["sinkhorn"].converged

        The report is for looking at and has no gradient: to differentiate in it is an error. The arguments are those of
        a call.
        """
        return _call.evaluate(self, _codec.merge(inputs, named), seed, overrides or {}, reports=True)

    def close(self) -> None:
        """Ends the streams; the next value opens them again. The client stays open."""
        while self._streams:
            self._streams.popitem()[1].close()

    def _stream(self, gradients: tuple[str, ...]) -> Stream:
        stream = self._streams.get(gradients)
        if stream is None:
            client = self._client or _client.shared()
            made = client.stream(self.terms, gradients=gradients)
            stream = self._streams.setdefault(gradients, made)
            if stream is not made:  # another thread was faster
                made.close()
        return stream

    def __getstate__(self) -> dict[str, Any]:
        # A copy, in this process or another, opens streams of its own.
        return {**self.__dict__, "_streams": {}}

    def __repr__(self) -> str:
        return f"kantor.jax.Loss({' + '.join(map(str, self.terms))})"
