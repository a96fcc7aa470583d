"""Linear autoencoders on the digits, trained from random weights: one cell is one training."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

import digits
import kantor
from study.cells import Cell, Measured, Row, World
from study.timed import Timed

AXES = 8
NOISE = 0.05  # σ² of the decoder
SCALE = 0.1  # of the first weights
ACTIVE = 0.01  # variance of a unit's mean above which it is in use (Burda, Grosse, Salakhutdinov 2016)

# Aggregated penalties by name; all compare the codes with N(0, I), the last with as many samples of it.
MATCHING: dict[str, kantor.Term] = {
    "bures": kantor.Bures("codes"),
    "energy": kantor.Mmd("codes", "prior", closed_form=True),
    "sinkhorn": kantor.Sinkhorn("codes", "prior", tolerance=1e-5, without_interval=True),
}


def centred() -> torch.Tensor:
    """All digits less their mean, [1797, 64], float64."""
    pixels = digits.load()[0].astype(np.float64)
    return torch.from_numpy(pixels - pixels.mean(0))


def spectrum() -> np.ndarray:
    """Variances along the principal axes, falling, of the 1/N covariance."""
    x = centred().numpy()
    values: np.ndarray = np.linalg.eigvalsh(x.T @ x / len(x))[::-1]
    return values


def water_filling(theta: float) -> tuple[float, float, int]:
    """Rate in nats, distortion and number of axes above the water (Cover and Thomas 2006, theorem 10.3.3)."""
    variances = spectrum()
    top = variances[:AXES]
    rate = 0.5 * np.log(np.maximum(top / theta, 1)).sum()
    return float(rate), float(np.minimum(top, theta).sum() + variances[AXES:].sum()), int((top > theta).sum())


def compute(cell: Cell, world: World) -> Measured:
    """Trains one autoencoder until L-BFGS finds no way down."""
    return vae(cell, world) if cell.kind == "vae" else autoencoder(cell, world)


def weights(seed: int, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Random weights of the encoder [pixels, AXES] and of the decoder [AXES, pixels]."""
    noise = torch.Generator().manual_seed(seed)
    shapes = ((x.shape[1], AXES), (AXES, x.shape[1]))
    encoder, decoder = (SCALE * torch.randn(shape, generator=noise, dtype=x.dtype) for shape in shapes)
    return encoder.requires_grad_(), decoder.requires_grad_()


def descend(parameters: list[torch.Tensor], loss: Callable[[], torch.Tensor], iterations: int) -> int:
    """Minimises a deterministic loss by L-BFGS with a line search; returns how often it was computed."""
    optimizer = torch.optim.LBFGS(
        parameters,
        max_iter=iterations,
        history_size=20,
        tolerance_grad=1e-7,
        tolerance_change=1e-12,
        line_search_fn="strong_wolfe",
    )
    calls = 0

    def closure() -> torch.Tensor:
        nonlocal calls
        calls += 1
        optimizer.zero_grad()
        value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return calls


def vae(cell: Cell, world: World) -> Measured:
    """A linear β-VAE: N(Ax, diag) to N(Wz, σ²I). The error's mean over z is taken exactly, KL is the server's."""
    beta, seed = float(cell.params["beta"]), int(cell.params["seed"])
    x = centred()
    encoder, decoder = weights(seed, x)
    log_variance = torch.zeros(AXES, dtype=x.dtype, requires_grad=True)
    criterion = Timed(kantor.GaussianKl(), world.client)

    def posterior() -> kantor.Gaussian:
        mean = x @ encoder
        return kantor.Gaussian(mean, log_variance.expand_as(mean))

    def distortion() -> torch.Tensor:
        spread = (decoder.square().sum(1) * log_variance.exp()).sum()
        return (x - (x @ encoder) @ decoder).square().sum(1).mean() + spread

    def loss() -> torch.Tensor:
        return distortion() / (2 * NOISE) + beta * criterion({"posterior": posterior()})

    calls = descend([encoder, decoder, log_variance], loss, int(cell.params["iterations"]))
    shares = criterion.shares()
    with torch.no_grad():
        given = posterior()
        arrays = kantor.Gaussian(given.mean.numpy(), given.log_variance.contiguous().numpy())
        found = world.client.evaluate(kantor.GaussianKl(), posterior=arrays, extras="kl.per_dimension")
        units = world.client.diagnose(kantor.ActiveUnits(threshold=ACTIVE), posterior=arrays)["active_units"].value
        reached = distortion().item()
    rate, least, active = water_filling(beta * NOISE)
    row: Row = {
        **{"rate": found.value, "distortion": reached, "active_units": int(units)},
        **{"theory_rate": rate, "theory_distortion": least, "theory_units": active, "calls": calls, **shares},
    }
    return Measured([row], {"per_axis": np.sort(np.asarray(found.terms["kl"].extras["per_dimension"]))[::-1]})


def autoencoder(cell: Cell, world: World) -> Measured:
    """A linear autoencoder without noise, whose codes' distribution is drawn to N(0, I)."""
    name, seed = str(cell.params["matching"]), int(cell.params["seed"])
    x = centred()
    encoder, decoder = weights(seed, x)
    criterion = Timed(MATCHING[name], world.client)
    given = {} if name == "bures" else {"prior": kantor.StandardNormal()}

    def distortion() -> torch.Tensor:
        return (x - (x @ encoder) @ decoder).square().sum(1).mean()

    def loss() -> torch.Tensor:
        # The same samples at every step: L-BFGS wants a function.
        return distortion() + float(cell.params["weight"]) * criterion({"codes": x @ encoder, **given}, seed=seed)

    calls = descend([encoder, decoder], loss, int(cell.params["iterations"]))
    shares = criterion.shares()
    with torch.no_grad():
        codes = (x @ encoder).numpy()
        penalty = world.client.evaluate(MATCHING[name], {"codes": codes, **given}, seed=seed).value
        reached = distortion().item()
    row: Row = {
        **{"distortion": reached, "penalty": penalty, "theory_distortion": float(spectrum()[AXES:].sum())},
        **{"calls": calls, **shares},
    }
    return Measured([row], {"covariance": np.cov(codes.T, bias=True)})
