"""Diagnostics: numbers that tell how a latent space is doing.

    client.diagnose([kantor.ActiveUnits(), kantor.NearestNeighbourKl("codes", "prior")], posterior=..., codes=..., ...)

They are to look at once in a while, not to train on: they have no gradients.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

from kantor._terms import Debias, Kernel


@dataclass(frozen=True)
class Diagnostic:
    """One number of a latent space and what is behind it. One of the classes below.

    Attributes:
        name: its name in the results; None: the diagnostic's, such as `active_units`. Two of one kind need names.
    """

    # Its name in the contract; a parameter has there the name that it has here.
    _kind: ClassVar[str] = ""

    name: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class ActiveUnits(Diagnostic):
    """The number of dimensions whose posterior mean varies over the rows by more than a threshold (Burda et al. 2016).

    Details: `variance`, [D], that of the means over the rows.

    Attributes:
        posterior: name of a Gaussian input of two rows or more, or of codes, a measure without weights.
        threshold: least variance that counts; None: 0.01.
    """

    _kind: ClassVar[str] = "active_units"

    posterior: str = "posterior"
    threshold: float | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class NearestNeighbourKl(Diagnostic):
    """An estimate of KL(source, target) between the densities behind two samples, in nats (Wang, Kulkarni, Verdu 2009).

    It is biased towards 0 in many dimensions, with the warning HIGH_DIMENSION there: a number to watch, not to trust.

    Attributes:
        source: name of the source input, a measure without weights.
        target: name of the target input, a measure without weights or a prior.
        neighbours: which neighbour is looked for; None: 5.
    """

    _kind: ClassVar[str] = "nearest_neighbour_kl"

    source: str = "source"
    target: str = "target"
    neighbours: int | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Entropy(Diagnostic):
    """Differential entropy in nats.

    Of a measure it is that of the density behind the sample, by the distances to nearest neighbours (Kozachenko,
    Leonenko 1987); of Gaussians the closed form, the mean over rows.

    Attributes:
        source: name of the source input, a measure without weights or a Gaussian.
        neighbours: which neighbour is looked for; None: 5. Not of Gaussians.
    """

    _kind: ClassVar[str] = "entropy"

    source: str = "source"
    neighbours: int | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class PermutationTest(Diagnostic):
    """The p-value of the hypothesis that source and target are samples of one distribution (Gretton et al. 2012).

    It is by how far apart random splits of both are: (1 + number that are as far apart) / (1 + permutations). Details:
    `statistic`, [1], the U-statistic of the mean discrepancy between the samples as they are.

    Attributes:
        source: name of the source input, a measure without weights of two points or more.
        target: name of the target input, a measure without weights or a prior.
        kernel: `energy` (the default), `gaussian`, `laplacian` or `imq`.
        blur: length scale of the kernel; None: 1 for `imq`, elsewhere the root of the mean squared distance of the
            points of both to their mean.
        permutations: number of random splits; None: 999. One more, times the points of both, is at most 2^24.
    """

    _kind: ClassVar[str] = "permutation_test"

    source: str = "source"
    target: str = "target"
    kernel: Kernel | None = field(default=None, kw_only=True)
    blur: float | None = field(default=None, kw_only=True)
    permutations: int | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class EffectiveScale(Diagnostic):
    """How wide the source is for the target: the root of the ratio of their mean squared distances to their means.

    StandardNormal() is compared with exactly. Where the target has no spread it is infinite, with the warning
    INFINITE_VALUE. Details: `per_dimension`, [D], the ratio of the standard deviations along each axis.

    Attributes:
        source: name of the source input, a measure.
        target: name of the target input, a measure or a prior.
    """

    _kind: ClassVar[str] = "effective_scale"

    source: str = "source"
    target: str = "target"


@dataclass(frozen=True)
class ExpectedShrink(Diagnostic):
    """The scale at which a Sinkhorn divergence between such batches is least in expectation, where 1 is the truth.

    It is what the warning SELF_SHRINKS is about, and looks at sizes and spread, not at where the points are; 0 stands
    for less than a tenth. Of fewer than 16 points it is the scale of 16, too large, with the warning FEW_POINTS.

    Details, [1] each: `effective_points`, that tell as much as the source's weighted ones;
    `effective_dimension`, of an isotropic target with the same first two moments of its spectrum; `epsilon`.

    Attributes:
        source: name of the source input, a measure.
        target: name of the target input, a measure or a prior.
        blur: length scale of the loss; None: as of Sinkhorn.
        epsilon: temperature of the loss in its place, in units of half the squared distance.
        debias: `self` (the default) or `split`.
    """

    _kind: ClassVar[str] = "expected_shrink"

    source: str = "source"
    target: str = "target"
    blur: float | None = field(default=None, kw_only=True)
    epsilon: float | None = field(default=None, kw_only=True)
    debias: Debias | None = field(default=None, kw_only=True)


# What may be passed as diagnostics.
Diagnostics: TypeAlias = Diagnostic | Iterable[Diagnostic]
