"""What to compute: losses with their parameters, weighed and added up.

    kantor.Sinkhorn(blur=0.5) + 4 * kantor.GaussianKl()

is an objective of two terms. A parameter left None has the server's default, which the loss's docstring names.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

Cost = Literal["half_squared_euclidean", "squared_euclidean", "euclidean"]
Debias = Literal["self", "none"]
Profile = Literal["accurate", "geomloss"]

_T = TypeVar("_T", bound="Term")


@dataclass(frozen=True)
class Term:
    """One summand of an objective: Sinkhorn, Kantorovich or GaussianKl.

    Attributes:
        weight: factor in the total. A term of weight 0 is computed and reported, and stays out of the total.
        name: its name in the results; None: `sinkhorn`, `kantorovich`, `kl`. Two terms of one kind need names.
    """

    weight: float = field(default=1.0, kw_only=True)
    name: str | None = field(default=None, kw_only=True)

    # A numpy number times a term is a term, not an array of objects.
    __array_ufunc__ = None

    def __mul__(self: _T, factor: float) -> _T:
        return replace(self, weight=self.weight * float(factor))

    __rmul__ = __mul__

    def __add__(self, other: Term | Objective) -> Objective:
        return Objective((self, *terms_of(other)))


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
        debias: which self terms are subtracted: `self` (the default) or `none`, which leaves entropic transport itself.
        reach: strength of the marginals as a length: ρ = reach² for the squared costs, reach for the Euclidean one.
        rho: ρ itself, in units of the cost. With neither the problem is balanced.
        profile: `accurate` (the default) iterates to the tolerance; `geomloss` takes the steps of GeomLoss's
            SamplesLoss and gives its numbers, at a blur of 0.05 where none is given.
        scaling: from one length scale of `geomloss` to the next; 0.5 by default.
        tolerance: L1 marginal error, relative to the mass, at which iterations stop; 3e-4 by default.
        gap: in its place, the width of the interval relative to the value.
        without_interval: leaves the interval out, and the time that it takes.
        max_iterations: of each problem; 10,000 by default.
    """

    source: str = "source"
    target: str = "target"
    cost: Cost | None = field(default=None, kw_only=True)
    blur: float | None = field(default=None, kw_only=True)
    epsilon: float | None = field(default=None, kw_only=True)
    debias: Debias | None = field(default=None, kw_only=True)
    reach: float | None = field(default=None, kw_only=True)
    rho: float | None = field(default=None, kw_only=True)
    profile: Profile | None = field(default=None, kw_only=True)
    scaling: float | None = field(default=None, kw_only=True)
    tolerance: float | None = field(default=None, kw_only=True)
    gap: float | None = field(default=None, kw_only=True)
    without_interval: bool = field(default=False, kw_only=True)
    max_iterations: int | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Kantorovich(Term):
    """The Kantorovich-Rubinstein dual of the Wasserstein-1 distance: sup E_a h - E_b h over 1-Lipschitz h.

    The value is that of a feasible h, so it is the interval's lower end. Gradients: `points` and `weights` of both
    inputs with h's heights held fixed. Extras: `potentials`, the values of h.

    Attributes:
        source: name of the source input, a measure or a prior.
        target: name of the target input, a measure or a prior.
        gap: between the bounds, relative to the upper, at which iterations stop; 1e-2 by default.
        max_iterations: 10,000 by default.
    """

    source: str = "source"
    target: str = "target"
    gap: float | None = field(default=None, kw_only=True)
    max_iterations: int | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class GaussianKl(Term):
    """KL(posterior, prior) of diagonal Gaussians: the sum over dimensions, the mean over rows.

    Gradients: `mean` and `log_variance` of both inputs. Extras: `per_dimension`, [D]. The mean is over the rows of each
    problem of a batch.

    Attributes:
        posterior: name of a Gaussian input.
        prior: name of a Gaussian input with as many rows or one; None: N(0, I), which needs no input.
    """

    posterior: str = "posterior"
    prior: str | None = None


@dataclass(frozen=True)
class Objective:
    """A weighted sum of terms, made by adding them up."""

    terms: tuple[Term, ...]

    __array_ufunc__ = None

    def __mul__(self, factor: float) -> Objective:
        return Objective(tuple(factor * term for term in self.terms))

    __rmul__ = __mul__

    def __add__(self, other: Term | Objective) -> Objective:
        return Objective((*self.terms, *terms_of(other)))


# What may be passed as an objective.
Terms = Term | Objective | Iterable[Term]


def terms_of(terms: Terms) -> tuple[Term, ...]:
    """Returns the terms of whatever may be passed as an objective."""
    if isinstance(terms, Term):
        return (terms,)
    if isinstance(terms, Objective):
        return terms.terms
    return tuple(terms)
