"""The losses that are weighed against transport: Kullback-Leibler and its kin, dependence between axes, kept distances.

A parameter left None has the server's default, which the loss's docstring names. `posterior`, `codes` and the like are
names of inputs: those under which the call passes them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from kantor._objective import Term
from kantor._terms import Debias

Direction = Literal["forward", "reverse", "symmetric"]
Estimator = Literal["stratified", "weighted", "transport"]
Moments = Literal["means", "codes"]
Form = Literal["metric", "rank"]
Metric = Literal["euclidean", "manhattan"]


@dataclass(frozen=True)
class GaussianKl(Term):
    """KL(posterior, prior) of Gaussians: the sum over dimensions, the mean over rows.

    Where one of the two has full covariances so may the other. A variance of 0 makes it infinite, with the warning
    INFINITE_VALUE and a gradient of 0 in that problem. Gradients: `mean` and `log_variance` or `covariance` of both
    inputs. Extras: `per_row`, [N]; of diagonal Gaussians `per_dimension`, [D].

    Attributes:
        posterior: name of a Gaussian input.
        prior: name of a Gaussian input with as many rows or one; None: N(0, I), which needs no input.
        direction: `forward` (the default), KL(posterior, prior); `reverse`; or `symmetric`, the sum of both.
        free_bits: in nats: a dimension whose mean over rows is below counts as this much, with a gradient of 0. Of
            diagonal Gaussians only.
        capacity: in nats, in its place: the value is |KL - capacity|.
    """

    _loss: ClassVar[str] = "kl"

    posterior: str = "posterior"
    prior: str | None = None
    direction: Direction | None = field(default=None, kw_only=True)
    free_bits: float | None = field(default=None, kw_only=True)
    capacity: float | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class CategoricalKl(Term):
    """KL(posterior, prior) of choices among K classes, the mean over rows.

    A class that the prior cannot choose and the posterior can makes it infinite, with the warning INFINITE_VALUE and a
    gradient of 0 in that problem. Gradients: `logits` or `probabilities` of both inputs. Extras: `per_row`, [N].

    Attributes:
        posterior: name of a Categorical input.
        prior: name of a Categorical input with as many rows or one; None: all classes are as likely.
        direction: as of GaussianKl.
        free_bits: in nats: a mean over rows that is below counts as this much, with a gradient of 0.
        capacity: in nats, in its place: the value is |KL - capacity|.
    """

    _loss: ClassVar[str] = "categorical_kl"

    posterior: str = "posterior"
    prior: str | None = None
    direction: Direction | None = field(default=None, kw_only=True)
    free_bits: float | None = field(default=None, kw_only=True)
    capacity: float | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class BernoulliKl(Term):
    """KL(posterior, prior) of vectors of independent bits: the sum over bits, the mean over rows.

    It is infinite as CategoricalKl is. Gradients: `logits` or `probabilities` of both inputs. Extras: `per_row`, [N];
    `per_dimension`, [D].

    Attributes:
        posterior: name of a Bernoulli input.
        prior: name of a Bernoulli input with as many rows or one; None: fair bits.
        direction: as of GaussianKl.
        free_bits: in nats, of each dimension, as of GaussianKl.
        capacity: in nats, in its place: the value is |KL - capacity|.
    """

    _loss: ClassVar[str] = "bernoulli_kl"

    posterior: str = "posterior"
    prior: str | None = None
    direction: Direction | None = field(default=None, kw_only=True)
    free_bits: float | None = field(default=None, kw_only=True)
    capacity: float | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class VonMisesFisherKl(Term):
    """KL of von Mises-Fisher distributions from the uniform one on the sphere, the mean over rows.

    It does not depend on the mean directions. Gradients: `concentration`, and `mean`, which is 0. Extras: `per_row`,
    [N].

    Attributes:
        posterior: name of a VonMisesFisher input.
        free_bits: in nats, as of CategoricalKl.
        capacity: in nats, in its place: the value is |KL - capacity|.
    """

    _loss: ClassVar[str] = "von_mises_fisher_kl"

    posterior: str = "posterior"
    free_bits: float | None = field(default=None, kw_only=True)
    capacity: float | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class DiscreteKl(Term):
    """KL of two measures of equal mass on common points: Σ a ln(a/b), where points are the same that agree entirely.

    It knows whether points agree, not how far apart they are: of two clouds drawn from densities it is infinite, with
    the warning INFINITE_VALUE and a gradient of 0. Gradients: `weights` of both inputs, centred; `points`, which are 0.

    Attributes:
        source: name of the source input, a measure.
        target: name of the target input, a measure.
        direction: `forward` (the default), of the source from the target; `reverse`; or `symmetric`, the sum of both.
    """

    _loss: ClassVar[str] = "discrete_kl"

    source: str = "source"
    target: str = "target"
    direction: Direction | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class JensenShannon(Term):
    """The Jensen-Shannon divergence: ½KL(source, m) + ½KL(target, m) with m the mean of both.

    At most ln 2 for each row, bit or unit of mass: finite where KL is not. Both inputs are of one kind: Categorical,
    the mean over rows; Bernoulli, the sum over bits and the mean over rows; or measures, on points as of DiscreteKl.
    Gradients: `logits` or `probabilities`; of measures `weights`, centred, and `points`, which are 0. Extras:
    `per_row`, [N], but of measures.

    Attributes:
        source: name of the source input.
        target: name of the target input, with as many rows or one.
    """

    _loss: ClassVar[str] = "jensen_shannon"

    source: str = "source"
    target: str = "target"


@dataclass(frozen=True)
class TotalCorrelation(Term):
    """The parts of a batch's mean KL, each with its factor: mutual information, total correlation, dimension-wise KL.

    Their sum is the mean of ln q(z|x) - ln p(z) over the codes, with p = N(0, I), not the closed form of KL. With
    `transport` it is total correlation alone, as the Sinkhorn divergence between the codes and the codes with every
    column permuted by itself: no posteriors, no discriminator, in units of ½|x-y|².

    Gradients: `points` of the codes; `mean` and `log_variance` of the posterior. Extras: `mutual_information`,
    `total_correlation`, `dimension_wise_kl`, [1] each and without their factors; `per_dimension`, [D]; with `transport`
    none.

    Attributes:
        codes: name of a measure of N points with equal weights, one drawn from each row of the posterior.
        posterior: name of a diagonal Gaussian input of as many rows; None: `posterior`. Not with `transport`.
        estimator: `stratified` (the default) or `weighted` sampling of the dataset by the minibatch, or `transport`.
        dataset_size: number of examples that the batch is drawn from; needed but with `transport`.
        mutual_information: factor; 1 by default.
        correlation: factor of the total correlation, the β of β-TCVAE; 1 by default.
        dimension_wise_kl: factor; 1 by default.
        blur: with `transport`, the temperature as a length, as of Sinkhorn.
        debias: with `transport`, the self terms, as of Sinkhorn.
        tolerance: with `transport`, L1 marginal error at which iterations stop, as of Sinkhorn.
    """

    _loss: ClassVar[str] = "total_correlation"

    codes: str = "codes"
    posterior: str | None = None
    estimator: Estimator | None = field(default=None, kw_only=True)
    dataset_size: int | None = field(default=None, kw_only=True)
    mutual_information: float | None = field(default=None, kw_only=True)
    correlation: float | None = field(default=None, kw_only=True)
    dimension_wise_kl: float | None = field(default=None, kw_only=True)
    blur: float | None = field(default=None, kw_only=True)
    debias: Debias | None = field(default=None, kw_only=True)
    tolerance: float | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Dip(Term):
    """The disentangled inferred prior (Kumar et al. 2018), which pulls the covariance C of a batch to I.

    The value is off_diagonal Σ_{i≠j} C_ij² + diagonal Σ_i (C_ii - 1)². Gradients: `mean` and `log_variance` of the
    posterior. Extras: `covariance`, [D, D].

    Attributes:
        posterior: name of a diagonal Gaussian input of two rows or more.
        moments: `means` (the default), the covariance of the posterior's means: DIP-VAE-I; or `codes`, that and the
            mean of the posterior's variances: DIP-VAE-II.
        off_diagonal: factor of what is off the diagonal; 1 by default.
        diagonal: factor of what is on it; 10 by default for `means`, 1 for `codes`.
    """

    _loss: ClassVar[str] = "dip"

    posterior: str = "posterior"
    moments: Moments | None = field(default=None, kw_only=True)
    off_diagonal: float | None = field(default=None, kw_only=True)
    diagonal: float | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Stress(Term):
    """How far the distances between codes, d, are from those of the data they belong to, δ; from 0 to 1.

    Over all pairs of rows Σ (d - sδ)² / Σ d² with the scale s that fits best, the square of Kruskal's stress-1; with
    `rank`, the increasing function of δ that fits best takes the place of sδ. Codes that are Gaussians have the
    distance W2 between them. Gradients: `points` of codes or `mean` and `log_variance` of a Gaussian; `points` of the
    data. Extras: `correlation`, [1], between the distances, with `rank` of their ranks; `scale`, [1], s.

    Attributes:
        codes: name of a measure or a diagonal Gaussian input.
        data: name of a measure of as many rows, of any dimension.
        form: `metric` (the default), the distances up to a factor; or `rank`, their order.
        code_metric: between codes that are a measure: `euclidean` (the default) or `manhattan`, which of rows of
            cumulative distributions over equal bins is W1 between them, in bins.
        data_metric: between data.
        scale: with `metric`, the scale s; the value is then Σ (d - sδ)² / Σ (sδ)².
    """

    _loss: ClassVar[str] = "stress"

    codes: str = "codes"
    data: str = "data"
    form: Form | None = field(default=None, kw_only=True)
    code_metric: Metric | None = field(default=None, kw_only=True)
    data_metric: Metric | None = field(default=None, kw_only=True)
    scale: float | None = field(default=None, kw_only=True)
