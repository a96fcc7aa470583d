"""The pictures of R2."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from study import style
from study.cells import Result, Row
from study.part import Picture, where


def frontier(rows: list[Row], dimension: int) -> Picture:
    """Reconstruction against samples, and the width of the codes against samples."""
    figure, ((left, right),) = style.figure(1, 2, height=3.6, sharey=True)
    names = list(dict.fromkeys(str(row["regulariser"]) for row in rows))
    for name, colour, marker in zip(names, style.COLOURS, style.MARKERS, strict=False):
        used = where(rows, regulariser=name)
        look: dict[str, Any] = {"color": colour, "marker": marker, "label": name}
        path(left, used, "reconstruction", look)
        path(right, used, "code_std", look)
    left.set(
        yscale="log",
        xlabel="error of reconstruction (summed over pixels)",
        ylabel="Fréchet distance of prior samples",
    )
    low, high = left.get_ylim()
    left.set_yticks([k * 10**e for e in range(4) for k in (1, 2, 3, 5) if low <= k * 10**e <= high])
    left.yaxis.set_major_formatter("{x:g}")
    left.minorticks_off()
    right.axvline(1, color=style.GREY, linewidth=0.8, linestyle=":")
    right.set_xlabel("standard deviation of the codes (prior: 1)")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    caption = (
        f"D = {dimension}. Each marker is a weight, lines go from the smallest to the largest, bars are the range over "
        "the seeds. Left: the frontier, better to the lower left. Right: the width of the codes that goes with it."
    )
    return Picture(f"r2_frontier_{dimension}", figure, caption)


def path(ax: Axes, rows: list[Row], key: str, look: dict[str, Any]) -> None:
    """One regulariser's settings, each with its range."""
    at = []
    for weight in sorted({float(row["weight"]) for row in rows}):
        used = where(rows, weight=weight)
        x, y = (np.array([float(row[name]) for row in used]) for name in (key, "frechet"))
        at.append((x.mean(), y.mean(), x.mean() - x.min(), x.max() - x.mean(), y.mean() - y.min(), y.max() - y.mean()))
    x, y, left, right, below, above = np.array(at).T
    ax.errorbar(x, y, xerr=[left, right], yerr=[below, above], markersize=4.5, capsize=1.5, linewidth=1, **look)


def samples(results: list[Result], dimension: int) -> Picture:
    """Decoded draws of the prior, a row for each regulariser, at the middle weight."""
    kept = [r for r in results if r.arrays and r.cell.params["D"] == dimension]
    shown = {}
    for name in dict.fromkeys(str(r.cell.params["regulariser"]) for r in kept):
        own = sorted((r for r in kept if r.cell.params["regulariser"] == name), key=lambda r: r.cell.params["weight"])
        shown[name] = own[len(own) // 2].arrays["samples"]
    grid = np.stack([kept[0].arrays["images"], *shown.values()])
    side = round(grid.shape[2] ** 0.5)
    figure, ((ax,),) = style.figure(1, 1, height=0.48 * len(grid) + 0.2)
    ax.imshow(style.tile(grid, side), cmap="gray", vmin=0, vmax=1)
    ax.set_yticks((np.arange(len(grid)) + 0.5) * (side + 1) - 1, ["held-out images", *shown])
    ax.set_xticks([])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    caption = (
        f"Decoded draws of N(0, I), D = {dimension}, the middle weight of each regulariser, first seed, same draws."
    )
    return Picture(f"r2_samples_{dimension}", figure, caption)
