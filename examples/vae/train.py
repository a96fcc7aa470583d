"""Trains the same VAE three times and shows what its regulariser does to the codes.

    python train.py [--steps 1200] [--out out]

(a) β·KL, (b) a Sinkhorn divergence to the prior in its place, (c) both. All three come from a kantor server, over one
stream each; what changes between them is one line of OBJECTIVES.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import digits
import kantor
import kantor.torch
import measures
import model
import picture

# ε is a tenth of the dimension, in units of the half squared cost: at N(0, I) a fifth of the mean cost to the mean.
EPSILON = 0.1 * model.LATENT

# The weights are from a handful that were tried, so that all three reconstruct about as well.
OBJECTIVES: dict[str, kantor.Term | kantor.Objective] = {
    "KL": 0.05 * kantor.GaussianKl("posterior"),
    "Sinkhorn": 2 * kantor.Sinkhorn("codes", "prior", epsilon=EPSILON),
    "both": 2 * kantor.Sinkhorn("codes", "prior", epsilon=EPSILON) + 0.02 * kantor.GaussianKl("posterior"),
}

TEST = 297  # images that are kept out of training, of 1797
PROGRESS = 10  # lines per run


@dataclass
class Run:
    """A trained model and what its training took."""

    name: str
    model: model.Vae
    seconds: float
    kantor_milliseconds: float  # per step
    kantor_share: float  # of a step


def inputs_for(objective: kantor.Term | kantor.Objective, codes: model.Codes) -> dict[str, object]:
    """The arguments that the terms name: the samples and the prior, the posterior, or both."""
    given = {
        "codes": codes.z,
        "prior": kantor.StandardNormal(),  # as many samples as there are codes; the server draws them
        "posterior": kantor.Gaussian(codes.mean, codes.log_variance),
    }
    terms = objective.terms if isinstance(objective, kantor.Objective) else (objective,)
    wanted = set()
    for term in terms:
        wanted |= {"posterior"} if isinstance(term, kantor.GaussianKl) else {"codes", "prior"}
    return {name: given[name] for name in wanted}


def run(name: str, objective: kantor.Term | kantor.Objective, images: Tensor, steps: int, client: kantor.Client) -> Run:
    """Trains one model, with a line of progress now and then."""
    criterion = kantor.torch.Loss(objective, client)

    def regularise(codes: model.Codes, step: int) -> Tensor:
        loss: Tensor = criterion(inputs_for(objective, codes), seed=step)
        return loss

    vae = model.make(images)
    start = time.perf_counter()
    in_kantor = in_steps = 0.0
    for step in model.train(vae, images, regularise, steps):
        in_kantor += step.regulariser_seconds
        in_steps += step.seconds
        if criterion.report and step.number % max(1, steps // PROGRESS) == 0:
            values = "  ".join(f"{term.name} {term.value:7.3f}" for term in criterion.report.terms.values())
            print(
                f"  {name:8}  step {step.number:5}/{steps}  reconstruction {step.reconstruction:.3f}  {values}",
                flush=True,
            )
    criterion.close()
    return Run(name, vae, time.perf_counter() - start, 1e3 * in_kantor / steps, in_kantor / in_steps)


COLUMNS = (
    ("reconstruction", "squared error of held-out digits", "low"),
    ("prior match", "energy distance of their codes to N(0, I), unbiased: may fall below 0", "low"),
    ("code scale", "standard deviation of the codes, 1 at the prior", "one"),
    ("active units", f"latent dimensions in use, of {model.LATENT}", "high"),
    ("samples", "energy distance of decoded prior samples to held-out digits", "low"),
    ("holes", "mean distance of a decoded prior sample to the nearest training digit", "low"),
)


def print_table(runs: list[Run], results: list[dict[str, float]]) -> None:
    """One row per measure, one column per run."""
    print(f"\n{'':17}" + "".join(f"{run.name:>10}" for run in runs))
    for key, meaning, _ in COLUMNS:
        print(f"{key:17}" + "".join(f"{result[key]:10.3g}" for result in results) + f"   {meaning}")
    print(
        f"{'kantor ms/step':17}"
        + "".join(f"{run.kantor_milliseconds:10.2f}" for run in runs)
        + "   the call, round trip included"
    )
    print(
        f"{'share of step':17}"
        + "".join(f"{run.kantor_share:10.0%}" for run in runs)
        + "   of forward, backward and update"
    )
    print(f"{'seconds':17}" + "".join(f"{run.seconds:10.0f}" for run in runs))


def where_kl_won(results: list[dict[str, float]]) -> str:
    """A sentence on what the first run did better than the other two."""

    def badness(result: dict[str, float], key: str, best: str) -> float:
        return {"low": result[key], "high": -result[key], "one": abs(result[key] - 1)}[best]

    won, lost = [], []
    for key, _, best in COLUMNS:
        own, *others = [badness(result, key, best) for result in results]
        if own < min(others):
            won.append(key)
        elif own > min(others):
            lost.append(key)
    kl, transport = (", ".join(keys) or "nothing" for keys in (won, lost))
    return f"KL won on: {kl}. Transport, alone or beside it, won on: {transport}. One seed."


def main() -> None:
    """Trains, prints the table and draws the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=1200, help="of each of the three runs (default %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for vae.png (default %(default)s)")
    options = parser.parse_args()
    if options.steps < 1:
        parser.error("--steps: want at least 1")
    torch.set_num_threads(1)  # the model is small, and the server wants a core
    data, labels = digits.load()
    order = np.random.default_rng(0).permutation(len(data))  # they come writer by writer
    images, labels = torch.from_numpy(data[order]), labels[order]
    train, test = images[:-TEST], images[-TEST:]
    with kantor.Client() as client:
        print(f"{len(train)} digits of 8x8 pixels, {len(test)} more held out, {model.LATENT} latent dimensions")
        print(f"three times {options.steps} steps of {model.BATCH} digits")
        runs = [run(name, objective, train, options.steps, client) for name, objective in OBJECTIVES.items()]
    results = [measures.measure(run.model, train, test) for run in runs]
    print_table(runs, results)
    print(where_kl_won(results))
    path = picture.draw(runs, results, images, labels, test, options.out / "vae.png")
    print(f"picture: {path}")


if __name__ == "__main__":
    main()
