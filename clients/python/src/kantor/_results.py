"""What an evaluation gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from kantor import _show

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    # float32 or float64.
    Array = npt.NDArray[np.floating[Any]]
    Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Interval:
    """Contains the exact value of the finite problem at its temperature for the numbers as received, rounding included.

    It says nothing of gradients, of other temperatures, or of the population behind the samples.
    """

    lower: float
    upper: float

    def __contains__(self, value: float) -> bool:
        return self.lower <= value <= self.upper


@dataclass(frozen=True)
class Solve:
    """How an iterative solver ended.

    Attributes:
        converged: whether the term's tolerance or gap was reached.
        iterations: of the cross problem, annealing included.
        marginal_error: L1, relative to the mass, the largest of the term's problems.
        epsilon: the temperature that was used, in units of the cost.
        strategy: for people and logs: the number format and how pairs of points were computed, such as
            `float32 kernel, stored`. Its words may change; empty where a server says nothing of it.
    """

    converged: bool
    iterations: int
    marginal_error: float
    epsilon: float
    strategy: str = ""


@dataclass(frozen=True)
class Outcome:
    """The answer to one problem.

    Attributes:
        value: unweighted.
        interval: None where the value is closed form, or where a warning INTERVAL_UNAVAILABLE says why.
        solve: None where nothing iterates.
        estimand: what the value is a number of, where a loss can give several: `empirical`, the distance between the
            samples, which in many dimensions is well above that between the populations; or `population_lower_bound`, a
            number whose expectation is not above the distance between the populations.
        standard_error: of the value, with `population_lower_bound`.
    """

    value: float
    interval: Interval | None
    solve: Solve | None
    estimand: Literal["empirical", "population_lower_bound"] | None = None
    standard_error: float | None = None


@dataclass(frozen=True)
class TermWarning:
    """Advice that does not make the result wrong: a stable code (NOT_CONVERGED) and one sentence."""

    code: str
    message: str


@dataclass(frozen=True, eq=False, repr=False)
class Potentials(_show.Brief):
    """Dual variables at the points of a term's measures, float64.

    Those of a batch are [B, N] and [B, M], with 0 where the measure has padding.

    Attributes:
        gauge: which constant was added: `equal_means` (f at the source, g at the target, of equal weighted means),
            `zero_target_mean` (one function h at both, of weighted mean 0 over the target) or `none` (unbalanced
            potentials, which are unique, or those of the profile `geomloss`, which are SamplesLoss's).
        source: [N].
        target: [M].
        source_self: [N], of the source against itself; None where no self terms are subtracted.
        target_self: [M], of the target against itself; None likewise.
    """

    gauge: Literal["equal_means", "zero_target_mean", "none"]
    source: Array
    target: Array
    source_self: Array | None
    target_self: Array | None


@dataclass(frozen=True, eq=False, repr=False)
class Plan(_show.Brief):
    """A transport plan by its entries of positive mass, at most N+M-1 of them in each problem, in the order of rows.

    With SciPy it is `scipy.sparse.coo_array((plan.mass, (plan.source, plan.target)), shape=(n, m))`.

    Attributes:
        source: [E] integers, the source's point of each entry.
        target: [E] integers, the target's point of each entry.
        mass: [E], what is moved, float64.
        sizes: [B] integers, of a batch: entries of each problem, which stand one after the other; else None.
    """

    source: Integers
    target: Integers
    mass: Array
    sizes: Integers | None = None

    def problems(self) -> tuple[Plan, ...]:
        """Returns the plan of each problem of a batch; of a plan without a batch the plan itself."""
        if self.sizes is None:
            return (self,)
        ends = self.sizes.cumsum()
        cuts = [slice(end - size, end) for end, size in zip(ends.tolist(), self.sizes.tolist(), strict=True)]
        return tuple(Plan(self.source[cut], self.target[cut], self.mass[cut]) for cut in cuts)

    def dense(self, n: int, m: int) -> Array:
        """Returns the plan of a source of n points and a target of m as [n, m], of a batch as [B, n, m]."""
        import numpy as np

        plans = self.problems()
        out = np.zeros((len(plans), n, m))
        for into, plan in zip(out, plans, strict=True):
            into[plan.source, plan.target] = plan.mass
        return out if self.sizes is not None else out[0]


# What a term returns on request: an array, Potentials, a Plan, a Measure or a ConeCriticState. Any, because the name
# that it was asked for by says which: of a union each use would want a cast.
Extra: TypeAlias = Any


@dataclass(frozen=True, eq=False)
class TermResult:
    """One summand's value and how far it can be trusted.

    Attributes:
        name: the term's.
        outcomes: one answer per problem of the batch.
        warnings: advice; of a batch each code once, with the first problem that it is about.
        extras: what was asked for beside, by name: an array, Potentials, a Plan, a Measure or a ConeCriticState. Those
            of a batch have its axis in front.
        gradients: of the unweighted value, summed over the batch, with `gradients_per_term`: those that were asked for
            and that this term has, under the same names (`source.points`).
    """

    name: str
    outcomes: tuple[Outcome, ...]
    warnings: tuple[TermWarning, ...]
    extras: Mapping[str, Extra]
    gradients: Mapping[str, Array] = field(default_factory=dict[str, "Array"])

    def __repr__(self) -> str:
        return _show.term(self)

    @property
    def values(self) -> tuple[float, ...]:
        """The value of every problem, unweighted."""
        return tuple(outcome.value for outcome in self.outcomes)

    @property
    def value(self) -> float:
        """The value of the only problem, unweighted."""
        return self._only.value

    @property
    def interval(self) -> Interval | None:
        """The only problem's interval."""
        return self._only.interval

    @property
    def solve(self) -> Solve | None:
        """How the only problem's solver ended."""
        return self._only.solve

    @property
    def converged(self) -> bool:
        """Whether every solver reached its tolerance; a closed form always has."""
        return all(outcome.solve is None or outcome.solve.converged for outcome in self.outcomes)

    @property
    def _only(self) -> Outcome:
        if len(self.outcomes) != 1:
            raise ValueError(f"term {self.name!r} has {len(self.outcomes)} outcomes, look at .values or .outcomes")
        return self.outcomes[0]


@dataclass(frozen=True, eq=False, repr=False)
class DiagnosticResult(_show.Brief):
    """What a diagnostic says.

    Attributes:
        name: the diagnostic's.
        values: one number per problem of the batch.
        details: what is behind it, by name. Those of a batch have its axis in front.
        warnings: advice; of a batch each code once, with the first problem that it is about.
    """

    name: str
    values: tuple[float, ...]
    details: Mapping[str, Array]
    warnings: tuple[TermWarning, ...]

    @property
    def value(self) -> float:
        """The value of the only problem."""
        if len(self.values) != 1:
            raise ValueError(f"diagnostic {self.name!r} has {len(self.values)} values, look at .values")
        return self.values[0]


@dataclass(frozen=True)
class Timing:
    """Where the server's time went, in seconds.

    Attributes:
        decode: checking the request and turning it into numbers.
        compute: computing.
        queue: waiting, in between, for the turn to be computed.
    """

    decode: float
    compute: float
    queue: float = 0.0


@dataclass(frozen=True)
class Build:
    """What computed a result: the same request gives the same bits for the same build.

    Attributes:
        version: of the server.
        kernel: the vector kernel that it chose at start.
        pair_memory_bytes: that matrices of pairs of points may take at once, which decides what is stored; 0: nothing
            is, or the server is older than the number.
    """

    version: str
    kernel: str
    pair_memory_bytes: int = 0


@dataclass(frozen=True, eq=False)
class Evaluation:
    """An objective's value and gradient.

    Attributes:
        value: Σ weight·value over the terms and their problems.
        terms: one result per term by its name, in the objective's order.
        gradients: of `value`, under the names that were asked for (`source.points`), in the shape and number format of
            the argument. An argument that the problems of a batch share gets the sum.
        timing: where the server's time went, the one part that a repetition changes.
        build: what computed it.
    """

    value: float
    terms: Mapping[str, TermResult]
    gradients: Mapping[str, Array]
    timing: Timing
    build: Build

    def __repr__(self) -> str:
        return _show.evaluation(self)

    @property
    def converged(self) -> bool:
        """Whether every term's solvers reached their tolerance."""
        return all(term.converged for term in self.terms.values())


@dataclass(frozen=True)
class Limits:
    """What a server refuses above.

    Attributes:
        message_bytes: of one message, in either direction.
        points: of one measure, or rows of one Gaussian, in each problem of a batch.
        dimension: of a point.
        terms: of one objective.
        window: batches in flight on one stream.
        problems: of one call: those of its batch, counted for every term.
        memory_bytes: that one request may need to be computed; 0: there is no limit, or the server is too old to say.
        queue: requests of one caller that wait for their turn, a stream's batches counted each; 0: the server is too
            old to say.
        running_small: requests computed at once that take 20 ms at most.
        running_large: requests computed at once that take longer, beside those.
        queue_wait: the longest that a request waits for its turn, in seconds. None: the server is too old to say.
        stream_idle: how long a stream stays open that nothing happens on, in seconds. None: as above.
    """

    message_bytes: int
    points: int
    dimension: int
    terms: int
    window: int
    problems: int
    memory_bytes: int = 0
    queue: int = 0
    running_small: int = 0
    running_large: int = 0
    queue_wait: float | None = None
    stream_idle: float | None = None


@dataclass(frozen=True)
class ServerInfo:
    """What a server is and what it accepts.

    Attributes:
        build: what computes.
        limits: what is refused above.
        losses: that a term can name.
        threads: that compute, for all calls together; 0: the server is too old to say.
        diagnostics: that diagnose() computes; empty: the server is too old to say, or has none.
    """

    build: Build
    limits: Limits
    losses: tuple[str, ...]
    threads: int = 0
    diagnostics: tuple[str, ...] = ()
