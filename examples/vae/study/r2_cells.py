"""The frontier: a VAE of eight or more latent dimensions, trained with one regulariser at one weight."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import torch
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist
from sklearn.neighbors import KNeighborsClassifier

import kantor
import measures
from study import data
from study.cells import Cell, Measured, Row, World
from study.timed import Timed

RATE = 2e-3
START_LOG_VARIANCE = -4.0  # codes start narrow: noise alone would match the prior
TRAINED = 20_000  # images, at most
TESTED = 2000  # held-out images, at most, and prior samples
NEAREST = 5000  # images of the training among which a sample's nearest is looked for
NEIGHBOURS = 10
FEATURES = 32
SHOWN = 12  # samples that are kept for a picture
STOCHASTIC = ("KL", "β-TC")  # what needs posteriors; the others compare all codes, which need no noise (WAE)


def term_of(name: str, dimension: int, size: int) -> kantor.Term:
    """Returns a regulariser by its name in the tables; ε is a tenth of the dimension."""
    sinkhorn = functools.partial(kantor.Sinkhorn, "codes", "prior", epsilon=0.1 * dimension, without_interval=True)
    return {
        "KL": kantor.GaussianKl(),
        "β-TC": kantor.TotalCorrelation(dataset_size=size, correlation=4),
        "MMD-IMQ": kantor.Mmd("codes", "prior", kernel="imq"),
        "energy": kantor.Mmd("codes", "prior"),
        "sliced": kantor.Sliced("codes", "prior"),
        "Sinkhorn self": sinkhorn(debias="self"),
        "Sinkhorn split": sinkhorn(debias="split"),
    }[name]


class Vae(torch.nn.Module):
    """An encoder to Gaussians and a decoder back, two hidden layers each."""

    def __init__(self, pixels: int, hidden: int, dimension: int) -> None:
        super().__init__()
        self.encoder = mlp(pixels, hidden, 2 * dimension)
        self.decoder = mlp(dimension, hidden, pixels)
        with torch.no_grad():
            self.encoder[-1].get_parameter("bias")[dimension:].fill_(START_LOG_VARIANCE)

    def encode(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Means and log-variances, [N, D] both."""
        mean, log_variance = self.encoder(images).chunk(2, 1)
        return mean, log_variance

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Images of codes, [N, pixels] in [0, 1]."""
        return torch.sigmoid(self.decoder(z))


def mlp(inputs: int, hidden: int, outputs: int) -> torch.nn.Sequential:
    """Two hidden layers."""
    return torch.nn.Sequential(
        *(torch.nn.Linear(inputs, hidden), torch.nn.SiLU(), torch.nn.Linear(hidden, hidden), torch.nn.SiLU()),
        torch.nn.Linear(hidden, outputs),
    )


def compute(cell: Cell, world: World) -> Measured:
    """Trains one model and measures it on held-out images."""
    p = cell.params
    name, seed, dimension = str(p["regulariser"]), int(p["seed"]), int(p["D"])
    images = data.load(str(p["data"]), world.data)
    train = torch.from_numpy(images.train[:TRAINED])
    torch.manual_seed(seed)
    vae = Vae(train.shape[1], int(p["hidden"]), dimension)
    optimizer = torch.optim.Adam(vae.parameters(), lr=RATE)
    criterion = Timed(float(p["weight"]) * term_of(name, dimension, len(train)), world.client, seed)
    for _ in range(int(p["steps"])):
        batch = train[torch.randint(len(train), (int(p["batch"]),))]
        mean, log_variance = vae.encode(batch)
        z = code(name, mean, log_variance, torch.randn_like(mean))
        penalty = criterion(inputs_of(name, z, kantor.Gaussian(mean, log_variance)))
        loss = (batch - vae.decode(z)).square().sum(1).mean() + penalty
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    shares = criterion.shares()
    with torch.no_grad():
        return measured(vae, images, cell, world, shares)


def code(regulariser: str, mean: torch.Tensor, log_variance: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Returns a sample of each posterior, or its mean where the regulariser knows of no posteriors."""
    return mean + (0.5 * log_variance).exp() * noise if regulariser in STOCHASTIC else mean


def inputs_of(name: str, z: torch.Tensor, posterior: kantor.Gaussian) -> dict[str, object]:
    """The arguments that a regulariser names."""
    if name == "KL":
        return {"posterior": posterior}
    return {"codes": z, **({"posterior": posterior} if name == "β-TC" else {"prior": kantor.StandardNormal()})}


def measured(vae: Vae, images: data.Images, cell: Cell, world: World, shares: Row) -> Measured:
    """Reconstruction, samples and codes of held-out images; the same noise for every model."""
    name = str(cell.params["data"])
    noise = torch.Generator().manual_seed(1)
    train, test = torch.from_numpy(images.train[:TRAINED]), torch.from_numpy(images.test[:TESTED])
    mean, log_variance = vae.encode(test)
    z = code(str(cell.params["regulariser"]), mean, log_variance, torch.randn(mean.shape, generator=noise))
    prior = torch.randn(mean.shape, generator=noise)
    samples = vae.decode(prior)
    posterior = kantor.Gaussian(mean.numpy(), log_variance.numpy())
    classifier = KNeighborsClassifier(NEIGHBOURS).fit(vae.encode(train[:NEAREST])[0], images.train_labels[:NEAREST])
    real = moments(name, world.data, test)
    quarter = len(samples) // 4
    row: Row = {
        "reconstruction": (test - vae.decode(mean)).square().sum(1).mean().item(),
        "frechet": frechet(moments(name, world.data, samples), real),
        # Samples as wide as the codes, axis by axis: what a wrong width costs is not in it.
        "frechet_own_scale": frechet(moments(name, world.data, vae.decode(z.mean(0) + z.std(0) * prior)), real),
        "code_std": float(z.std(0).square().mean().sqrt()),
        "active_units": int(world.client.diagnose(kantor.ActiveUnits(), posterior=posterior)["active_units"].value),
        "knn_accuracy": float(classifier.score(mean.numpy(), images.test_labels[: len(test)])),
        "holes": float(cdist(samples[:quarter].double(), train[:NEAREST].double()).min(1).mean()),
        "prior_energy": measures.energy_distance(z[:1000].double().numpy(), prior[:1000].double().numpy()),
        **shares,
    }
    shown = {"samples": samples[:SHOWN].numpy(), "images": test[:SHOWN].numpy()}
    return Measured([row], shown if cell.params["seed"] == 0 else {})


@functools.lru_cache(maxsize=2)
def features(name: str, folder: Path | None) -> torch.nn.Sequential:
    """A small classifier without its last layer, trained on the images in the same way each time."""
    images = data.load(name, folder)
    train, labels = torch.from_numpy(images.train[:TRAINED]), torch.from_numpy(images.train_labels[:TRAINED])
    noise = torch.random.get_rng_state()
    torch.manual_seed(0)
    body = mlp(train.shape[1], 128, FEATURES)
    head = torch.nn.Sequential(torch.nn.SiLU(), torch.nn.Linear(FEATURES, 10))
    optimizer = torch.optim.Adam([*body.parameters(), *head.parameters()], lr=1e-3)
    with torch.enable_grad():
        for _ in range(800):
            rows = torch.randint(len(train), (128,))
            loss = torch.nn.functional.cross_entropy(head(body(train[rows])), labels[rows])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    torch.random.set_rng_state(noise)
    return body


def moments(name: str, folder: Path | None, images: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of the features of images."""
    found = features(name, folder)(images).double().numpy()
    return found.mean(0), np.cov(found.T)


def frechet(first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]) -> float:
    """W2² between Gaussians with these moments (Heusel et al. 2017), by SciPy: not by what is compared."""
    (m, a), (n, b) = first, second
    root = sqrtm(a @ b)
    return float(np.square(m - n).sum() + np.trace(a) + np.trace(b) - 2 * np.trace(np.real(root)))
