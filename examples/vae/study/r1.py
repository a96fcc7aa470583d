"""R1, where the truth is known: linear autoencoders land on reverse water-filling."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from study import r1_cells, style, timed
from study.cells import Cell, Profile, Result, Row
from study.paired import ranges, short
from study.part import Conclusion, Part, Picture, Section, named, tables_of, where

BETAS = (1, 2, 4, 10, 20)
WITHIN = 0.02  # of the closed form; where that is 0, nats
NAMES = {"bures": "W2² of the moments", "energy": "energy distance", "sinkhorn": "Sinkhorn"}
# Small where the penalty cannot be 0, so that it chooses among the best autoencoders and not against them.
WEIGHTS = {"bures": 1.0, "energy": 1.0, "sinkhorn": 0.1}
ITERATIONS = {"vae": 400, "bures": 100, "energy": 100, "sinkhorn": 60}


def plan(profile: Profile, _: bool) -> list[Cell]:
    """Trainings from six random starts each, in the quick profile from one."""
    seeds = range(1 if profile == "quick" else 6)
    vae = [
        Cell("r1", "vae", {"beta": beta, "iterations": ITERATIONS["vae"], "seed": seed})
        for beta in BETAS
        for seed in seeds
    ]
    matching = NAMES if profile != "quick" else ("bures", "energy")
    return vae + [
        Cell(
            "r1",
            "autoencoder",
            {"matching": name, "weight": WEIGHTS[name], "iterations": ITERATIONS[name], "seed": seed},
        )
        for name in matching
        for seed in seeds
    ]


def off(row: Row, name: str) -> float:
    """How far a row's number is from the closed form, relative to it; in nats where it is 0."""
    found, truth = float(row[name]), float(row[f"theory_{name}"])
    return abs(found - truth) / (truth or 1.0)


def section(results: list[Result]) -> Section:
    """Draws the curve and says how far from it the trainings ended."""
    tables = tables_of(results)
    vae, matched = tables["r1_vae"], tables["r1_autoencoder"]
    text = [
        f"Of a linear β-VAE the optimum is known: with the decoder's variance σ² = {r1_cells.NOISE} and θ = βσ² each "
        "principal axis of the data is coded down to the distortion θ, and not at all where its variance is below: "
        "reverse water-filling. β is a water level. Here such models, "
        f"{r1_cells.AXES} latent dimensions for the 1797 digits of 8x8 pixels, are trained from random weights, with "
        "the KL term and its gradients from the server.",
        "A linear autoencoder without noise, for whose codes KL would be infinite, can take any coordinates on its "
        "plane. Drawing the distribution of all its codes to N(0, I) chooses some, and the distortion is the rest of "
        "the spectrum beyond the plane.",
    ]
    return Section(text, [draw(results, vae)], conclusions(vae, matched), summary(vae))


def conclusions(vae: list[Row], matched: list[Row]) -> list[Conclusion]:
    """What the rows say of the closed forms."""
    rate, distortion = (max(off(row, name) for row in vae) for name in ("rate", "distortion"))
    units = sum(row["active_units"] == row["theory_units"] for row in vae)
    lands = max(rate, distortion) <= WITHIN and units == len(vae)
    on_curve = Conclusion(
        f"The linear β-VAE {'lands' if lands else 'does not land'} on the reverse water-filling curve at every β from "
        f"{BETAS[0]} to {BETAS[-1]}: rate and distortion are within {100 * max(rate, distortion):.2g} % of the closed "
        f"form, and {units} of {len(vae)} trainings use as many units as lie above the water.",
        f"largest deviations {rate:.2g} (rate) and {distortion:.2g} (distortion), relative or, at rate 0, in nats; "
        f"wanted at most {WITHIN}",
        named("r1_vae", len(vae)),
    )
    out = [on_curve]
    for name in dict.fromkeys(str(row["matching"]) for row in matched):
        rows = where(matched, matching=name)
        worst = max(off(row, "distortion") for row in rows)
        verdict = "costs the linear autoencoder nothing" if worst <= WITHIN else "costs the linear autoencoder accuracy"
        penalty = ranges([float(row["penalty"]) for row in rows])
        out.append(
            Conclusion(
                f"Matching all codes to N(0, I) by {NAMES[name]} {verdict}: the distortion is within "
                f"{100 * worst:.2g} % of the spectrum's tail, {short(float(rows[0]['theory_distortion']))}; the "
                f"penalty ends at {penalty}.",
                f"largest relative deviation {worst:.2g}, wanted at most {WITHIN}; ranges over the starts",
                named("r1_autoencoder", len(rows), matching=name),
            )
        )
    return out


def summary(vae: list[Row]) -> list[Row]:
    """Means over the starts beside the closed form."""
    out: list[Row] = []
    for beta in BETAS:
        rows = where(vae, beta=beta)
        row: Row = {"β": beta}
        for name in ("rate", "distortion"):
            row[name] = f"{np.mean([float(row[name]) for row in rows]):.4f}"
            row[f"{name}, closed form"] = f"{float(rows[0][f'theory_{name}']):.4f}"
        row["units"] = str(sorted({int(row["active_units"]) for row in rows}))[1:-1]
        row["units, closed form"] = rows[0]["theory_units"]
        row["server's share of a step"] = f"{np.mean([float(row['server_share']) for row in rows]):.0%}"
        out.append(row)
    return out


def draw(results: list[Result], vae: list[Row]) -> Picture:
    """The curve with the trainings on it, and the axes above the water."""
    figure, ((curve, axes),) = style.figure(1, 2, height=2.9)
    draw_curve(curve, vae)
    variances = r1_cells.spectrum()[: r1_cells.AXES]
    place = np.arange(1, r1_cells.AXES + 1)
    for beta, colour, marker in zip((1, 4, 10), style.COLOURS, style.MARKERS, strict=False):
        theory = 0.5 * np.log(np.maximum(variances / (beta * r1_cells.NOISE), 1))
        axes.step(place, theory, where="mid", color=colour, linewidth=1, alpha=0.8)
        found = [r.arrays["per_axis"] for r in results if r.cell.kind == "vae" and r.cell.params["beta"] == beta]
        axes.plot(place, np.mean(found, 0), marker, color=colour, markersize=4.5, label=f"β = {beta}")
    axes.set(xlabel="latent dimension, in the order of its KL", ylabel="KL of the dimension (nats)", xticks=place)
    style.legend(axes)
    caption = (
        "Left: rate against distortion; the line is reverse water-filling, each marker one training from random "
        "weights. Right: what each latent dimension carries (markers, means over the trainings) and the closed form "
        "½ log(λ/θ) (steps): an axis whose variance is below the water carries nothing."
    )
    return Picture("r1_water", figure, caption)


def draw_curve(ax: Axes, vae: list[Row]) -> None:
    """Rate against distortion, theory and trainings."""
    theory = np.array([r1_cells.water_filling(theta)[:2] for theta in np.geomspace(0.03, 1.2, 60)])
    ax.plot(theory[:, 1], theory[:, 0], color=style.BLACK, label="closed form")
    for beta, colour, marker in zip(BETAS, style.COLOURS, style.MARKERS, strict=False):
        rows = where(vae, beta=beta)
        x, y = ([float(row[name]) for row in rows] for name in ("distortion", "rate"))
        ax.plot(x, y, marker, color=colour, markersize=5.5, markerfacecolor="none", label=f"β = {beta}")
    ax.set(xlabel="distortion (squared error, summed over pixels)", ylabel="rate (nats)")
    style.legend(ax)


PART = Part(
    "r1",
    "R1. Where the truth is known",
    (r1_cells, timed),
    r1_cells.compute,
    plan,
    section,
    {"quick": 40, "default": 240, "full": 240},
)
