"""Plots of the numbers: time and memory against the number of points, both axes logarithmic, a line per library."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

Lines = dict[str, list[tuple[float, float]]]

_COLOURS = {"kantor": "#c0392b", "SamplesLoss": "#2c7fb8", "SamplesLoss online": "#41b6c4", "OTT": "#756bb1"}


def draw(results: dict[str, Any], folder: Path) -> list[tuple[str, str]]:
    """Draws what there are numbers for; returns the file names, each with what it shows."""
    drawn = []
    dims = sorted({row["dim"] for row in results["rows"] if row["kind"] == "same work"})
    for dim in dims:
        name, title = f"performance_time_{dim}.png", f"Value and gradient, the same work, D={dim}"
        _plot(_times(results["rows"], dim), title, "milliseconds", folder / name)
        drawn.append((name, title))
    memory = _memory(results["rows"])
    if memory:
        name, title = "performance_memory.png", "Peak resident memory above what it was before the problem, D=32"
        _plot(memory, title, "MiB", folder / name)
        drawn.append((name, title))
    return drawn


def _times(rows: list[dict[str, Any]], dim: int) -> Lines:
    lines: Lines = defaultdict(list)
    for row in rows:
        if row["kind"] == "same work" and row["dim"] == dim:
            for library, timing in row["ms"].items():
                lines[library].append((row["n"], timing["median"]))
    return lines


def _memory(rows: list[dict[str, Any]]) -> Lines:
    lines: Lines = defaultdict(list)
    for row in rows:
        if row["kind"] == "growth":
            lines["kantor"].append((row["n"], row["peak_mib"] - row["idle_mib"]))
        elif row["kind"] == "memory" and "peak_mib" in row:
            lines[row["library"]].append((row["n"], row["peak_mib"] - row["small_mib"]))
    # Less than a page's worth of growth has no logarithm worth drawing.
    return {library: [(n, mib) for n, mib in points if mib > 0.1] for library, points in lines.items()}


def _plot(lines: Lines, title: str, unit: str, path: Path) -> None:
    figure, axes = pyplot.subplots(figsize=(6.4, 4.2), layout="constrained")
    for library, points in lines.items():
        if points:
            xs, ys = zip(*sorted(points), strict=True)
            axes.plot(xs, ys, marker="o", label=library, color=_COLOURS.get(library))
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel("N = M")
    axes.set_ylabel(unit)
    axes.set_title(title, fontsize=11)
    axes.grid(True, which="major", alpha=0.3)
    axes.legend(frameon=False)
    # Without the date that matplotlib writes, the same numbers give the same file.
    figure.savefig(path, dpi=120, metadata={"Software": None})
    pyplot.close(figure)
