"""One PNG: the codes, reconstructions and samples of each model, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib

matplotlib.use("Agg")
import matplotlib.patheffects as effects
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Circle

import model

if TYPE_CHECKING:
    from train import Run

# Paul Tol's "muted" scheme and grey: ten colours that the colour-blind can tell apart (https://personal.sron.nl/~pault).
COLOURS = ["#332288", "#88CCEE", "#44AA99", "#117733", "#999933", "#DDCC77", "#CC6677", "#882255", "#AA4499", "#777777"]
SIDE = 8  # pixels
EXTENT = 4.2  # of the latent plane that is shown
SHOWN = 10  # reconstructions


def draw(
    runs: list[Run],
    results: list[dict[str, float]],
    images: torch.Tensor,
    labels: np.ndarray,
    test: torch.Tensor,
    path: Path,
) -> Path:
    """Draws the picture, a column for each run and its row of the table, and returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(
        3, len(runs), figsize=(4.2 * len(runs), 8.9), height_ratios=[4.2, 0.98, 2.32], layout="constrained"
    )
    for column, (letter, run, result) in enumerate(zip("abc", runs, results, strict=False)):
        torch.manual_seed(2)
        with torch.no_grad():
            draw_codes(axes[0, column], run.model.encode(images).z.numpy(), labels)
            pair = torch.stack([test[:SHOWN], run.model.decode(run.model.encode(test[:SHOWN]).mean)])
            draw_images(axes[1, column], pair.numpy())
            draw_images(
                axes[2, column], run.model.decode(torch.randn(5 * SHOWN, model.LATENT)).numpy().reshape(5, SHOWN, -1)
            )
        axes[0, column].set_title(f"({letter}) {run.name}", fontsize=15, fontweight="bold", pad=22)
        numbers = f"reconstruction {result['reconstruction']:.2f}, energy distance to prior {result['prior match']:.3f}"
        axes[0, column].text(0.5, 1.02, numbers, transform=axes[0, column].transAxes, ha="center", fontsize=10)
        axes[1, column].set_title("held-out digits, and below each its reconstruction", fontsize=10)
        axes[2, column].set_title("decoded samples of the prior", fontsize=10)
    handles = [
        Line2D([], [], marker="o", ls="", color=colour, label=str(digit)) for digit, colour in enumerate(COLOURS)
    ]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=10,
        title="digit; circles: 1 and 2 standard deviations of the prior",
        frameon=False,
    )
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def draw_codes(axes: Axes, z: np.ndarray, labels: np.ndarray) -> None:
    """The codes by colour, with the digit written at the median of its own."""
    axes.scatter(z[:, 0], z[:, 1], c=[COLOURS[label] for label in labels], s=7, alpha=0.75, linewidths=0)
    for radius in (1, 2):
        axes.add_patch(Circle((0, 0), radius, fill=False, color="black", lw=1, ls="--"))
    for digit, colour in enumerate(COLOURS):
        x, y = np.median(z[labels == digit], axis=0)
        text = axes.text(
            x,
            y,
            str(digit),
            color=colour,
            fontsize=15,
            fontweight="bold",
            ha="center",
            va="center",
        )
        text.set_path_effects([effects.withStroke(linewidth=3, foreground="white")])
    axes.set(xlim=(-EXTENT, EXTENT), ylim=(-EXTENT, EXTENT), aspect="equal", xlabel="$z_1$", ylabel="$z_2$")


def draw_images(axes: Axes, images: np.ndarray) -> None:
    """A grid of images, [rows, columns, pixels]."""
    rows, columns, _ = images.shape
    padded = np.ones((rows, columns, SIDE + 1, SIDE + 1))
    padded[:, :, :SIDE, :SIDE] = 1 - images.reshape(rows, columns, SIDE, SIDE)
    axes.imshow(padded.transpose(0, 2, 1, 3).reshape(rows * (SIDE + 1), -1), cmap="gray", vmin=0, vmax=1)
    axes.axis("off")
