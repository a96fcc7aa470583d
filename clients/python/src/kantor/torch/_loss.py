"""The criterion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from kantor import _client, _codec
from kantor._errors import InvalidArgumentError
from kantor._inputs import Input
from kantor._objective import Term, Terms, terms_of
from kantor._results import Evaluation
from kantor._stream import Stream
from kantor.schedules import Schedule
from kantor.torch import _compiled, _log, _ranks, _state
from kantor.torch._tensors import differentiable, with_arrays
from kantor.torch._value import value_of


class Loss(torch.nn.Module):
    """An objective as a criterion: a module without parameters whose value can be differentiated once.

        criterion = kantor.torch.Loss(objective, schedules={"kl.weight": kantor.schedules.Linear(0, 4, 1000)})

    It counts its steps: every call counts that is made in training mode (`.train()`, the default) with gradients
    enabled. A call without a seed draws the one of its step, so that every step has samples of its own. A ConeCritic
    without a `state` is trained by each call that counts, and kept. A call that does not count, in `.eval()` or under
    torch.no_grad(), computes with the step and the critics that the next one that counts will have, and changes
    nothing. `state_dict()` holds all of this in tensors and numbers: a training that goes on from a checkpoint makes
    the same steps, bit for bit.

    A call inside backward is taken for activation checkpointing's recomputation of the last call, and repeats it.

    Attributes:
        terms: what it computes.
        report: the Evaluation behind the last value, with each term's value, interval and convergence; None before the
            first.
        step: of the next call; to be set where it should count something else, such as epochs.
        seed: that the steps' seeds are made of.

    Args:
        terms: what to compute, as in kantor.Client.evaluate.
        client: which computes it; None: one that all such losses of the process share, made with the first value.
        schedules: numbers of the terms that change from step to step, by `term.field`: any of a term's numbers, its
            `weight` included. What a call overrides is not asked of them.
        seed: that the steps' seeds are made of, 0 to 2^64-1.
        extras: what else to report, as `term.extra`.
        gradients_per_term: reports with each term its own gradients as well, of the unweighted value, as arrays: to
            weigh terms by the norms of `report.terms["kl"].gradients["posterior.mean"]` and its like.
        gather: makes one problem of those of all ranks of torch.distributed: every input that has rows, or those
            inputs that are named, has the rows of rank 0, then those of rank 1, and so on; their weights too, as they
            are. What else there is, the seed and the overrides are rank 0's, which computes. Every rank gets the joint
            value and report, and the gradients of its own rows times the number of ranks: so the mean over the ranks
            that DistributedDataParallel takes is the gradient of the joint value. All ranks make every call together.
            Without torch.distributed it changes nothing.

    Raises:
        InvalidArgumentError: a schedule is of no number of the terms, or the seed is out of range.
    """

    report: Evaluation | None
    step: int
    seed: int

    def __init__(
        self,
        terms: Terms,
        client: _client.Client | None = None,
        *,
        schedules: Mapping[str, Schedule] | None = None,
        seed: int = 0,
        extras: Iterable[str] = (),
        gradients_per_term: bool = False,
        gather: bool | Iterable[str] = False,
    ) -> None:
        super().__init__()
        self.terms: tuple[Term, ...] = terms_of(terms)
        self.report = None
        self.step = 0
        self.seed = _codec.seed(seed)
        self._client = client
        self._schedules = dict(schedules or {})
        _state.check_schedules(self._schedules, self.terms)
        self._extras = _codec.strings(extras)
        self._gradients_per_term = gradients_per_term
        self._gather = gather if isinstance(gather, bool) else _codec.strings(gather)
        self._carried = _state.carried(self.terms)
        self._critics: _state.Critics = {}
        self._last: _state.Draw | None = None
        self._scheduled: dict[str, float] = {}
        self._number = _compiled.enrol(self)
        # By what a stream computes: training and validation differ in it, and the first step of a critic from others.
        self._streams: dict[tuple[object, ...], Stream] = {}

    def forward(
        self,
        inputs: Mapping[str, Input] | None = None,
        /,
        *,
        seed: int | None = None,
        overrides: Mapping[str, float] | None = None,
        timeout: float | None = None,
        **named: Input,
    ) -> torch.Tensor:
        """Returns the objective's value, a scalar: of a batch the sum over its problems.

        It is float64 if one of the tensors is, else float32, and on the first one's device.

        Args:
            inputs: the arguments by name, as in kantor.Client.evaluate, with tensors for arrays; or as keywords.
            seed: of everything random that the server does; None: that of the step.
            overrides: numbers of the terms that differ for this call, by `term.field`: `{"kl.weight": 0.1}`.
            timeout: seconds; None: the client's timeout.
            **named: the arguments by name.

        Raises:
            KantorError: why there is no value. The call did not count.
        """
        arguments = _codec.merge(inputs, named)
        if torch.compiler.is_compiling():
            counts = self.training and torch.is_grad_enabled()
            return _compiled.call(
                self._number, arguments, counts=counts, seed=seed, overrides=overrides, timeout=timeout
            )
        tensors = differentiable(arguments)
        enabled = torch.is_grad_enabled()
        gradients = tuple(name for name, tensor in tensors.items() if enabled and tensor.requires_grad)
        value, own = self._evaluate(
            {name: with_arrays(value, name) for name, value in arguments.items()},
            gradients,
            counts=self.training and enabled,
            seed=seed,
            overrides=overrides,
            timeout=timeout,
        )
        return value_of(value, own, tensors)

    def _evaluate(
        self,
        inputs: dict[str, Input],
        gradients: tuple[str, ...],
        *,
        counts: bool,
        seed: int | None,
        overrides: Mapping[str, float] | None,
        timeout: float | None,
    ) -> tuple[float, Mapping[str, Any]]:
        """Makes one call, goes on to the next step if it counts, and returns the value and this rank's gradients."""
        draw = _state.Draw(self.step, self._critics)
        # As torch.utils.checkpoint finds out that it is inside backward.
        if torch._C._current_graph_task_id() != -1 and self._last is not None:
            draw = self._last
        overrides = overrides or {}
        scheduled = {name: float(f(draw.step)) for name, f in self._schedules.items() if name not in overrides}

        def solve(inputs: dict[str, Input]) -> Evaluation:
            return self._stream(gradients, tuple(draw.critics), counts).evaluate(
                {**inputs, **_state.inputs_of(draw.critics, inputs)} if draw.critics else inputs,
                overrides={**scheduled, **overrides},
                seed=_state.seed_of(self.seed, draw.step) if seed is None else seed,
                timeout=timeout,
            )

        if self._gather and _ranks.several():
            named = None if self._gather is True else self._gather
            report, own = _ranks.evaluate(inputs, gradients, named, solve)
        else:
            report = solve(inputs)
            own = dict(report.gradients)
        found = {"report": report, "_last": draw, "_scheduled": scheduled}
        if counts and not draw.counted:
            draw.counted = True
            found["step"] = draw.step + 1
            if self._carried:
                found["_critics"] = _state.trained(report, self._carried)
        # Each attribute that is set takes microseconds, in which a module looks whether it is a parameter.
        self.__dict__.update(found)
        return report.value, own

    def log(self) -> dict[str, float]:
        """Returns the last report as flat numbers, for a logger: empty before the first value.

        `value`, the objective's; `seconds`, in which the server computed it; and for every term `kl.value`, unweighted,
        `kl.converged`, 1 or 0, and `kl.warnings`, how many; where it has an interval `kl.lower` and `kl.upper`; where
        something iterates `kl.iterations`. Of a batch the values and bounds are summed, as in the objective, and the
        iterations those of the longest. What a schedule set is there under its own name: `kl.weight`.
        """
        return {} if self.report is None else {**_log.numbers(self.report), **self._scheduled}

    def get_extra_state(self) -> dict[str, Any]:
        """Returns what state_dict() holds: the step, the seed and the critics. A schedule follows from the step."""
        critics = {name: _state.to_tensors(state) for name, state in self._critics.items()}
        return {"step": self.step, "seed": self.seed, "critics": critics}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Takes what get_extra_state returned.

        Raises:
            InvalidArgumentError: it is of an objective with other critics.
        """
        for name in state["critics"]:
            if name not in self._carried:
                want = ", ".join(self._carried) or "none"
                raise InvalidArgumentError("state.critics", f"has {name}, want those of this objective: {want}")
        self._critics = {name: _state.from_tensors(critic) for name, critic in state["critics"].items()}
        self.step, self.seed, self._last = int(state["step"]), _codec.seed(state["seed"]), None

    def close(self) -> None:
        """Ends the streams; the next value opens them again. The client stays open."""
        while self._streams:
            self._streams.popitem()[1].close()

    def extra_repr(self) -> str:
        """Shows the terms, as torch.nn.Module has it."""
        return " + ".join(map(str, self.terms))

    def _stream(self, gradients: tuple[str, ...], critics: tuple[str, ...], counts: bool) -> Stream:
        key = (gradients, critics, counts and self._carried)
        if key not in self._streams:
            client = self._client or _client.shared()
            # A critic learns where its state is asked for.
            states = [f"{name}.state" for name in self._carried if counts]
            self._streams[key] = client.stream(
                _state.with_states(self.terms, critics),
                gradients=gradients,
                extras=dict.fromkeys([*self._extras, *states]),
                gradients_per_term=self._gradients_per_term,
            )
        return self._streams[key]

    def __getstate__(self) -> dict[str, Any]:
        # A copy, in this process or another, opens streams of its own.
        return {**self.__dict__, "_streams": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._number = _compiled.enrol(self)
