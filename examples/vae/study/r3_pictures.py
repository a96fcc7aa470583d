"""The pictures of R3, and the slopes that they and its conclusions share."""

from __future__ import annotations

import numpy as np

from study import style
from study.cells import Row
from study.part import Picture, Tables, where

DISTANCES = {
    "w1": "W1",
    "sinkhorn": "the root of S, ε = .1 D/12",
    "energy": "the root of the energy distance",
    "mmd": "the root of MMD² (Gaussian kernel)",
}
LINES = (
    ("transport", 0.0, style.BLUE, "exact"),
    ("sinkhorn", 0.1, style.SKY, "S, ε = .1 D"),
    ("sinkhorn", 0.5, style.GREEN, "S, ε = .5 D"),
    ("transport split", 0.0, style.VERMILION, "exact, split"),
    ("sinkhorn split", 0.1, style.ORANGE, "S split, ε = .1 D"),
    ("energy", 0.0, style.PURPLE, "energy"),
)


def slopes(rows: list[Row], name: str, d: int) -> list[float]:
    """Slopes of log distance against log n in D dimensions, one for each seed."""
    out = []
    for seed in dict.fromkeys(row["seed"] for row in rows):
        found = where(rows, D=d, seed=seed)
        n, value = ([float(row[key]) for row in found] for key in ("n", name))
        out.append(float(np.polyfit(np.log(n), np.log(value), 1)[0]))
    return out


def slope(rows: list[Row], name: str, d: int) -> float:
    """Their mean."""
    return float(np.mean(slopes(rows, name, d)))


def scales(tables: Tables) -> Picture:
    """The preferred scale against D at N = 128, and against N at D = 8."""
    rows = tables["r3_scale"]
    figure, axes = style.figure(1, 2, height=3.1, sharey=True)
    for ax, fixed, free, label in (
        (axes[0, 0], {"N": 128}, "D", "dimension D (N = 128)"),
        (axes[0, 1], {"D": 8}, "N", "points in a batch N (D = 8)"),
    ):
        for (loss, per, colour, name), marker in zip(LINES, style.MARKERS, strict=False):
            used = where(rows, loss=loss, per_dimension=per, **fixed)
            at = sorted({int(row[free]) for row in used})
            found = [np.array([float(row["scale"]) for row in where(used, **{free: k})]) for k in at]
            mean = [values.mean() for values in found]
            spread = np.array([[m - v.min(), v.max() - m] for m, v in zip(mean, found, strict=True)]).T
            ax.errorbar(at, mean, yerr=spread, color=colour, marker=marker, markersize=4, capsize=2, label=name)
        used = [row for row in tables["r3_match"] if all(row[k] == v for k, v in fixed.items())]
        at = sorted({int(row[free]) for row in where(rows, **fixed)})
        theory = [np.mean([float(r["c"]) / float(r["D"]) for r in where(used, **{free: k})]) for k in at]
        ax.plot(at, theory, "--", color=style.BLACK, linewidth=1, zorder=5, label="theory: c/D and 1")
        ax.axhline(1, linestyle="--", color=style.BLACK, linewidth=1)
        ax.set_xscale("log", base=2)
        ax.set_xticks(at, [str(k) for k in at])
        ax.set_xlabel(label)
    axes[0, 0].set(ylabel="preferred scale of the codes (truth: 1)", ylim=(0, 1.15))
    style.legend(axes[0, 1], loc="lower right")
    caption = (
        "The width of the codes that minibatches prefer, over the right one. Bars: range over the seeds. Dashed: "
        "theory, c_N/D for exact transport, measured on other samples, and 1 for split batches."
    )
    return Picture("r3_scales", figure, caption)


def curve(tables: Tables, size: tuple[int, int]) -> Picture:
    """Mean losses against the scale, with what theory says."""
    d, n = size
    figure, ((ax,),) = style.figure(1, 1, height=2.9)
    s = np.linspace(0.15, 1.65, 100)
    c, half = (np.mean([float(r["c"]) for r in where(tables["r3_match"], D=d, N=k)]) for k in (n, n // 2))
    theory = {"transport": d / 2 * (s**2 + 1) - s * c, "transport split": half / 2 * (s - 1) ** 2}
    marks = (("transport", style.BLUE, "o", "exact transport"), ("transport split", style.VERMILION, "s", "split"))
    for loss, colour, marker, name in marks:
        rows = where(tables["r3_curve"], loss=loss)
        at = sorted({float(row["scale"]) for row in rows})
        found = [np.array([float(row["value"]) for row in where(rows, scale=k)]) for k in at]
        mean = np.array([values.mean() for values in found])
        spread = np.array([[m - v.min(), v.max() - m] for m, v in zip(mean, found, strict=True)]).T
        ax.plot(s, theory[loss], "--", color=colour, linewidth=1)
        ax.plot(s[np.argmin(theory[loss])], theory[loss].min(), "*", color=colour, markersize=9)
        ax.errorbar(at, mean, yerr=spread, color=colour, marker=marker, linestyle="", markersize=4, label=name)
    ax.axvline(1, color=style.GREY, linewidth=0.8, linestyle=":")
    ax.set(xlabel="scale s of the codes (truth: 1, dotted)", ylabel="mean loss (units of ½|x-y|²)")
    ax.set_title(f"D = {d}, N = {n}")
    style.legend(ax, loc="upper center")
    caption = (
        "Mean loss of batches of s·g against batches of N(0, I); markers are measured (bars: range over the seeds), "
        "dashed lines theory, stars their least: ½D(s²+1) - s c_N, and ½c_(N/2) (s-1)² with split batches."
    )
    return Picture("r3_curve", figure, caption)


def rates(tables: Tables) -> Picture:
    """Distances against n for the most and the fewest dimensions, and slopes against D."""
    rows = tables["r3_rate"]
    dimensions = sorted({int(row["D"]) for row in rows})
    figure, axes = style.figure(1, 2, height=3.1)
    left, right = axes[0]
    d = dimensions[-1]
    for (name, label), colour, marker in zip(DISTANCES.items(), style.COLOURS, style.MARKERS, strict=False):
        at = sorted({int(row["n"]) for row in rows})
        mean = [np.mean([float(row[name]) for row in where(rows, D=d, n=n)]) for n in at]
        left.plot(at, mean, color=colour, marker=marker, markersize=4, label=label)
        found = [np.array(slopes(rows, name, k)) for k in dimensions]
        middle = np.array([values.mean() for values in found])
        spread = np.array([[m - v.min(), v.max() - m] for m, v in zip(middle, found, strict=True)]).T
        right.errorbar(dimensions, middle, yerr=spread, color=colour, marker=marker, markersize=4, capsize=2)
    many = np.linspace(2.1, dimensions[-1], 50)
    right.plot(many, -1 / many, "--", color=style.BLACK, linewidth=1, label="-1/D, W1 for large n")
    right.axhline(-0.5, linestyle=":", color=style.BLACK, linewidth=1, label="-½")
    left.set(xscale="log", yscale="log", xlabel="samples n", ylabel="distance between two samples")
    left.set_title(f"U[0,1]^{d}")
    left.set_xticks(at, [str(n) for n in at])
    left.minorticks_off()
    right.set(xlabel="dimension D", ylabel="slope of log distance against log n")
    style.legend(left, loc="lower left")
    left.set_ylim(bottom=0.1 * left.get_ylim()[0])
    style.legend(right, loc="upper left")
    caption = (
        f"Distances between two samples of one distribution, whose true distance is 0. Left: in {d} dimensions. "
        "Right: how fast they fall (bars: range over the seeds). Roots of kernel discrepancies fall as n^-½ in any "
        "dimension, W1 ever more slowly."
    )
    return Picture("r3_rates", figure, caption)
