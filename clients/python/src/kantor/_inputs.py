"""What a loss takes: the arguments of an evaluation.

Arrays are numpy's, or anything that `numpy.asarray` turns into float32 or float64; for `kantor.torch` they are tensors,
for `kantor.jax` its arrays. They are never changed.

With one more axis in front, [B, N, D], they are a batch: B problems that are computed each as if it were alone, in one
call. All batches of a call have the same B; an input without that axis is shared by all problems of a term.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from kantor import _show


@dataclass(frozen=True, eq=False, repr=False)
class Measure(_show.Brief):
    """A weighted point cloud, or a batch of them. Wherever a measure is wanted, an array of points alone is one.

    Attributes:
        points: [N, D] or [B, N, D].
        weights: [N] or, of a batch, [B, N]: non-negative with a positive sum in each problem, which need not be 1;
            None: one over the number of points each.
        sizes: [B] integers, for a batch whose problems have different numbers of points: how many of the N rows of each
            count. The rows after them are padding, which may hold anything and has a gradient of 0. None: all count.
    """

    points: Any
    weights: Any = None
    sizes: Any = None


@dataclass(frozen=True, eq=False, repr=False)
class Gaussian(_show.Brief):
    """One normal distribution per row, as an encoder gives them, or a batch of such rows.

    Attributes:
        mean: [N, D] or [B, N, D].
        log_variance: the same, logarithms of the variances along the axes.
        covariance: in its place, covariance matrices, symmetric and positive semidefinite, [N, D, D] or [B, N, D, D],
            for the losses that take them. The gradient in one is the symmetric matrix G whose product <G, H> is the
            change for a small symmetric H.
    """

    mean: Any
    log_variance: Any = None
    covariance: Any = None


@dataclass(frozen=True, eq=False, repr=False)
class Categorical(_show.Brief):
    """One distribution over K classes per row, by one of two parameters; or a batch of such rows.

    A latent of several choices is passed as that many rows.

    Attributes:
        logits: [N, K] or [B, N, K], logarithms of the probabilities up to a constant in each row. -inf is a probability
            of 0, with a gradient of 0.
        probabilities: in their place, of the same shape, up to a factor in each row: non-negative with a positive sum.
            The gradient is that of the distribution after division by the sum, so its product with the row is 0.
    """

    logits: Any = None
    probabilities: Any = None


@dataclass(frozen=True, eq=False, repr=False)
class Bernoulli(_show.Brief):
    """D independent bits per row, by one of two parameters; or a batch of such rows.

    Attributes:
        logits: [N, D] or [B, N, D], logarithms of the odds of a one; -inf and inf are certain bits, with
            a gradient of 0.
        probabilities: in their place, of the same shape, of a one, from 0 to 1.
    """

    logits: Any = None
    probabilities: Any = None


@dataclass(frozen=True, eq=False, repr=False)
class VonMisesFisher(_show.Brief):
    """One distribution on the unit sphere per row, of density proportional to e^(concentration <mean, x>); or a batch.

    Attributes:
        mean: [N, D] or [B, N, D], directions of length 1, D at least 2.
        concentration: [N] or [B, N], non-negative; 0 is uniform.
    """

    mean: Any
    concentration: Any


@dataclass(frozen=True)
class Prior:
    """A distribution that the server samples, so that nothing is sent; it has no gradient. One of the classes below.

    The call's seed and the input's name decide the samples: the same pair gives the same samples, so a training loop
    sends a new seed with every step. All problems of a batch are compared with the same samples. Its dimension is that
    of the measure that it is compared with. `size` is the number of samples; None: as many as that measure has, in each
    problem of a batch.
    """

    # Its name in the contract, where its parameters have the names that they have here.
    _family: ClassVar[str] = ""


@dataclass(frozen=True)
class StandardNormal(Prior):
    """N(0, I), sampled by the server.

    Attributes:
        size: number of samples; None: as many as the measure that it is compared with.
    """

    _family: ClassVar[str] = "standard_normal"

    size: int | None = None


@dataclass(frozen=True)
class UniformCube(Prior):
    """The uniform distribution on [lower, upper]^D, sampled by the server.

    Attributes:
        lower: least coordinate; -1 by default.
        upper: largest coordinate, above the least; 1 by default.
        size: number of samples; None: as many as the measure that it is compared with.
    """

    _family: ClassVar[str] = "uniform_cube"

    lower: float | None = None
    upper: float | None = None
    size: int | None = None


@dataclass(frozen=True)
class UniformSphere(Prior):
    """The uniform distribution on the sphere around the origin, sampled by the server; in dimension 1 two points.

    Attributes:
        radius: positive; 1 by default.
        size: number of samples; None: as many as the measure that it is compared with.
    """

    _family: ClassVar[str] = "uniform_sphere"

    radius: float | None = None
    size: int | None = None


@dataclass(frozen=True, eq=False, repr=False)
class GaussianMixture(_show.Brief, Prior):
    """A mixture of K Gaussians with diagonal covariance, sampled by the server.

    Attributes:
        means: [K, D].
        log_variance: [K, D], logarithms of the variances along the axes; None: unit variances.
        weights: [K], how likely each Gaussian is: non-negative with a positive sum, which need not be 1; None: all the
            same.
        size: number of samples; None: as many as the measure that it is compared with.
    """

    _family: ClassVar[str] = "gaussian_mixture"

    means: Any
    log_variance: Any = None
    weights: Any = None
    size: int | None = None


@dataclass(frozen=True, eq=False, repr=False)
class ConeCriticState(_show.Brief):
    """What a cone critic has learnt: two functions of J cones each, and the state of the optimiser that trains them.

    It comes back as the extra `state` of ConeCritic, and is passed on unchanged as an input of the next call. All of
    its arrays are float64; it can be pickled, into a checkpoint.

    Attributes:
        tips: of the cones, [2, J, D]: those of min_j |z - tip_j| + height_j, then of max_j height_j - |z - tip_j|.
        heights: [2, J].
        tip_moments: [2, 2, J, D], the optimiser's running means of the gradient in the tips and of its square.
        height_moments: [2, 2, J], the same in the heights.
        averages: [2], running means of the two functions' values, which decide whose value is reported.
        step: steps taken.
    """

    tips: Any
    heights: Any
    tip_moments: Any
    height_moments: Any
    averages: Any
    step: int


# The kinds of input that have gradients, and what they can have them in.
WITH_GRADIENTS = (Measure, Gaussian, Categorical, Bernoulli, VonMisesFisher)
DIFFERENTIABLE = (
    *("points", "weights", "mean", "log_variance", "covariance"),
    *("logits", "probabilities", "concentration"),
)

# What may be passed as an input: one of the above, or points. Any, because every array library has a type of its own.
Input: TypeAlias = Any
