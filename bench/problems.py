"""The problems that everything is measured on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Problem:
    """The Sinkhorn divergence between two clouds of the same size, for C = |x-y|²/2 and ε = blur².

    Attributes:
        n: points of each cloud.
        dim: of a point.
        blur: the square root of the temperature.
    """

    n: int
    dim: int
    blur: float

    @property
    def epsilon(self) -> float:
        """The temperature in units of |x-y|²/2."""
        return self.blur**2

    def clouds(self) -> tuple[Floats, Floats]:
        """The source, .7 N(0,I) + .2, and the target, N(0,I), in float32 as a trainer sends them."""
        rng = np.random.default_rng([self.n, self.dim])
        x, y = rng.standard_normal((2, self.n, self.dim))
        return (0.7 * x + 0.2).astype(np.float32), y.astype(np.float32)

    def __str__(self) -> str:
        return f"N={self.n} D={self.dim} blur={self.blur:.3g}"


def wide_blur(dim: int) -> float:
    """A tenth of √D: of the order of the distance between neighbours at these sizes."""
    return round(0.1 * math.sqrt(dim), 4)


def off(gradient: Floats, reference: Floats) -> float:
    """How far a gradient is from the reference, |g - g*|₂ / |g*|₂ over the source points."""
    difference: float = np.linalg.norm(gradient.astype(np.float64) - reference).item()
    norm: float = np.linalg.norm(reference).item()
    return difference / norm
