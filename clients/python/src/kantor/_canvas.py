"""Axes for kantor.plot: clouds in the plane, and sizes that can be read in a column of 8 cm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kantor._errors import InvalidArgumentError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from kantor._pair import Floats

# Of Okabe and Ito.
BLUE, VERMILION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"
COLOURS = (BLUE, VERMILION, GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LABEL, SMALL = 8, 7  # points
_COLUMN = 8 / 2.54  # inches


def plane(source: Floats, target: Floats, ax: Axes) -> tuple[Floats, Floats]:
    """Returns the points in the plane, and labels its axes."""
    if source.shape[1] != target.shape[1]:
        raise InvalidArgumentError("y", f"has dimension {target.shape[1]}, want that of x: {source.shape[1]}")
    if source.shape[1] == 1:
        ax.set(xlabel="coordinate (units of the points)", ylabel="", yticks=[0, 1], yticklabels=["target", "source"])
        return np.column_stack([source, np.ones(len(source))]), np.column_stack([target, np.zeros(len(target))])
    ax.set_aspect("equal", adjustable="datalim")
    if source.shape[1] == 2:
        ax.set(xlabel="coordinate 0 (units of the points)", ylabel="coordinate 1 (same units)")
        return source, target
    both = np.concatenate([source, target])
    centred = both - both.mean(axis=0)
    _, lengths, directions = np.linalg.svd(centred, full_matrices=False)
    # A sign is free: the largest component of each direction is made positive.
    directions = directions[:2] * np.sign(directions[np.arange(2), np.argmax(np.abs(directions[:2]), axis=1)])[:, None]
    shares = 100 * lengths**2 / max(float(np.sum(lengths**2)), np.finfo(float).tiny)
    ax.set_xlabel(f"principal component 1 of {source.shape[1]} ({shares[0]:.0f} %)")
    ax.set_ylabel(f"principal component 2 ({shares[1]:.0f} %)")
    flat = centred @ directions.T
    return flat[: len(source)], flat[len(source) :]


def clouds(ax: Axes, flat: tuple[Floats, Floats], shades: Sequence[Mapping[str, Any]] | None = None) -> Any:
    """Draws source and target, in colours of their own or in shades; returns the last."""
    marks = None
    for points, shade, marker, label in zip(
        flat, shades or [{"color": BLUE}, {"color": VERMILION}], "o^", ("source", "target"), strict=True
    ):
        style: dict[str, Any] = {"s": 14, "linewidths": 0.3, "edgecolors": "white", "zorder": 2, **shade}
        marks = ax.scatter(points[:, 0], points[:, 1], marker=marker, label=label, **style)
    # Above, where no point can be.
    ax.legend(fontsize=SMALL, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, borderaxespad=0)
    small(ax)
    return marks


def new() -> Axes:
    from matplotlib import pyplot

    return pyplot.subplots(figsize=(_COLUMN, 0.85 * _COLUMN), layout="constrained")[1]


def two() -> tuple[Axes, Axes]:
    from matplotlib import pyplot

    _, (above, below) = pyplot.subplots(2, 1, figsize=(_COLUMN, 1.15 * _COLUMN), layout="constrained", sharex=True)
    return above, below


def bar(ax: Axes, marks: Any, label: str) -> None:
    bar = ax.figure.colorbar(marks, ax=ax)
    bar.set_label(label, fontsize=LABEL)
    small(bar.ax)


def legend(ax: Axes) -> None:
    ax.legend(fontsize=SMALL, framealpha=0.8, edgecolor="none", handlelength=1.5)


def small(ax: Axes) -> None:
    """Sizes that can be read in a column of 8 cm."""
    ax.tick_params(labelsize=SMALL)
    for label in (ax.xaxis.label, ax.yaxis.label):
        label.set_fontsize(LABEL)
