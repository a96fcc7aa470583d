"""R2, the frontier: reconstruction against samples, for every regulariser over a grid of weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import digits
import measures
from study import data, r2_cells, r2_pictures, timed
from study.cells import Cell, Profile, Result, Row
from study.paired import compare, ranges, short
from study.part import Conclusion, Part, Section, named, tables_of, where

# For errors of about the total variance of Fashion-MNIST, 68; the digits' is 4.8.
WEIGHTS: dict[str, tuple[float, ...]] = {
    "KL": (0.25, 1, 4),
    "β-TC": (0.25, 1, 4),
    "MMD-IMQ": (50, 200, 800),
    "energy": (10, 40, 160),
    "sliced": (5, 20, 80),
    "Sinkhorn self": (5, 20, 80),
    "Sinkhorn split": (5, 20, 80),
}
SCALE = {"fashion": 1.0, "digits": 0.07}
SIZES = {
    "quick": {"hidden": 64, "batch": 128, "steps": 300},
    "default": {"hidden": 128, "batch": 128, "steps": 800},
    "full": {"hidden": 256, "batch": 256, "steps": 4000},
}
# What a model is compared by, and which way is good.
MEASURES = {
    "frechet": ("Fréchet distance of prior samples", "lower"),
    "reconstruction": ("error of reconstruction", "lower"),
    "holes": ("distance of samples to the nearest image", "lower"),
    "knn_accuracy": ("accuracy of nearest neighbours", "higher"),
    "active_units": ("active units", "higher"),
    "prior_energy": ("energy distance of the codes from the prior", "lower"),
}


def plan(profile: Profile, fashion: bool) -> list[Cell]:
    """Three seeds and D = 8; in the full profile six and D = 32 too; in the quick one the middle weights once."""
    name = "fashion" if fashion and profile != "quick" else "digits"
    seeds = range({"quick": 1, "default": 3, "full": 6}[profile])
    return [
        Cell(
            "r2",
            "vae",
            {
                **{"data": name, "D": dimension, "regulariser": regulariser},
                **{"weight": weight * SCALE[name], **SIZES[profile], "seed": seed},
            },
        )
        for dimension in ((8, 32) if profile == "full" else (8,))
        for regulariser, weights in WEIGHTS.items()
        for weight in (weights[1:2] if profile == "quick" else weights)
        for seed in seeds
    ]


def section(results: list[Result]) -> Section:
    """Draws the frontier and samples, and concludes."""
    rows = tables_of(results)["r2_vae"]
    name = str(rows[0]["data"])
    text = [
        f"The same VAE on {'Fashion-MNIST' if name == 'fashion' else 'the digits'}, |x - x̂|² + weight · regulariser, "
        "with one regulariser after the other over a grid of weights. KL and β-TC have codes drawn from the "
        "posteriors; the others, which compare all codes with the prior at once, have the means, where KL would be "
        "infinite (Wasserstein autoencoders, Tolstikhin, Bousquet, Gelly, Schölkopf 2018). Samples are decoded draws "
        "of N(0, I); their Fréchet distance to held-out images is taken in the features of a small classifier that is "
        "trained here, so its numbers compare with each other only. A control for the width of the codes takes draws "
        "that are, axis by axis, as wide as the codes. Holes are judged by the distance of a sample to the nearest of "
        f"{r2_cells.NEAREST} training images, where blurred samples do well.",
    ]
    drawn, said = [], []
    for dimension in dict.fromkeys(int(row["D"]) for row in rows):
        used = where(rows, D=dimension)
        drawn += [r2_pictures.frontier(used, dimension), r2_pictures.samples(results, dimension)]
        said += conclusions(used, dimension)
    return Section(text, drawn, said, summary(rows))


def summary(rows: list[Row]) -> list[Row]:
    """Means over the seeds."""
    out: list[Row] = []
    for d, name, weight in dict.fromkeys((row["D"], row["regulariser"], row["weight"]) for row in rows):
        used = where(rows, D=d, regulariser=name, weight=weight)
        row: Row = {"D": d, "regulariser": name, "weight": f"{float(weight):.3g}"}
        for key in ("reconstruction", "frechet", "frechet_own_scale", "code_std", "active_units", "knn_accuracy"):
            row[key.replace("_", " ")] = short(float(np.mean([float(r[key]) for r in used])))
        for key in ("holes", "prior_energy", "server_share"):
            row[key.replace("_", " ")] = short(float(np.mean([float(r[key]) for r in used])))
        out.append(row)
    return out


def numbers(rows: list[Row], name: str, weight: float, key: str) -> list[float]:
    """One measure of one setting, in the order of the seeds."""
    used = sorted(where(rows, regulariser=name, weight=weight), key=lambda row: int(row["seed"]))
    return [float(row[key]) for row in used]


def weights_of(rows: list[Row], name: str) -> list[float]:
    """The weights of a regulariser, rising."""
    return sorted({float(row["weight"]) for row in where(rows, regulariser=name)})


def best(rows: list[Row], name: str) -> float:
    """The weight with the least mean Fréchet distance."""
    return min(weights_of(rows, name), key=lambda weight: float(np.mean(numbers(rows, name, weight, "frechet"))))


def conclusions(rows: list[Row], dimension: int) -> list[Conclusion]:
    """Each regulariser against KL on the frontier, at its best weight, and what the width of the codes does."""
    names = [name for name in WEIGHTS if name != "KL"]
    said = [against_kl(rows, name, dimension) for name in names]
    said += [frontier(rows, name, dimension) for name in names]
    return [*said, *(width(rows, name, dimension) for name in ("Sinkhorn self", "Sinkhorn split"))]


def against_kl(rows: list[Row], name: str, dimension: int) -> Conclusion:
    """Both at the weight where their samples are best: in what KL is better, and the other."""
    ours, theirs = best(rows, name), best(rows, "KL")
    lists: dict[str, list[str]] = {"KL": [], name: []}
    tests = []
    for key, (label, good) in MEASURES.items():
        found = compare(numbers(rows, "KL", theirs, key), numbers(rows, name, ours, key))
        if found.verdict != "undecided":
            lists["KL" if found.verdict == good else name].append(label)
        tests.append(f"{label}: {found.said}")
    kl, other = (", ".join(labels) or "nothing" for labels in lists.values())
    sentence = (
        f"D = {dimension}, each at the weight with its best samples (KL {theirs:.3g}, {name} {ours:.3g}): KL is better "
        f"in {kl}; {name} is better in {other}."
    )
    favours = "KL" if len(lists["KL"]) > len(lists[name]) else ""
    which = {"D": dimension, "regulariser": f"KL or {name}"}
    return Conclusion(sentence, "; ".join(tests), named("r2_vae", count(rows, name), **which), favours)


def count(rows: list[Row], name: str) -> int:
    """How many rows there are of KL and another."""
    return len(where(rows, regulariser="KL")) + len(where(rows, regulariser=name))


def dominated(rows: list[Row], by: str, who: str) -> tuple[int, int]:
    """How many of one's settings another beats in both axes of the frontier, in every seed; and how many there are."""

    def beats(first: float, second: float) -> bool:
        pairs: list[tuple[Sequence[float], Sequence[float]]] = [
            (numbers(rows, by, first, key), numbers(rows, who, second, key)) for key in ("reconstruction", "frechet")
        ]
        return all(a < b for mine, theirs in pairs for a, b in zip(mine, theirs, strict=True))

    settings = weights_of(rows, who)
    return sum(any(beats(weight, own) for weight in weights_of(rows, by)) for own in settings), len(settings)


def frontier(rows: list[Row], name: str, dimension: int) -> Conclusion:
    """Counts whose settings are beaten in reconstruction and samples at once."""
    (lost, of), (won, others) = dominated(rows, name, "KL"), dominated(rows, "KL", name)
    seeds = len({row["seed"] for row in rows})
    return Conclusion(
        f"D = {dimension}: {lost} of KL's {of} weights are beaten by one of {name} in reconstruction and Fréchet "
        f"distance at once, and {won} of {others} of {name} by one of KL.",
        f"counted where it is so in every one of {seeds} paired seeds; no test",
        named("r2_vae", count(rows, name), D=dimension, regulariser=f"KL or {name}"),
        "KL" if won > lost else "",
    )


def width(rows: list[Row], name: str, dimension: int) -> Conclusion:
    """What part of a Fréchet distance is the codes' wrong width."""
    weight = weights_of(rows, name)[-1]
    std, plain, own = (numbers(rows, name, weight, key) for key in ("code_std", "frechet", "frechet_own_scale"))
    found = compare(own, plain)
    said = {"lower": "falls", "higher": "rises", "undecided": "does not decidedly change"}[found.verdict]
    return Conclusion(
        f"D = {dimension}, {name} at its largest weight: the codes' standard deviation is {ranges(std)}, and with "
        f"samples as wide as the codes the Fréchet distance {said}, to {ranges(own)} from {ranges(plain)}.",
        found.said,
        named("r2_vae", len(std), D=dimension, regulariser=name, weight=weight),
    )


PART = Part(
    "r2",
    "R2. The frontier",
    (r2_cells, data, timed, measures, digits),
    r2_cells.compute,
    plan,
    section,
    {"quick": 40, "default": 900, "full": 4 * 3600},
)
