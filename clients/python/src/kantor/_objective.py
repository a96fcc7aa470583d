"""Objectives: terms with their weights, added up.

    kantor.Sinkhorn(blur=0.5) + 4 * kantor.GaussianKl()

is an objective of two terms.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import ClassVar, TypeVar

_T = TypeVar("_T", bound="Term")


@dataclass(frozen=True)
class Term:
    """One summand of an objective: a loss, such as Sinkhorn, with its parameters.

    Attributes:
        weight: factor in the total. A term of weight 0 is computed and reported, and stays out of the total.
        name: its name in the results; None: the loss's, as in `kantor.Client().info().losses`: `sinkhorn`, `kl`. Two
            terms of one loss need names.
    """

    # The loss's name in the contract; a parameter has there the name that it has here.
    _loss: ClassVar[str] = ""

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


def name_of(term: Term) -> str:
    """Returns the name that a term has in results."""
    return term.name or term._loss
