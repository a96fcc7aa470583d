"""Geometry: whether a latent space keeps the distances of the data, which KL cannot see."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial.distance import pdist
from scipy.stats import norm, spearmanr

import kantor
from study import data, r4_maps
from study.cells import Cell, Measured, Row, World
from study.timed import Timed

BINS = 64
BUMP = 5  # bins
HIDDEN = 128
BATCH = 128
RATE = 2e-3
SHUFFLES = 20
# One line for both heads: bins of equal prior mass, each at its median.
LINE = norm.ppf((np.arange(BINS) + 0.5) / BINS)
LENGTH = 0.35  # of the line for one unit of distance between images; left to itself it would fall to 0
START_LOG_VARIANCE = -4.0  # codes start narrow: noise alone would match the prior


def compute(cell: Cell, world: World) -> Measured:
    """One permutation of bins, one training with a head, or one map."""
    return {"bumps": bumps, "heads": heads, "map": r4_maps.compute}[cell.kind](cell, world)


def correlation(cumulative: np.ndarray, gaps: np.ndarray, distances: np.ndarray) -> tuple[float, float]:
    """Correlation of W1 between distributions on the line with other distances: of the numbers, and of their ranks.

    Args:
        cumulative: distribution functions, [N, K-1], between neighbouring places.
        gaps: between those, [K-1].
        distances: of all pairs, in pdist's order.
    """
    w1 = pdist(cumulative * gaps, "cityblock")
    if w1.std() < 1e-9:
        return 0.0, 0.0
    return float(np.corrcoef(w1, distances)[0, 1]), float(spearmanr(w1, distances).statistic)


def bumps(cell: Cell, world: World) -> Measured:
    """Bumps of BUMP bins under one permutation of the bins, the identity for seed 0: KL to uniform, and W1."""
    seed = int(cell.params["seed"])
    place = np.arange(BINS - BUMP + 1)
    posteriors = np.zeros((len(place), BINS))
    for k in place:
        posteriors[k, k : k + BUMP] = 1 / BUMP
    order = np.arange(BINS) if seed == 0 else np.random.default_rng(seed).permutation(BINS)
    posteriors = posteriors[:, order]
    kl = world.client.evaluate(kantor.CategoricalKl(), posterior=kantor.Categorical(probabilities=posteriors)).value
    cumulative = posteriors.cumsum(1)[:, :-1]
    r, ranks = correlation(cumulative, np.ones(BINS - 1), pdist(place[:, None].astype(float)))
    arrays = {"posteriors": posteriors, "w1": pdist(cumulative, "cityblock")}
    return Measured([{"kl": kl, "correlation": r, "rank_correlation": ranks}], arrays)


class Net(torch.nn.Module):
    """An encoder to a distribution on the line and a decoder from it.

    The Gaussian head gives a mean and a log-variance, and the decoder gets a number. The histogram head gives logits of
    BINS bins, and the decoder gets a bin as a one-hot vector: nothing tells it where the bin is.
    """

    def __init__(self, pixels: int, head: str) -> None:
        super().__init__()
        self.gaussian = head == "gaussian"
        self.encoder = mlp(pixels, 2 if self.gaussian else BINS)
        self.decoder = mlp(1 if self.gaussian else BINS, pixels)
        if self.gaussian:
            with torch.no_grad():
                self.encoder[-1].get_parameter("bias")[1:].fill_(START_LOG_VARIANCE)

    def error(self, images: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
        """Squared error summed over pixels, the mean over images and over codes: sampled, or exact over the bins."""
        if self.gaussian:
            mean, log_variance = given.chunk(2, 1)
            z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
            return (images - torch.sigmoid(self.decoder(z))).square().sum(1).mean()
        every = torch.sigmoid(self.decoder(torch.eye(BINS)))
        squares = images.square().sum(1, keepdim=True) - 2 * images @ every.T + every.square().sum(1)
        return (given.softmax(1) * squares).sum(1).mean()


def mlp(inputs: int, outputs: int) -> torch.nn.Sequential:
    """Two hidden layers."""
    return torch.nn.Sequential(
        *(torch.nn.Linear(inputs, HIDDEN), torch.nn.SiLU(), torch.nn.Linear(HIDDEN, HIDDEN), torch.nn.SiLU()),
        torch.nn.Linear(HIDDEN, outputs),
    )


def term_of(gaussian: bool, regulariser: str) -> kantor.Term:
    """KL, or W1 on the line, of each posterior and the prior; the stress of W1 between posteriors beside the data."""
    if regulariser == "kl":
        return kantor.GaussianKl() if gaussian else kantor.CategoricalKl()
    return kantor.Transport("posterior", "prior", p=1, weight=1 / BATCH)  # a batch's value is the sum over its problems


def inputs_of(gaussian: bool, regulariser: str, given: torch.Tensor) -> dict[str, object]:
    """The term's arguments: parameters for KL, for W1 a measure of BINS points a row."""
    if regulariser == "kl" and gaussian:
        mean, log_variance = given.chunk(2, 1)
        return {"posterior": kantor.Gaussian(mean, log_variance)}
    if regulariser == "kl":
        return {"posterior": kantor.Categorical(given)}
    line = torch.from_numpy(LINE)[:, None]
    if gaussian:  # as its quantiles
        mean, log_variance = given.double().chunk(2, 1)
        points = mean + (0.5 * log_variance).exp() * line[:, 0]
        return {"posterior": points[:, :, None], "prior": line}
    weights = given.double().softmax(1)
    return {"posterior": kantor.Measure(line.expand(len(given), BINS, 1), weights), "prior": line}


def objective(cell: Cell, gaussian: bool) -> kantor.Objective:
    """The regulariser with its weight, and the stress of W1 between the posteriors where it has one."""
    terms = [float(cell.params["weight"]) * term_of(gaussian, str(cell.params["regulariser"]))]
    if stress := float(cell.params["stress"]):
        terms.append(stress * kantor.Stress("curves", "data", code_metric="manhattan", scale=LENGTH))
    return kantor.Objective(tuple(terms))


def curves_of(gaussian: bool, given: torch.Tensor) -> torch.Tensor:
    """Vectors of which the Manhattan distance is W1 between the posteriors: quantiles, or distribution functions."""
    if gaussian:
        mean, log_variance = given.chunk(2, 1)
        return (mean + (0.5 * log_variance).exp() * torch.from_numpy(LINE).float()) / BINS
    return given.softmax(1).cumsum(1)[:, :-1] * torch.from_numpy(np.diff(LINE)).float()


def heads(cell: Cell, world: World) -> Measured:
    """Trains a VAE whose codes are on a line, and compares W1 between posteriors with the distance of their images."""
    p = cell.params
    gaussian, regulariser, seed = p["head"] == "gaussian", str(p["regulariser"]), int(p["seed"])
    images = data.load(str(p["data"]), world.data)
    train, test = torch.from_numpy(images.train), torch.from_numpy(images.test[: data.HELD_OUT])
    torch.manual_seed(seed)
    net = Net(train.shape[1], str(p["head"]))
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE)
    criterion = Timed(objective(cell, gaussian), world.client, seed)
    for _ in range(int(p["steps"])):
        batch = train[torch.randint(len(train), (BATCH,))]
        given = net.encoder(batch)
        inputs = inputs_of(gaussian, regulariser, given)
        if p["stress"]:
            inputs |= {"curves": curves_of(gaussian, given), "data": batch}
        loss = net.error(batch, given) + criterion(inputs)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return measured(net, test, criterion.shares(), images.test_labels[: data.HELD_OUT], keep=seed == 0)


def measured(net: Net, test: torch.Tensor, shares: Row, labels: np.ndarray, *, keep: bool) -> Measured:
    """Distances between the posteriors of held-out images against those of the images."""
    with torch.no_grad():
        given = net.encoder(test)
        error = net.error(test, given).item()
        curves = curves_of(net.gaussian, given).double().numpy()
    distances = pdist(test.double().numpy())
    r, ranks = correlation(curves, np.ones(curves.shape[1]), distances)
    row: Row = {"reconstruction": error, "correlation": r, "rank_correlation": ranks, "shuffled": r, **shares}
    if net.gaussian:
        return Measured([row])
    posteriors = given.double().softmax(1).numpy()
    row["entropy"] = float(-(posteriors * np.log(np.maximum(posteriors, 1e-300))).sum(1).mean())
    rng = np.random.default_rng(0)
    gaps = np.diff(LINE)
    row["shuffled"] = float(
        np.mean(
            [
                correlation(posteriors[:, rng.permutation(BINS)].cumsum(1)[:, :-1], gaps, distances)[0]
                for _ in range(SHUFFLES)
            ]
        )
    )
    return Measured([row], {"posteriors": posteriors.astype(np.float32), "labels": labels} if keep else {})
