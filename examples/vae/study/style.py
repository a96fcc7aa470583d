"""How pictures look: one column wide, in colours that the colour-blind can tell apart."""

from __future__ import annotations

import io
from typing import Any

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Of Okabe and Ito (2008).
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK, YELLOW = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7"),
    *("#E69F00", "#56B4E9", "#000000", "#F0E442"),
)
GREY = "#777777"
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK, YELLOW)
# Ten classes want ten colours: Paul Tol's "muted" scheme and grey.
CLASSES = (
    *("#332288", "#88CCEE", "#44AA99", "#117733", "#999933"),
    *("#DDCC77", "#CC6677", "#882255", "#AA4499", "#777777"),
)
MARKERS = "os^Dv<>P"
WIDTH = 6.4  # inches; a page's column shows it at about this size
DPI = 140

matplotlib.rcParams.update(
    {
        **{"font.size": 8.5, "axes.labelsize": 8.5, "axes.titlesize": 9, "legend.fontsize": 7.5},
        **{"lines.linewidth": 1.3, "xtick.labelsize": 7.5, "ytick.labelsize": 7.5},
        **{"axes.spines.top": False, "axes.spines.right": False},
    }
)


def figure(rows: int = 1, columns: int = 1, height: float = 2.8, **options: Any) -> tuple[Figure, np.ndarray]:
    """Returns a figure of the column's width and its axes, [rows, columns]."""
    made: Figure
    axes: np.ndarray
    size = (WIDTH, height)
    made, axes = pyplot.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False, **options)
    return made, axes


def legend(ax: Axes, **options: Any) -> None:
    """Puts a legend without a frame."""
    ax.legend(frameon=False, **options)


def png(made: Figure) -> bytes:
    """Returns a figure as a PNG and closes it."""
    out = io.BytesIO()
    # Without the version of matplotlib, so that the same numbers give the same file.
    made.savefig(out, dpi=DPI, metadata={"Software": None})
    pyplot.close(made)
    return out.getvalue()


def tile(images: np.ndarray, side: int) -> np.ndarray:
    """Returns images [rows, columns, pixels], 0 to 1, as one, dark on light."""
    rows, columns, _ = images.shape
    padded = np.ones((rows, columns, side + 1, side + 1))
    padded[:, :, :side, :side] = 1 - np.clip(images, 0, 1).reshape(rows, columns, side, side)
    tiled: np.ndarray = padded.transpose(0, 2, 1, 3).reshape(rows * (side + 1), -1)
    return tiled
