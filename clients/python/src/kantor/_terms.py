"""The losses and their parameters.

A parameter left None has the server's default, which the loss's docstring names. `source`, `target` and the like are
names of inputs: those under which the call passes them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from kantor._objective import Term

Cost = Literal["half_squared_euclidean", "squared_euclidean", "euclidean"]
Debias = Literal["self", "none", "split"]
Profile = Literal["accurate", "geomloss"]
Method = Literal["auto", "exact", "entropic"]
Aggregate = Literal["mean", "max"]
Kernel = Literal["energy", "gaussian", "laplacian", "imq"]
Statistic = Literal["u", "v"]
Convention = Literal["mmd2", "half"]


@dataclass(frozen=True)
class Sinkhorn(Term):
    """The Sinkhorn divergence, debiased entropic transport: S = OT(a, b) - ½OT(a, a) - ½OT(b, b).

    OT is the least of <plan, cost> + ε KL(plan, a⊗b) over the plans between a and b, two measures of equal mass. With
    `reach` or `rho` any plan will do, at a price of ρ KL of each marginal from its measure: mass that is far from
    everything is left where it is, and masses need not be equal. Gradients: `points` and `weights` of both inputs, with
    ε and ρ held fixed. Extras: `potentials`.

    Attributes:
        source: name of the source input, a measure or a prior.
        target: name of the target input, a measure or a prior.
        cost: between two points: `half_squared_euclidean` (the default), `squared_euclidean`, `euclidean`.
        blur: the temperature as a length: ε = blur² for the squared costs, blur for the Euclidean one.
        epsilon: ε itself, in units of the cost. With neither, a fifth of the target's mean cost to its mean; the result
            says what it was.
        debias: which self terms are subtracted: `self` (the default), each measure against itself, which of minibatches
            favours points that are too narrow; `none`, which leaves entropic transport itself; or `split`, each
            measure's one half against its other half, an estimate whose expectation has no slope where the
            distributions agree, and which may be slightly negative.
        second_source: with `split`, name of a second batch, independent of the source and of as many points, that takes
            the place of the source's other half; None: the seed decides the halves. Given together with second_target.
        second_target: the same for the target; a prior of another name is independent.
        reach: strength of the marginals as a length: ρ = reach² for the squared costs, reach for the Euclidean one.
        rho: ρ itself, in units of the cost. With neither the problem is balanced.
        profile: `accurate` (the default) iterates to the tolerance; `geomloss` takes the steps of GeomLoss's
            SamplesLoss and gives its numbers, at a blur of 0.05 where none is given.
        scaling: from one length scale of `geomloss` to the next; 0.5 by default.
        diameter: length that the schedule of `geomloss` begins at; the diagonal of the bounding box by default.
        tolerance: L1 marginal error, relative to the mass, at which iterations stop; 3e-4 by default.
        gap: in its place, the width of the interval relative to the value.
        without_interval: leaves the interval out, and the time that it takes.
        max_iterations: of each problem; 10,000 by default.
    """

    _loss: ClassVar[str] = "sinkhorn"

    source: str = "source"
    target: str = "target"
    cost: Cost | None = field(default=None, kw_only=True)
    blur: float | None = field(default=None, kw_only=True)
    epsilon: float | None = field(default=None, kw_only=True)
    debias: Debias | None = field(default=None, kw_only=True)
    second_source: str | None = field(default=None, kw_only=True)
    second_target: str | None = field(default=None, kw_only=True)
    reach: float | None = field(default=None, kw_only=True)
    rho: float | None = field(default=None, kw_only=True)
    profile: Profile | None = field(default=None, kw_only=True)
    scaling: float | None = field(default=None, kw_only=True)
    diameter: float | None = field(default=None, kw_only=True)
    tolerance: float | None = field(default=None, kw_only=True)
    gap: float | None = field(default=None, kw_only=True)
    without_interval: bool = field(default=False, kw_only=True)
    max_iterations: int | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Kantorovich(Term):
    """The Kantorovich-Rubinstein dual of the Wasserstein-1 distance: sup E_a h - E_b h over 1-Lipschitz h.

    The value is that of a feasible h, so it is the interval's lower end; a plan's cost is the upper end. With fresh
    samples, h is fitted to source and target and evaluated on the fresh ones: its outcome's `estimand` is
    `population_lower_bound` with a `standard_error` and no interval, where W1 of the samples is above W1 of the
    populations.

    Gradients: `points` and `weights` of both inputs, by the entropic method with h's heights held fixed, by the exact
    one those of the optimal plan; with fresh samples in those alone, with h held fixed, and 0 in source and target.
    Extras: `potentials`, the values of h; `critic`, [N], and `critic_gradient`, [N, D], h and its gradient at the
    points of `at`.

    Attributes:
        source: name of the source input, a measure or a prior.
        target: name of the target input, a measure or a prior.
        method: `exact`, `entropic` (at a falling temperature, until the bounds are within the gap) or `auto` (the
            default): exact where that is as fast, by the sizes alone.
        gap: between the bounds, relative to the upper, at which the entropic method stops; 1e-2 by default.
        max_iterations: of the entropic method; 10,000 by default.
        fresh_source: name of fresh samples of the source's distribution, a measure or a prior. Given together with
            fresh_target.
        fresh_target: the same for the target.
        at: name of a measure at whose points the extras `critic` and `critic_gradient` are wanted.
    """

    _loss: ClassVar[str] = "kantorovich"

    source: str = "source"
    target: str = "target"
    method: Method | None = field(default=None, kw_only=True)
    gap: float | None = field(default=None, kw_only=True)
    max_iterations: int | None = field(default=None, kw_only=True)
    fresh_source: str | None = field(default=None, kw_only=True)
    fresh_target: str | None = field(default=None, kw_only=True)
    at: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Transport(Term):
    """Exact optimal transport, the least of <plan, cost> over the plans between two measures of equal mass.

    It has no temperature: for the cost |x-y|^p the value is W_p^p. It is certified by its duals, so the interval is as
    narrow as rounding. Gradients: `points` and `weights` of both inputs, those of the optimal plan and of its
    potentials, centred; where the optimum is not unique, of the one that was found. Extras: `potentials`; `plan`;
    `map`, the barycentric image of each source point, [N, D]; `interpolation`, the measure on the way; with `split`
    none.

    Attributes:
        source: name of the source input, a measure or a prior.
        target: name of the target input, a measure or a prior.
        cost: between two points: `half_squared_euclidean` (the default), `squared_euclidean`, `euclidean`.
        p: in its place, the cost |x-y|^p: 1 or 2, in dimension 1 any number from 1.
        debias: `none` (the default) or `split`, as of Sinkhorn. `self` is refused: those terms are 0.
        time: of the extra `interpolation`, from 0 at the source to 1 at the target; ½ by default.
        second_source: with `split`, as of Sinkhorn.
        second_target: with `split`, as of Sinkhorn.
    """

    _loss: ClassVar[str] = "transport"

    source: str = "source"
    target: str = "target"
    cost: Cost | None = field(default=None, kw_only=True)
    p: float | None = field(default=None, kw_only=True)
    debias: Debias | None = field(default=None, kw_only=True)
    time: float | None = field(default=None, kw_only=True)
    second_source: str | None = field(default=None, kw_only=True)
    second_target: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Sliced(Term):
    """Sliced transport: W_p^p of the projections of two measures of equal mass onto directions on the unit sphere.

    The cost is |x-y|^p. The value is the mean over directions that the seed and the term's name decide, or the most
    over all directions. Gradients: `points` and `weights` of both inputs, in weights centred. Extras: `directions`,
    [L, D], or the one found, [1, D].

    Attributes:
        source: name of the source input, a measure or a prior.
        target: name of the target input, a measure or a prior.
        p: power of the distance, 1 or 2 (the default).
        directions: number of them; 128 by default.
        aggregate: `mean` (the default), or `max`: the most that an ascent from the best of the directions finds, a
            lower bound of the most over all.
        max_iterations: of that ascent; 100 by default.
    """

    _loss: ClassVar[str] = "sliced"

    source: str = "source"
    target: str = "target"
    p: float | None = field(default=None, kw_only=True)
    directions: int | None = field(default=None, kw_only=True)
    aggregate: Aggregate | None = field(default=None, kw_only=True)
    max_iterations: int | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Mmd(Term):
    """The squared maximum mean discrepancy, the distance between two measures' kernel means.

    It is what Sinkhorn comes to at a large temperature. Masses need not agree for the kernels that vanish far away; for
    the energy they do. Gradients: `points` and `weights` of both inputs; those in weights are of all their changes, the
    mass's included, and centred for the energy alone. Extras: `witness`, the kernel mean of the source less that of the
    target at the source's points, [N].

    Attributes:
        source: name of the source input, a measure or a prior.
        target: name of the target input, a measure or a prior.
        kernel: of the distance d: `energy` (the default), -d; `gaussian`, exp(-d²/(2 blur²)); `laplacian`,
            exp(-d/blur); `imq`, Σ C/(C+d²) with C = 2 D blur² s, s = .1, .2, .5, 1, 2, 5, 10.
        blur: length scale of the kernel, which the energy has none of. By default 1 for `imq`, which suits a target of
            unit variance; for `gaussian` and `laplacian` the root of the target's mean squared distance to its mean.
        statistic: `u` (the default), without the pairs of a point with itself: unbiased, and slightly negative at
            times; or `v`, with them: never negative, biased upwards.
        convention: `mmd2` (the default), E k(x,x') + E k(y,y') - 2 E k(x,y); or `half` of it, as GeomLoss has it.
        closed_form: integrates over the target exactly, without samples; it has to be a StandardNormal, the kernel
            `energy`, `gaussian` or `imq`.
    """

    _loss: ClassVar[str] = "mmd"

    source: str = "source"
    target: str = "target"
    kernel: Kernel | None = field(default=None, kw_only=True)
    blur: float | None = field(default=None, kw_only=True)
    statistic: Statistic | None = field(default=None, kw_only=True)
    convention: Convention | None = field(default=None, kw_only=True)
    closed_form: bool = field(default=False, kw_only=True)


@dataclass(frozen=True)
class Stein(Term):
    """The squared kernel Stein discrepancy of one measure to N(0, I), which needs no samples of it.

    Gradients: `points` and `weights` of the source; those in weights are of all their changes, the mass's included.

    Attributes:
        source: name of the source input, a measure.
        kernel: of the distance d: `imq` (the default), here (1 + d²/blur²)^-½; or `gaussian`, exp(-d²/(2 blur²)).
        blur: length scale of the kernel; the root of the dimension by default.
        statistic: `u` (the default) or `v`, as of Mmd.
    """

    _loss: ClassVar[str] = "stein"

    source: str = "source"
    kernel: Kernel | None = field(default=None, kw_only=True)
    blur: float | None = field(default=None, kw_only=True)
    statistic: Statistic | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class ConeCritic(Term):
    """A lower bound of W1 between two populations, by a critic that learns from batch to batch.

    The critic is 1-Lipschitz at every step, without a network or a penalty. The value is that of the critic before it
    has seen the batch, so with fresh samples at every step its expectation is not above W1: the `estimand` is
    `population_lower_bound`. Then the critic takes its steps, and the extra `state`, a ConeCriticState, is to be sent
    with the next batch; where nobody asks for it no step is taken. A new critic is made of its first batch, and its
    value there is a lower bound of W1 between the samples: `empirical`. Batches of problems are refused.

    Gradients: `points` and `weights` of both inputs, with the critic held fixed; in weights centred. Extras: `state`;
    `critic`, [N], and `critic_gradient`, [N, D], its values and gradients at the points of `at`.

    Attributes:
        source: name of the source input, a measure or a prior.
        target: name of the target input, a measure or a prior.
        state: name of the state, a ConeCriticState of a step before; None: a new critic is made of this batch.
        cones: of each of a new critic's two functions; 64 by default.
        learning_rate: step length of the optimiser, Adam, in units of the batch's spread along an axis; 0.02 by
            default. One that falls towards the end, by overrides, brings the critic closer.
        steps: taken on each batch; 1 by default. 0: the critic stays as it is.
        at: name of a measure at whose points the extras `critic` and `critic_gradient` are wanted.
    """

    _loss: ClassVar[str] = "cone_critic"

    source: str = "source"
    target: str = "target"
    state: str | None = field(default=None, kw_only=True)
    cones: int | None = field(default=None, kw_only=True)
    learning_rate: float | None = field(default=None, kw_only=True)
    steps: int | None = field(default=None, kw_only=True)
    at: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Bures(Term):
    """W2² between Gaussians in the cost |x-y|²: |m-n|² + tr(A + B - 2(A^½ B A^½)^½), the mean over rows.

    It is finite where a variance is 0 and KL infinite. Of a measure it takes the mean and the covariance of its points,
    divided by the mass, one row: for the aggregated posterior. Fewer than two points a dimension are refused. The
    dimension of covariances, of points too, is 512 at most.

    Gradients: `mean` and `log_variance` or `covariance` of Gaussians, `points` and `weights` of measures; finite for
    singular covariances too. Extras: `per_row`, [N]; `map`, the linear part T of the optimal map x -> n + T(x-m) of
    each row, [N, D, D].

    Attributes:
        posterior: name of a Gaussian input or a measure.
        prior: name of a Gaussian input with as many rows or one, or of a measure; None: N(0, I), which needs no input.
    """

    _loss: ClassVar[str] = "bures"

    posterior: str = "posterior"
    prior: str | None = None
