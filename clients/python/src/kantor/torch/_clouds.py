"""The forms in which GeomLoss's SamplesLoss takes two clouds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from kantor._errors import InvalidArgumentError
from kantor.torch._device import beside, to_host

_FORMS = {2: ("x", "y"), 4: ("a", "x", "b", "y"), 6: ("l_x", "a", "x", "l_y", "b", "y")}


@dataclass(frozen=True, eq=False)
class Clouds:
    """Two weighted clouds, or as many of them on either side as a batch has problems.

    Attributes:
        x: points [N, D] or [B, N, D].
        a: their weights, [N] or [B, N].
        y: points [M, D] or [B, M, D].
        b: their weights, [M] or [B, M].
    """

    x: torch.Tensor
    a: torch.Tensor
    y: torch.Tensor
    b: torch.Tensor

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        """All four, as they are named in requests for gradients."""
        return {"source.points": self.x, "source.weights": self.a, "target.points": self.y, "target.weights": self.b}

    @property
    def batched(self) -> bool:
        """Whether it is a batch, if only of one problem."""
        return self.x.dim() == 3

    def diameter(self) -> float:
        """Returns the diagonal of the bounding box of all points of all problems, rounded as GeomLoss rounds it."""
        with torch.no_grad():
            corners = [points.flatten(0, -2).aminmax(dim=0) for points in (self.x, self.y)]
            lower = torch.minimum(*(corner.min for corner in corners))
            return float(to_host((torch.maximum(*(corner.max for corner in corners)) - lower).norm()))

    def potentials(self, numbers: Mapping[str, Any]) -> list[torch.Tensor]:
        """Returns the numbers that are named as the weights' gradients, in the weights' formats."""
        sides = (("source.weights", self.a), ("target.weights", self.b))
        return [beside(like, torch.from_numpy(numbers[name])).to(like.dtype) for name, like in sides]

    def shaped(self, potential: torch.Tensor, flat: bool) -> torch.Tensor:
        """Returns a potential, of the shape of its weights, in the shape that GeomLoss has for it.

        Args:
            potential: one number for each point.
            flat: without an axis for a single problem, whether or not the clouds have one; else with it.
        """
        if self.batched:
            return potential[0] if flat and len(potential) == 1 else potential
        return potential if flat else potential.unsqueeze(0)


def clouds_of(args: Sequence[torch.Tensor | None], backend: str) -> tuple[Clouds, bool]:
    """Returns the clouds in the arguments of a call, and whether there are labels of clusters.

    Raises:
        InvalidArgumentError: they are none of GeomLoss's forms, and what is wrong.
    """
    if len(args) not in _FORMS:
        raise InvalidArgumentError(
            "", f"got {len(args)} arguments, want (x, y), (a, x, b, y) or (l_x, a, x, l_y, b, y)"
        )
    named = dict(zip(_FORMS[len(args)], args, strict=True))
    x, y = (_points(named[name], name) for name in ("x", "y"))
    if x.dim() != y.dim() or x.shape[-1] != y.shape[-1] or x.shape[:-2] != y.shape[:-2]:
        shapes = f"{tuple(y.shape)} beside x of {tuple(x.shape)}"
        raise InvalidArgumentError("y", f"has the shape {shapes}, want the same B and D")
    a, b = (_weights(named.get(name, _uniform(points)), name, points) for name, points in (("a", x), ("b", y)))
    labelled = [_labelled(named.get(name), name, points, backend) for name, points in (("l_x", x), ("l_y", y))]
    return Clouds(x, a, y, b), labelled[0] or labelled[1]


def _points(value: Any, name: str) -> torch.Tensor:
    if not isinstance(value, torch.Tensor) or value.dim() not in (2, 3):
        raise InvalidArgumentError(name, f"is {_seen(value)}, want a tensor [N, D] or [B, N, D]")
    return value


def _uniform(points: torch.Tensor) -> torch.Tensor:
    # In float32 for half formats, whose 1/N is off by more than masses may differ.
    dtype = torch.float64 if points.dtype == torch.float64 else torch.float32
    return torch.full(points.shape[:-1], 1 / points.shape[-2], dtype=dtype, device=points.device)


def _weights(value: Any, name: str, points: torch.Tensor) -> torch.Tensor:
    want = points.shape[:-1]
    if isinstance(value, torch.Tensor) and value.shape in (want, (*want, 1)):
        return value.reshape(want)
    raise InvalidArgumentError(name, f"is {_seen(value)}, want a tensor {list(want)}, one number for each point")


def _labelled(value: Any, name: str, points: torch.Tensor, backend: str) -> bool:
    """Whether there are labels, which have to be such as GeomLoss takes."""
    if value is None:
        return False
    if backend not in ("auto", "multiscale"):
        raise InvalidArgumentError(name, f"is given with the backend {backend!r}, want auto or multiscale")
    if points.dim() == 3:
        raise InvalidArgumentError(name, "is given with a batch, want None: labels are of single clouds")
    if not isinstance(value, torch.Tensor) or value.shape not in ((len(points),), (len(points), 1)):
        raise InvalidArgumentError(name, f"is {_seen(value)}, want a tensor [{len(points)}], one label for each point")
    return True


def _seen(value: Any) -> str:
    return f"a tensor {list(value.shape)}" if isinstance(value, torch.Tensor) else f"a {type(value).__name__}"
