"""A small VAE and its training loop. What regularises the latent codes is a function that the caller passes in."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

LATENT = 2
HIDDEN = 128
BATCH = 128
RATE = 2e-3
START_LOG_VARIANCE = -4.0


@dataclass
class Codes:
    """What the encoder makes of a batch: a Gaussian per image and one sample of each, [N, LATENT] all three."""

    mean: Tensor
    log_variance: Tensor
    z: Tensor


# From the codes and the number of the step to what is added to the reconstruction error.
Regulariser = Callable[[Codes, int], Tensor]


class Vae(nn.Module):
    """An encoder to Gaussians in the plane and a decoder back (Kingma and Welling 2014)."""

    def __init__(self, pixels: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(pixels, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, 2 * LATENT)
        )
        self.decoder = nn.Sequential(
            nn.Linear(LATENT, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, pixels)
        )
        # Codes start narrow. From a variance of 1, noise alone matches the prior, and transport would hold it so.
        with torch.no_grad():
            self.encoder[-1].get_parameter("bias")[LATENT:].fill_(START_LOG_VARIANCE)

    def encode(self, images: Tensor) -> Codes:
        """Codes of images, [N, pixels]."""
        mean, log_variance = self.encoder(images).chunk(2, dim=1)
        z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        return Codes(mean, log_variance, z)

    def decode(self, z: Tensor) -> Tensor:
        """Images of codes, [N, pixels] in [0, 1]."""
        return torch.sigmoid(self.decoder(z))


@dataclass
class Step:
    """One step of training: its loss and where its time went, in seconds."""

    number: int
    loss: float
    reconstruction: float
    seconds: float
    regulariser_seconds: float


def reconstruction_error(images: Tensor, again: Tensor) -> Tensor:
    """Squared error, summed over pixels, averaged over images."""
    return (images - again).square().sum(1).mean()


def make(images: Tensor, seed: int = 0) -> Vae:
    """An untrained model in the number format of the images; the same for the same seed."""
    torch.manual_seed(seed)
    return Vae(images.shape[1]).to(images.dtype)


def train(model: Vae, images: Tensor, regularise: Regulariser, steps: int, seed: int = 0) -> Iterator[Step]:
    """Trains, one step each time it is asked for the next. Batches and noise follow from the seed alone."""
    torch.manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    for number in range(1, steps + 1):
        batch = images[torch.randint(len(images), (BATCH,))]
        start = time.perf_counter()
        codes = model.encode(batch)
        reconstruction = reconstruction_error(batch, model.decode(codes.z))
        before = time.perf_counter()
        penalty = regularise(codes, number)
        after = time.perf_counter()
        loss = reconstruction + penalty
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        yield Step(number, loss.item(), reconstruction.item(), time.perf_counter() - start, after - before)
