"""The scale of codes that a loss prefers: four ranks with 128 rows each, apart and as one problem of 512.

    torchrun --nproc-per-node 4 examples/ranks/shrink.py

Codes s·g with g from N(0, I) are the prior itself at s = 1. A loss between minibatches prefers a smaller s, the smaller
the batch the smaller. Here s is trained data-parallel: at two values of it the gradient is averaged over batches, and
where the line through the two is 0, the loss is least. For exact transport with the squared cost that is so exactly:
the best matching of s·g does not depend on s, and the loss is a parabola in s. For Sinkhorn it is nearly one.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

import kantor
import kantor.torch

ROWS, DIMENSIONS = 128, 8
SCALES = (0.7, 0.9)


class Scaled(torch.nn.Module):
    """Codes s·g."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(scale, dtype=torch.float64))

    def forward(self, g: torch.Tensor) -> torch.Tensor:
        """Returns s·g."""
        return self.scale * g


def preferred(criterion: kantor.torch.Loss, batches: int) -> float:
    """Returns the scale at which the mean of the loss over that many batches of every rank is least."""
    slopes = []
    for scale in SCALES:
        model = DistributedDataParallel(Scaled(scale))
        noise = torch.Generator().manual_seed(dist.get_rank())  # the ranks' rows differ, those of the two scales do not
        for batch in range(batches):
            g = torch.randn(ROWS, DIMENSIONS, dtype=torch.float64, generator=noise)
            # A rank that computes for itself has a prior batch of its own.
            seed = batch * dist.get_world_size() + dist.get_rank()
            criterion(codes=model(g), prior=kantor.StandardNormal(), seed=seed).backward()
        slopes.append(model.module.scale.grad)
    low, high = SCALES
    return float(low + (high - low) * slopes[0] / (slopes[0] - slopes[1]))


def scales(terms: kantor.Term, batches: int, client: kantor.Client | None = None) -> tuple[float, float]:
    """Returns the preferred scale of the ranks apart and as one problem."""
    apart, joint = (kantor.torch.Loss(terms, client, gather=gather) for gather in (False, True))
    return preferred(apart, batches), preferred(joint, batches)


if __name__ == "__main__":
    dist.init_process_group("gloo")
    for terms in (kantor.Transport("codes", "prior"), kantor.Sinkhorn("codes", "prior")):
        apart, joint = scales(terms, 40)
        if dist.get_rank() == 0:
            print(f"{type(terms).__name__}: {apart:.3f} apart, {joint:.3f} as one problem")
    dist.destroy_process_group()
