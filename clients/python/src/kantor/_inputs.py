"""What a loss takes: the arguments of an evaluation.

Arrays are numpy's, or anything that `numpy.asarray` turns into float32 or float64; for `kantor.torch` they are tensors.
They are never changed.

With one more axis in front, [B, N, D], they are a batch: B problems that are computed each as if it were alone, in one
call. All batches of a call have the same B; an input without that axis is shared by all problems of a term.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, eq=False)
class Measure:
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


@dataclass(frozen=True, eq=False)
class Gaussian:
    """One normal distribution per row, as an encoder gives them, or a batch of such rows.

    Attributes:
        mean: [N, D] or [B, N, D].
        log_variance: the same, logarithms of the variances along the axes.
    """

    mean: Any
    log_variance: Any


@dataclass(frozen=True)
class StandardNormal:
    """N(0, I), sampled by the server in the dimension of the measure that it is compared with.

    The call's seed and the input's name decide the samples: the same pair gives the same samples, so a training loop
    sends a new seed with every step. All problems of a batch are compared with the same samples.

    Attributes:
        size: number of samples; None: as many as the measure that it is compared with, in each problem of a batch.
    """

    size: int | None = None


# What may be passed as an input: one of the above, or points. Any, because every array library has a type of its own.
Input: TypeAlias = Any
