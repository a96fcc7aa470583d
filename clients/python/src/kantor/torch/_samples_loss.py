"""What stands in for GeomLoss's SamplesLoss."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch

from kantor import _client
from kantor._errors import InvalidArgumentError
from kantor._inputs import Measure
from kantor._results import Evaluation, Potentials
from kantor._terms import Cost, Kernel, Mmd, Sinkhorn
from kantor.torch import _compiled_clouds
from kantor.torch._clouds import Clouds, clouds_of
from kantor.torch._device import to_host
from kantor.torch._tensors import with_arrays
from kantor.torch._value import value_of

_KERNELS = ("gaussian", "laplacian", "energy")
_COSTS: dict[int, Cost] = {1: "euclidean", 2: "half_squared_euclidean"}
_BACKENDS = ("auto", "tensorized", "online", "multiscale")
_WEIGHTS = ("source.weights", "target.weights")

# A schedule that ends with more than this of the mass in the wrong place has a gradient that is far off: by 15 to 60 %
# between Gaussian clouds of 64 and 256 points in 2 and 8 dimensions, at blurs of .2 to 2.
_LARGE = 0.1

# What was warned of in this process.
_warned: set[tuple[object, ...]] = set()


class AccuracyWarning(UserWarning):
    """GeomLoss's schedule ended far from its optimum, so that its gradient is far from the loss's."""


class SamplesLoss(torch.nn.Module):
    """GeomLoss's SamplesLoss, computed by kantor: the same arguments, call forms, shapes and numbers.

        criterion = kantor.torch.SamplesLoss("sinkhorn", p=2, blur=0.05)
        criterion(x, y)                  # clouds [N, D], [M, D]: a scalar; [B, N, D], [B, M, D]: B values
        criterion(a, x, b, y)            # with weights [N], [M], or [B, N], [B, M]; or with one more axis of length 1
        criterion(l_x, a, x, l_y, b, y)  # with labels of clusters, which change nothing

    Of "sinkhorn" it takes GeomLoss's schedule step for step: value, potentials and the gradients in points and weights
    are GeomLoss's up to rounding. What the schedule misses is measured, `report` has it, and where it is large an
    AccuracyWarning says so, once in a process for the same p, scaling and debias. With `tolerance` the same loss is
    solved until its marginals are that exact, with an interval that contains the exact value. Other than in GeomLoss:

    - With `reach` the value is GeomLoss's and the gradient that of the loss: GeomLoss's own is too small by
      (ρ+ε/2)/(ρ+ε). `report` says so by the warning GRADIENT_DIFFERS.
    - A distance of 0 is 0 in "energy" and "laplacian", where GeomLoss has 1e-4 (in units of blur): its energy is less
      by ½e-4 (Σa² + Σb²). Where points coincide their distance pulls at neither.
    - Balanced masses, and those of "energy", have to agree to 1e-6; GeomLoss takes any.
    - The result can be differentiated once, potentials not at all.
    - "hausdorff", functions for cost and kernel, and other p are refused.

    Attributes may be changed between calls, as GeomLoss's may.

    Attributes:
        report: the Evaluation behind the last value: its `terms["sinkhorn"]`, or `terms["mmd"]`, has for each problem
            the marginal error and, with `tolerance`, the interval; None before the first.

    Args:
        loss: "sinkhorn"; or half a squared mean discrepancy with all pairs, by the kernel "gaussian", "laplacian" or
            "energy".
        p: the cost: 2 is ½|x-y|², 1 is |x-y|.
        blur: the temperature is blur^p; the length scale of a kernel.
        reach: marginals are held with the strength reach^p; None: exactly.
        diameter: length at which the schedule begins; None: the diagonal of the bounding box of all points, which the
            problems of a batch have in common, as in GeomLoss.
        scaling: from one length of the schedule to the next.
        truncate: has no effect: nothing is truncated.
        cost: None; anything else is refused.
        kernel: None; anything else is refused.
        cluster_scale: has no effect: there are no clusters.
        debias: subtracts half of each cloud against itself.
        potentials: returns (F, G), the derivatives of the loss in the weights, in place of the value; without a graph.
        verbose: has no effect: `report` tells.
        backend: has no effect on numbers. As in GeomLoss, potentials of clouds without a batch are [1, N], and [N] by
            "multiscale", with labels, or by "auto" where GeomLoss would take that: above 10,000² pairs in 1 to 3
            dimensions.
        tolerance: L1 marginal error, relative to the mass, to which "sinkhorn" is solved, without a schedule; a
            balanced gradient in weights is then centred, <weights, gradient> = 0, as the masses have to stay equal.
            None: GeomLoss's schedule.
        client: which computes it; None: one that the losses of the process share, made with the first value.

    Raises:
        InvalidArgumentError: for what it cannot do, by the argument's name; here or, of attributes that were changed,
            in the call.
    """

    report: Evaluation | None

    def __init__(
        self,
        loss: str = "sinkhorn",
        p: float = 2,
        blur: float = 0.05,
        reach: float | None = None,
        diameter: float | None = None,
        scaling: float = 0.5,
        truncate: float | None = 5,
        cost: None = None,
        kernel: None = None,
        cluster_scale: float | None = None,
        debias: bool = True,
        potentials: bool = False,
        verbose: bool = False,
        backend: str = "auto",
        *,
        tolerance: float | None = None,
        client: _client.Client | None = None,
    ) -> None:
        super().__init__()
        self.loss = loss
        self.p = p
        self.blur = blur
        self.reach = reach
        self.diameter = diameter
        self.scaling = scaling
        self.truncate = truncate
        self.cost = cost
        self.kernel = kernel
        self.cluster_scale = cluster_scale
        self.debias = debias
        self.potentials = potentials
        self.verbose = verbose
        self.backend = backend
        self.tolerance = tolerance
        self.report = None
        self._client = client
        self._number = _compiled_clouds.enrol(self)
        self._check()

    def forward(self, *args: torch.Tensor | None) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """Returns the loss between two clouds, or their potentials; the class says in which forms and shapes."""
        self._check()
        clouds, labelled = clouds_of(args, self.backend)
        tensors = clouds.tensors
        learning = torch.is_grad_enabled() and not self.potentials
        wanted = {name for name, tensor in tensors.items() if learning and tensor.requires_grad}
        compiled = _compiled_clouds.call(self, clouds, wanted) if torch.compiler.is_compiling() else None
        if self.potentials:
            potentials = compiled or clouds.potentials(self._solve(clouds, wanted)[1])
            flat = labelled or self._multiscale(clouds)
            return clouds.shaped(potentials[0], flat), clouds.shaped(potentials[1], flat)
        if compiled:
            return compiled[0]
        value, gradients = self._solve(clouds, wanted)
        return value_of(value, gradients, tensors)

    def extra_repr(self) -> str:
        """Shows the arguments, as torch.nn.Module has it."""
        return f"{self.loss!r}, p={self.p}, blur={self.blur}, reach={self.reach}, tolerance={self.tolerance}"

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._number = _compiled_clouds.enrol(self)

    def _check(self) -> None:
        """Refuses what kantor does not have, by name."""
        for name, have in (("cost", "½|x-y|² (p=2) and |x-y| (p=1)"), ("kernel", ", ".join(_KERNELS))):
            if getattr(self, name) is not None:
                raise InvalidArgumentError(name, f"is given, want None: kantor has {have}, and takes no function")
        choices: dict[str, tuple[object, ...]] = {"loss": ("sinkhorn", *_KERNELS), "backend": _BACKENDS}
        if self.loss == "sinkhorn":
            choices["p"] = tuple(_COSTS)
        elif self.tolerance is not None:
            raise InvalidArgumentError("tolerance", f"is given with the loss {self.loss!r}, which has no iterations")
        for name, known in choices.items():
            if getattr(self, name) not in known:
                words = ", ".join(map(str, known))
                raise InvalidArgumentError(name, f"is {getattr(self, name)!r}, want one of: {words}")

    def _multiscale(self, clouds: Clouds) -> bool:
        """Whether GeomLoss would take its multiscale algorithm, which has potentials of another shape."""
        if self.backend != "auto":
            return self.backend == "multiscale"
        large = clouds.a.shape[-1] * clouds.b.shape[-1] > 10_000**2
        return large and self.loss == "sinkhorn" and self.p == 2 and clouds.x.shape[-1] <= 3

    @property
    def _scheduled(self) -> bool:
        """Whether it takes GeomLoss's schedule."""
        return self.loss == "sinkhorn" and self.tolerance is None

    @property
    def _dual(self) -> bool:
        """Whether potentials are what GeomLoss has for gradients in weights, by a constant other than the server's."""
        return self.loss != "sinkhorn" or (self._scheduled and self.reach is None)

    def _term(self, clouds: Clouds) -> Sinkhorn | Mmd:
        if self.loss != "sinkhorn":
            blur = None if self.loss == "energy" else self.blur
            return Mmd(kernel=cast(Kernel, self.loss), blur=blur, statistic="v", convention="half")
        transport = Sinkhorn(
            cost=_COSTS[int(self.p)], blur=self.blur, reach=self.reach, debias="self" if self.debias else "none"
        )
        if not self._scheduled:
            return replace(transport, tolerance=self.tolerance)
        diameter = self.diameter
        if diameter is None and clouds.batched:
            diameter = clouds.diameter() or None  # each problem alone would have its own
        return replace(transport, profile="geomloss", scaling=self.scaling, diameter=diameter, without_interval=True)

    def _solve(self, clouds: Clouds, wanted: set[str]) -> tuple[float | list[float], dict[str, Any]]:
        """Returns the value, or those of a batch, and gradients; potentials as if they were wanted in the weights."""
        dual = self.potentials or (self._dual and not wanted.isdisjoint(_WEIGHTS))
        report = self.report = self._evaluate(clouds, wanted, dual)
        if self._scheduled:
            self._warn(report)
        gradients = {name: report.gradients[name] for name in wanted if name in report.gradients}
        if dual:
            for name, numbers in zip(_WEIGHTS, self._duals(report, clouds), strict=True):
                if self.potentials or name in wanted:
                    wide = clouds.tensors[name].dtype == torch.float64
                    gradients[name] = numbers.astype(np.float64 if wide else np.float32, copy=False)
        (term,) = report.terms.values()
        return list(term.values) if clouds.batched else term.value, gradients

    def _evaluate(self, clouds: Clouds, wanted: set[str], dual: bool) -> Evaluation:
        extras = []
        if dual:
            wanted = wanted - set(_WEIGHTS)
            if self.loss == "sinkhorn":
                extras = ["sinkhorn.potentials"]
            else:
                wanted, extras = wanted | {"target.weights"}, ["mmd.witness"]
        client = self._client or _client.shared()
        inputs = {"source": Measure(clouds.x, clouds.a), "target": Measure(clouds.y, clouds.b)}
        numbers = {name: with_arrays(value, name) for name, value in inputs.items()}
        return client.evaluate(self._term(clouds), numbers, gradients=sorted(wanted), extras=extras)

    def _duals(self, report: Evaluation, clouds: Clouds) -> tuple[Any, Any]:
        """Returns GeomLoss's potentials, which are its derivatives in the weights."""
        (term,) = report.terms.values()
        if self.loss == "sinkhorn":
            p = cast(Potentials, term.extras["potentials"])
            if p.source_self is None or p.target_self is None:
                return p.source, p.target
            return p.source - p.source_self, p.target - p.target_self
        f, g = cast(Any, term.extras["witness"]), report.gradients["target.weights"]
        if self.loss == "energy":
            # The server's is centred. The value is ½<a,f> + ½<b,g>.
            a, b = (to_host(weights.detach()).double().numpy() for weights in (clouds.a, clouds.b))
            values = np.array(term.values) if clouds.batched else term.value
            left = (2 * values - (a * f).sum(-1) - (b * g).sum(-1)) / b.sum(-1)
            g = g + left[..., None]
        return f, g

    def _warn(self, report: Evaluation) -> None:
        """Warns of a large marginal error, once: a sweep over blur, or a loss made anew each step, is one case."""
        errors = [o.solve.marginal_error for term in report.terms.values() for o in term.outcomes if o.solve]
        case = (self.p, self.scaling, self.debias)
        if max(errors) <= _LARGE or case in _warned:
            return
        _warned.add(case)
        message = (
            f"SamplesLoss(p={self.p}, blur={self.blur}, scaling={self.scaling}) ended GeomLoss's schedule with a "
            f"marginal error of {max(errors):.2g} of the mass: its gradient is far from the loss's. With "
            "tolerance=3e-4 the loss is solved; a larger blur, or a scaling nearer to 1, comes closer too"
        )
        warnings.warn(message, AccuracyWarning, stacklevel=6)
