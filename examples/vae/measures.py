"""How good a trained model is, in plain numpy, so that no number here comes from what is being compared."""

from __future__ import annotations

import numpy as np
import torch

from model import LATENT, Vae, reconstruction_error

PRIOR_SAMPLES = 2000


def distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Euclidean distances, [N, M]."""
    out: np.ndarray = np.linalg.norm(x[:, None] - y[None], axis=-1)
    return out


def energy_distance(x: np.ndarray, y: np.ndarray) -> float:
    """2 E|x-y| - E|x-x'| - E|y-y'| (Székely and Rizzo 2004), unbiased: 0 on average where the laws are equal."""
    n, m = len(x), len(y)
    across, within_x, within_y = distances(x, y).mean(), distances(x, x).sum(), distances(y, y).sum()
    return float(2 * across - within_x / (n * (n - 1)) - within_y / (m * (m - 1)))


def measure(model: Vae, train: torch.Tensor, test: torch.Tensor) -> dict[str, float]:
    """Every column of the table for one model; the same random numbers for every model."""
    torch.manual_seed(1)
    with torch.no_grad():
        codes = model.encode(test)
        means = model.encode(train).mean.double().numpy()
        prior = torch.randn(PRIOR_SAMPLES, LATENT)
        samples = model.decode(prior[: len(test)]).double().numpy()
        again = model.decode(codes.mean)
    z, real = codes.z.double().numpy(), test.double().numpy()
    return {
        "reconstruction": reconstruction_error(test, again).item(),
        "prior match": energy_distance(z, prior.double().numpy()),
        "code scale": float(z.std()),
        # A unit is active if the image moves its mean: variance over 0.01 (Burda et al. 2016).
        "active units": float((means.var(0) > 0.01).sum()),
        "samples": energy_distance(samples, real),
        "holes": float(distances(samples, train.double().numpy()).min(1).mean()),
    }
