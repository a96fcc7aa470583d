"""Maps: the example's VAE with codes in the plane, with KL or a Sinkhorn divergence, with and without stress."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial.distance import pdist, squareform
from sklearn.manifold import trustworthiness
from sklearn.neighbors import KNeighborsClassifier

import kantor
import measures
import model
from study import data
from study.cells import Cell, Measured, Row, World
from study.timed import Timed

NEIGHBOURS = 10
TESTED = 1000  # held-out images that are measured, at most
TRAINED = 10_000  # images that are trained on, at most
FRAMES = 9  # of an interpolation
PAIRS = ((3, 8), (0, 1), (4, 7))  # classes that are interpolated between

# The weights let all four reconstruct the digits about as well; the error of other images is as many times larger.
SCALE = {"digits": 1.0, "fashion": 14.0}
KL = 0.05 * kantor.GaussianKl("posterior")
SINKHORN = 2 * kantor.Sinkhorn("codes", "prior", epsilon=0.1 * model.LATENT, debias="split", without_interval=True)
STRESS = kantor.Stress("means", "data")
OBJECTIVES: dict[str, kantor.Objective] = {
    "KL": kantor.Objective((KL,)),
    "KL + stress": KL + 5 * STRESS,
    "Sinkhorn": kantor.Objective((SINKHORN,)),
    "Sinkhorn + stress": SINKHORN + 5 * STRESS,
}


def inputs_of(name: str, codes: model.Codes, images: torch.Tensor) -> dict[str, object]:
    """The arguments that an objective's terms name."""
    if name.startswith("KL"):
        inputs: dict[str, object] = {"posterior": kantor.Gaussian(codes.mean, codes.log_variance)}
    else:
        inputs = {"codes": codes.z, "prior": kantor.StandardNormal()}
    return {**inputs, "means": codes.mean, "data": images} if name.endswith("stress") else inputs


def compute(cell: Cell, world: World) -> Measured:
    """Trains one map and measures it on held-out images."""
    p = cell.params
    name, seed = str(p["objective"]), int(p["seed"])
    images = data.load(str(p["data"]), world.data)
    train, test = torch.from_numpy(images.train[:TRAINED]), torch.from_numpy(images.test[:TESTED])
    vae = model.make(train, seed)
    criterion = Timed(SCALE[str(p["data"])] * OBJECTIVES[name], world.client, seed)
    torch.manual_seed(seed)
    optimizer = torch.optim.Adam(vae.parameters(), lr=model.RATE)
    for _ in range(int(p["steps"])):
        batch = train[torch.randint(len(train), (model.BATCH,))]
        codes = vae.encode(batch)
        loss = model.reconstruction_error(batch, vae.decode(codes.z)) + criterion(inputs_of(name, codes, batch))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    shares = criterion.shares()
    with torch.no_grad():
        return measured(vae, images, train, test, shares, keep=seed == 0)


def measured(
    vae: model.Vae, images: data.Images, train: torch.Tensor, test: torch.Tensor, shares: Row, *, keep: bool
) -> Measured:
    """How much of the data's neighbourhoods and distances the means keep, by scikit-learn and plain numpy."""
    torch.manual_seed(1)
    codes = vae.encode(test)
    means, z, pixels = (array.double().numpy() for array in (codes.mean, codes.z, test))
    labels, truth = images.train_labels[: len(train)], images.test_labels[: len(test)]
    far, near = pdist(pixels), pdist(means)
    fit = (near @ far) / (far @ far)
    classifier = KNeighborsClassifier(NEIGHBOURS).fit(vae.encode(train).mean.numpy(), labels)
    prior = np.random.default_rng(0).standard_normal(z.shape)
    row: Row = {
        "reconstruction": model.reconstruction_error(test, vae.decode(codes.mean)).item(),
        "trustworthiness": float(trustworthiness(pixels, means, n_neighbors=NEIGHBOURS)),
        "stress": float(np.square(near - fit * far).sum() / np.square(near).sum()),
        "correlation": float(np.corrcoef(near, far)[0, 1]),
        "neighbours_kept": kept(near, far),
        "knn_accuracy": float(classifier.score(codes.mean.numpy(), truth)),
        "prior_energy": measures.energy_distance(z, prior),
        **shares,
    }
    if not keep:
        return Measured([row])
    arrays = {"means": means.astype(np.float32), "labels": truth, "strips": strips(vae, test, means, truth)}
    return Measured([row], arrays)


def kept(near: np.ndarray, far: np.ndarray) -> float:
    """Share of each image's nearest neighbours that are among its code's, by the distances of all pairs."""
    lists = []
    for distances in (near, far):
        square = squareform(distances)
        np.fill_diagonal(square, np.inf)
        lists.append(np.argpartition(square, NEIGHBOURS, axis=1)[:, :NEIGHBOURS])
    common = [len(np.intersect1d(a, b, assume_unique=True)) for a, b in zip(*lists, strict=True)]
    return float(np.mean(common) / NEIGHBOURS)


def strips(vae: model.Vae, test: torch.Tensor, means: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Straight ways between the codes of two images, decoded, with the images at the ends: [pairs, FRAMES+2, pixels].

    The images are those nearest to the mean of their class in pixels, so the same for every objective.
    """
    out = []
    for pair in PAIRS:
        ends = []
        for label in pair:
            members = np.flatnonzero(labels == label)
            centre = test[members].mean(0)
            ends.append(members[int((test[members] - centre).square().sum(1).argmin())])
        s = np.linspace(0, 1, FRAMES)[:, None]
        way = (1 - s) * means[ends[0]] + s * means[ends[1]]
        decoded = vae.decode(torch.from_numpy(way).float())
        out.append(torch.cat([test[ends[0]][None], decoded, test[ends[1]][None]]).numpy())
    return np.stack(out)
