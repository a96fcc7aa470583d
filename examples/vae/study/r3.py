"""R3, sample size: what minibatches make of a loss."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from study import r3_cells, r3_pictures
from study.cells import Cell, Profile, Result, Row
from study.paired import LEAST, LEVEL, compare, ranges, short, sign_flip
from study.part import Conclusion, Part, Section, Tables, named, tables_of, where
from study.r3_pictures import DISTANCES, slope, slopes


class Setting(NamedTuple):
    """A loss with the temperature as a multiple of D, 0 where it has none."""

    loss: str
    per_dimension: float = 0.0


SETTINGS = (
    *(Setting("transport"), Setting("sinkhorn", 0.1), Setting("sinkhorn", 0.5), Setting("sinkhorn", 1.0)),
    *(Setting("transport split"), Setting("sinkhorn split", 0.1), Setting("sinkhorn split", 0.5)),
    *(Setting("energy"), Setting("imq"), Setting("sliced")),
)
SIZES = ((2, 128), (8, 32), (8, 128), (8, 512), (16, 128), (64, 128))  # D and N
QUICK_SIZES = ((2, 128), (8, 128), (16, 128))
CURVE = (8, 128)
DIMENSIONS = (2, 3, 5, 10, 16)
POINTS = (64, 128, 256, 512, 1024)
WITHIN = 0.02  # of 1: a scale that counts as right


def plan(profile: Profile, _: bool) -> list[Cell]:
    """Six seeds, in the quick profile two."""
    quick = profile == "quick"
    seeds, batches = range(2 if quick else 6), {"quick": 4, "default": 8, "full": 64}[profile]
    cells = [
        Cell("r3", "scale", {"D": d, "N": n, **params(setting, d), "batches": batches, "seed": seed})
        for d, n in (QUICK_SIZES if quick else SIZES)
        for setting in SETTINGS
        for seed in seeds
    ]
    d, n = CURVE
    for setting in (Setting("transport"), Setting("transport split")):
        cells += [
            Cell("r3", "curve", {"D": d, "N": n, **params(setting, d), "batches": 2 * batches, "seed": seed})
            for seed in seeds
        ]
    # Seeds of their own: the theory's number is to come from other samples than what it is held against.
    for d, n in dict.fromkeys([*(QUICK_SIZES if quick else SIZES), (CURVE[0], CURVE[1] // 2)]):
        cells += [Cell("r3", "match", {"D": d, "N": n, "batches": 4 * batches, "seed": 100 + seed}) for seed in seeds]
    points = POINTS[:4] if quick else POINTS
    return cells + [
        Cell("r3", "rate", {"D": d, "n": n, "batches": max(4, 4096 // n), "seed": seed})
        for d in ((2, 5, 10) if quick else DIMENSIONS)
        for n in points
        for seed in seeds
    ]


def params(setting: Setting, d: int) -> Row:
    """Returns a setting's parameters in D dimensions."""
    return {"loss": setting.loss, "per_dimension": setting.per_dimension, "epsilon": setting.per_dimension * d}


def section(results: list[Result]) -> Section:
    """Draws scales, curves and rates, and concludes."""
    tables = tables_of(results)
    text = [
        "A trainer sees batches, not distributions. Here codes are s·g with g from N(0, I), compared with batches of "
        "N(0, I): the right scale is s = 1. In the table is the s at which the mean loss over batches has no slope, by "
        "the gradients in the points, for N points in D dimensions (mean over the seeds). Costs are ½|x-y|², ε is a "
        "multiple of D.",
        "For exact transport theory gives the whole curve: with c_n the mean inner product of matched points of two "
        "batches of n, E OT = ½D(s²+1) - s c_N, least at c_N/D, and with split batches U(s) = ½c_(N/2) (s-1)². Here "
        "c_n was measured on samples of its own.",
        "Below, the rates: how fast the distance between two samples of n points of one distribution, the uniform one "
        "on a cube, falls to its true value, 0.",
    ]
    drawn = [r3_pictures.scales(tables), r3_pictures.curve(tables, CURVE), r3_pictures.rates(tables)]
    said = [*shrinking(tables), on_theory(tables), prediction(tables), *rates(tables)]
    return Section(text, drawn, said, summary(tables))


def summary(tables: Tables) -> list[Row]:
    """Mean preferred scales, a row a size."""
    out = []
    for d, n in dict.fromkeys((row["D"], row["N"]) for row in tables["r3_scale"]):
        row: Row = {"D, N": f"{d}, {n}"}
        for loss, per in SETTINGS:
            found = where(tables["r3_scale"], D=d, N=n, loss=loss, per_dimension=per)
            row[f"{loss} {per:g}D" if per else loss] = f"{np.mean([float(r['scale']) for r in found]):.2f}"
        out.append(row)
    return out


def shrinking(tables: Tables) -> list[Conclusion]:
    """One sentence for each family of losses on the scales that it prefers."""
    rows = tables["r3_scale"]
    families = {
        "the Sinkhorn divergence with its usual self terms": ("sinkhorn",),
        "exact transport": ("transport",),
        "split batches, exact or entropic": ("transport split", "sinkhorn split"),
        "the unbiased energy distance and MMD-IMQ": ("energy", "imq"),
        "sliced transport": ("sliced",),
    }
    return [scale_of(family, losses, rows) for family, losses in families.items()]


def scale_of(family: str, losses: tuple[str, ...], rows: list[Row]) -> Conclusion:
    """Counts the settings in which the scale is below 1 by more than WITHIN, above, or neither."""
    counts = {"narrow": 0, "wide": 0, "right": 0}
    means, ps, seeds = [], [], 0
    used = [row for row in rows if row["loss"] in losses]
    keys = dict.fromkeys((row["D"], row["N"], row["loss"], row["per_dimension"]) for row in used)
    for d, n, loss, per in keys:
        found = np.array(
            [float(r["scale"]) for r in where(used, D=d, N=n, loss=loss, per_dimension=per)],
        )
        seeds = len(found)
        p = sign_flip(found - 1)
        decided = p < LEVEL if seeds >= LEAST else bool((found < 1).all() or (found > 1).all())
        wrong = decided and abs(found.mean() - 1) > WITHIN
        counts["right" if not wrong else "narrow" if found.mean() < 1 else "wide"] += 1
        means.append(float(found.mean()))
        ps.append(p)
    test = (
        f"a setting counts where the mean is off by more than {WITHIN} and an exact sign-flip test over {seeds} seeds "
        f"has p < {LEVEL}; least p {min(ps):.2g}"
        if seeds >= LEAST
        else f"no test with {seeds} seeds: a setting counts where all are on one side of 1, the mean by over {WITHIN}"
    )
    spread = f"{short(min(means))} to {short(max(means))}"
    sentence = (
        f"What minibatches prefer with {family}: codes that are too narrow in {counts['narrow']} of {len(keys)} "
        f"settings of D, N and ε, too wide in {counts['wide']}, within 2 % of the right width or not told from it in "
        f"{counts['right']}; the mean scales are {spread}."
    )
    return Conclusion(sentence, test, named("r3_scale", len(used), loss=" or ".join(losses)))


def on_theory(tables: Tables) -> Conclusion:
    """Holds the measured curve of split transport against ½c(s-1)²."""
    d, n = CURVE
    c = np.mean([float(row["c"]) for row in where(tables["r3_match"], D=d, N=n // 2)])
    rows = where(tables["r3_curve"], loss="transport split")
    worst = 0.0
    for s in dict.fromkeys(float(row["scale"]) for row in rows):
        values = np.array([float(row["value"]) for row in where(rows, scale=s)])
        worst = max(worst, abs(values.mean() - 0.5 * c * (s - 1) ** 2) / (0.5 * c))
    fits = "lies on" if worst <= 0.03 else "leaves"
    return Conclusion(
        f"The mean of exact transport with split batches {fits} the theory's parabola U(s) = ½c(s-1)² with c = "
        f"{c:.3f} of the batches' halves (D = {d}, N = {n}): at scales from .2 to 1.6 it is off by at most "
        f"{100 * worst:.2g} % of ½c.",
        "largest deviation of the mean over the seeds, relative to ½c; wanted at most .03",
        f"{named('r3_curve', len(rows), loss='transport split')}; r3_match.csv: D = {d}, N = {n // 2}",
    )


def prediction(tables: Tables) -> Conclusion:
    """Holds the scales of exact transport against c_N/D."""
    worst, rows = 0.0, where(tables["r3_scale"], loss="transport")
    sizes = list(dict.fromkeys((int(row["D"]), int(row["N"])) for row in rows))
    for d, n in sizes:
        c = np.mean([float(row["c"]) for row in where(tables["r3_match"], D=d, N=n)])
        found = np.mean([float(row["scale"]) for row in where(rows, D=d, N=n)])
        worst = max(worst, abs(found - c / d))
    holds = "is" if worst <= 0.02 else "is not"
    return Conclusion(
        f"The scale that exact transport prefers {holds} c_N/D, the mean inner product of matched points over the "
        f"dimension: over {len(sizes)} sizes the two differ by at most {worst:.2g}.",
        "largest difference of means over the seeds; wanted at most .02",
        f"{named('r3_scale', len(rows), loss='transport')}; r3_match.csv: all",
    )


def rates(tables: Tables) -> list[Conclusion]:
    """Compares the slopes of MMD and S with that of W1, at the most dimensions, and W1 with the theory's rate."""
    rows = tables["r3_rate"]
    d = max(int(row["D"]) for row in rows)
    w1 = slopes(rows, "w1", d)
    out = []
    for name in ("mmd", "sinkhorn"):
        other = slopes(rows, name, d)
        found = compare(other, w1)
        said = {"lower": "falls faster", "higher": "falls more slowly", "undecided": "falls no faster and no slower"}
        out.append(
            Conclusion(
                f"In {d} dimensions {DISTANCES[name]} {said[found.verdict]} with the number of samples than W1 "
                f"does: as n^{np.mean(other):.2f} against n^{np.mean(w1):.2f}.",
                f"slopes of log distance against log n; {found.said}",
                named("r3_rate", len(where(rows, D=d)), D=d),
            )
        )
    dimensions = [k for k in dict.fromkeys(int(row["D"]) for row in rows) if k > 2]
    pairs = ", ".join(f"{slope(rows, 'w1', k):.2f} (D = {k}: {-1 / k:.2f})" for k in dimensions)
    spread = "; ".join(f"D = {k} {ranges(slopes(rows, 'w1', k))}" for k in dimensions)
    flatter = sorted(dimensions, key=lambda k: slope(rows, "w1", k)) == dimensions
    out.append(
        Conclusion(
            f"The rate of W1 {'gets' if flatter else 'does not always get'} slower with every dimension; beside the "
            f"-1/D that holds for many samples it is {pairs}.",
            f"ranges over the seeds: {spread}",
            named("r3_rate", len(rows)),
        )
    )
    return out


PART = Part(
    "r3",
    "R3. What the number of samples does",
    (r3_cells,),
    r3_cells.compute,
    plan,
    section,
    {"quick": 10, "default": 120, "full": 900},
)
