"""What a loss takes: the arguments of an evaluation.

Arrays are numpy's, or anything that `numpy.asarray` turns into float32 or float64; for `kantor.torch` they are tensors.
They are never changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, eq=False)
class Measure:
    """A weighted point cloud. Wherever a measure is wanted, an array of points alone is one.

    Attributes:
        points: [N, D].
        weights: [N], non-negative with a positive sum, which need not be 1; None: 1/N each.
    """

    points: Any
    weights: Any = None


@dataclass(frozen=True, eq=False)
class Gaussian:
    """One normal distribution per row, as an encoder gives them.

    Attributes:
        mean: [N, D].
        log_variance: [N, D], logarithms of the variances along the axes.
    """

    mean: Any
    log_variance: Any


@dataclass(frozen=True)
class StandardNormal:
    """N(0, I), sampled by the server in the dimension of the measure that it is compared with.

    The call's seed and the input's name decide the samples: the same pair gives the same samples, so a training loop
    sends a new seed with every step.

    Attributes:
        size: number of samples; None: as many as the measure that it is compared with.
    """

    size: int | None = None


# What may be passed as an input: one of the above, or points. Any, because every array library has a type of its own.
Input: TypeAlias = Any
