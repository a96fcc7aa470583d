"""kantor.torch.SamplesLoss in the place of GeomLoss's, live and in many settings."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import geomloss
import numpy as np
import pytest
import torch

import kantor
import kantor.torch

# What GeomLoss's schedule leaves is large in many settings, and here what is compared.
pytestmark = pytest.mark.filterwarnings("ignore::kantor.torch.AccuracyWarning")

Tensors = tuple[torch.Tensor, ...]


def cloud(rng: np.random.Generator, shape: tuple[int, ...], dtype: torch.dtype) -> Tensors:
    """Points in a cube and weights of mass 1, of which some are small."""
    points = torch.tensor(rng.uniform(0, 1, shape) + rng.uniform(-0.5, 0.5, shape[-1]), dtype=dtype)
    weights = rng.uniform(0.2, 1, shape[:-1]) * (rng.uniform(size=shape[:-1]) < 0.95) + 1e-3
    return torch.tensor(weights / weights.sum(-1, keepdims=True), dtype=dtype).requires_grad_(), points.requires_grad_()


@dataclass
class Setting:
    """A random setting of the Sinkhorn divergence, with its problem."""

    seed: int
    dtype: torch.dtype
    arguments: dict[str, Any] = field(default_factory=dict)
    inputs: Tensors = ()

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        wide = self.dtype == torch.float64
        self.arguments = {
            "p": int(rng.integers(1, 3)),
            "blur": float(rng.choice([0.05, 0.1, 0.3, 1.0] if wide else [0.2, 0.5])),
            "scaling": float(rng.choice([0.3, 0.5, 0.8])),
            "reach": [None, None, 0.4, 2.0][rng.integers(4)],
            "debias": bool(rng.integers(3)),
            "diameter": [None, None, 0.7, 4.0][rng.integers(4)],
        }
        d, batch = int(rng.integers(1, 6)), [(), (), (1,), (3,)][rng.integers(4)]
        sizes = rng.integers(1, 25, 2)
        self.inputs = tuple(t for n in sizes for t in cloud(rng, (*batch, int(n), d), self.dtype))

    @property
    def epsilon(self) -> float:
        """The temperature."""
        return float(self.arguments["blur"] ** self.arguments["p"])

    @property
    def rho(self) -> float:
        """The strength of the marginals."""
        reach = self.arguments["reach"]
        return math.inf if reach is None else float(reach ** self.arguments["p"])

    @property
    def least(self) -> float:
        """The least distance between two of a problem's points, and not below GeomLoss's."""
        a = torch.cat([self.inputs[1], self.inputs[3]], -2).detach().double()
        distances = torch.cdist(a, a, compute_mode="donot_use_mm_for_euclid_dist")
        return max(1e-4, float(distances[distances > 0].min()) if (distances > 0).any() else 1.0)

    def rounding(self) -> tuple[float, float]:
        """What rounding makes of potentials, and of gradients in points.

        A cost is |x|² + |y|² - 2 x·y there, right to u (D+8) (|x|² + |y|²). A distance is the root of that, right to it
        over the distance; in float32, where self terms are lost in that, the library's float64 is compared with, and
        what is left is the distance's own rounding here. Every step of the schedule adds it once, and the rounding of a
        softmin, ε (N+M) u. A row of the plan is then right to 2/ε times that, relative, and moves a point by less than
        the diameter, √8, times its weight; a direction is right to the cost over the distance. Unbalanced, a potential
        f counts as (ρ+ε) e^{-f/ρ}, and f is positive.
        """
        u = float(torch.finfo(self.dtype).eps)
        a, x, b, y = (t.detach() for t in self.inputs)
        power, blur = self.arguments["p"], self.arguments["blur"]
        square = 2 * max(float(points.square().sum(-1).max()) for points in (x, y))
        cost = u * (x.shape[-1] + 8) * square
        if power == 1:
            cost = u * (x.shape[-1] + 8) * math.sqrt(square) if self.in_double else cost / self.least
        steps = 3 + math.log(max(self.arguments["diameter"] or 4, blur) / blur) / -math.log(self.arguments["scaling"])
        potential = steps * (cost + self.epsilon * (a.shape[-1] + b.shape[-1]) * u) * (1 + self.epsilon / self.rho)
        moved = 2 * potential / self.epsilon * math.sqrt(8) + (cost / self.least if power == 1 else 0)
        return potential, moved * max(float(a.max()), float(b.max()))

    @property
    def in_double(self) -> bool:
        """Whether GeomLoss computes in float64 what kantor has in float32: its float32 distances are off by 1e-3."""
        return self.dtype == torch.float32 and self.arguments["p"] == 1


def both(setting: Setting, client: kantor.Client) -> list[Tensors]:
    """Value and gradients, for one upstream, and potentials, of GeomLoss and then of kantor."""
    theirs = geomloss.SamplesLoss(**setting.arguments, backend="tensorized")
    mine = kantor.torch.SamplesLoss(**setting.arguments, client=client)
    double = tuple(t.detach().double().requires_grad_() for t in setting.inputs)
    out = []
    for loss, inputs in ((theirs, double if setting.in_double else setting.inputs), (mine, setting.inputs)):
        value = loss(*inputs)
        upstream = torch.linspace(0.5, 2, value.numel(), dtype=value.dtype).view_as(value)
        gradients = torch.autograd.grad(value, inputs, upstream)
        loss.potentials = True
        out.append((value.detach(), *gradients, *(f.detach() for f in loss(*inputs))))
    return out


@pytest.mark.parametrize(("dtype", "count"), [(torch.float64, 200), (torch.float32, 60)])
def test_numbers_are_geomlosss(client: kantor.Client, dtype: torch.dtype, count: int) -> None:
    for seed in range(count):
        setting = Setting(seed, dtype)
        theirs, ours = both(setting, client)
        potential, moved = setting.rounding()
        # A value is two sums of potentials with masses of 1; upstream is up to 2.
        errors = [2 * potential, 4 * potential, 4 * moved, 4 * potential, 4 * moved, 2 * potential, 2 * potential]
        if setting.rho < math.inf:
            # GeomLoss's gradient is too small; without self terms that in weights differs by more.
            factor = (setting.rho + setting.epsilon) / (setting.rho + setting.epsilon / 2)
            scaled = {1, 2, 3, 4} if setting.arguments["debias"] else {2, 4}
            theirs = tuple(t * factor if i in scaled else t for i, t in enumerate(theirs))
        for i, (t, o, error) in enumerate(zip(theirs, ours, errors, strict=True)):
            if i in (1, 3) and setting.rho < math.inf and not setting.arguments["debias"]:
                continue
            assert o.shape == t.shape
            assert o.dtype == setting.dtype
            worst = float((o - t).abs().max())
            assert worst <= error, (i, seed, setting.arguments, [tuple(s.shape) for s in setting.inputs])
