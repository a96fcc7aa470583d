"""The pictures of R4."""

from __future__ import annotations

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Circle

from study import r4_maps, style
from study.cells import Result
from study.part import Picture, Tables, where

EXTENT = 4.2  # of the plane that is shown
MARKS = {
    ("gaussian", "kl"): ("Gaussian, KL", style.BLUE, "o"),
    ("gaussian", "w1"): ("Gaussian, W1", style.SKY, "D"),
    ("histogram", "kl"): ("histogram, KL", style.VERMILION, "s"),
    ("histogram", "w1"): ("histogram, W1", style.ORANGE, "^"),
}


def kept(results: list[Result], kind: str, **params: object) -> list[Result]:
    """Returns the results of a kind with these parameters that have arrays."""
    fits = (r for r in results if r.cell.kind == kind and r.arrays)
    return [r for r in fits if all(r.cell.params[name] == value for name, value in params.items())]


def bumps(results: list[Result]) -> Picture:
    """The bumps before and after the bins are permuted, and what W1 makes of it."""
    figure, axes = style.figure(1, 3, height=2.5, width_ratios=[1, 1, 1.3])
    own, permuted = kept(results, "bumps", seed=0)[0], kept(results, "bumps", seed=1)[0]
    for ax, result, title in zip(axes[0], (own, permuted), ("bins in order", "bins permuted"), strict=False):
        ax.imshow(result.arrays["posteriors"], cmap="Greys", aspect="auto", interpolation="nearest")
        ax.set(xlabel="bin", title=f"{title}\nKL = {float(result.rows[0]['kl']):.4f}")
    axes[0, 0].set_ylabel("posterior (row)")
    count = own.arrays["posteriors"].shape[0]
    apart = np.concatenate([np.arange(1, count - k) for k in range(count - 1)])
    styles = ((permuted, style.VERMILION, "permuted"), (own, style.BLUE, "in order"))
    for result, colour, label in styles:
        r = float(result.rows[0]["correlation"])
        w1 = result.arrays["w1"]
        axes[0, 2].scatter(apart, w1, s=2, color=colour, alpha=0.4, linewidths=0, label=f"{label}: r = {r:.2f}")
    axes[0, 2].set(xlabel="distance of two bumps (bins)", ylabel="W1 between them (bins)", title="all pairs")
    style.legend(axes[0, 2], markerscale=4)
    caption = (
        "Every posterior is a bump of five bins. Permuting the bins changes no KL, and takes from W1 between two "
        "posteriors what it knew of their distance."
    )
    return Picture("r4_bumps", figure, caption)


def heads(results: list[Result], tables: Tables) -> Picture:
    """Correlations of all heads, and the histograms of held-out digits."""
    figure, axes = style.figure(1, 3, height=3.2, width_ratios=[1.7, 1, 1])
    rows = [row for row in tables["r4_heads"] if row["data"] == "digits"]
    left = axes[0, 0]
    groups = list(dict.fromkeys((r["head"], r["regulariser"], r["weight"], r["stress"]) for r in rows))
    names = []
    for place, (head, regulariser, weight, stress) in enumerate(groups):
        used = where(rows, head=head, regulariser=regulariser, weight=weight, stress=stress)
        label, colour, marker = MARKS[str(head), str(regulariser)]
        left.plot([float(r["correlation"]) for r in used], [place] * len(used), marker, color=colour, markersize=4)
        if head == "histogram":
            left.plot([float(r["shuffled"]) for r in used], [place] * len(used), "x", color=style.GREY, markersize=3)
        names.append(f"{label} {weight:g}" + (" + stress" if stress else ""))
    left.set_yticks(range(len(names)), names)
    left.invert_yaxis()
    left.set(xlabel="correlation of W1 between posteriors\nwith the images' distance", xlim=(-0.1, 1))
    left.grid(axis="y", linewidth=0.3)
    handles = [Line2D([], [], marker="x", linestyle="", color=style.GREY, markersize=4, label="bins shuffled")]
    left.legend(handles=handles, frameon=False, loc="lower right")
    for ax, stress, title in zip(axes[0, 1:], (0.0, 1.0), ("KL", "KL + stress"), strict=True):
        result = kept(results, "heads", regulariser="kl", stress=stress)[0]
        order = np.argsort(result.arrays["labels"], kind="stable")
        shown = np.sqrt(result.arrays["posteriors"][order])
        ax.imshow(shown, cmap="Greys", aspect="auto", interpolation="nearest", vmin=0, vmax=1)
        cuts = np.searchsorted(result.arrays["labels"][order], np.arange(11))
        ax.set_yticks((cuts[1:] + cuts[:-1]) / 2, [str(k) for k in range(10)])
        for cut in cuts[1:-1]:
            ax.axhline(cut - 0.5, color=style.SKY, linewidth=0.5)
        ax.set(xlabel="bin", title=title)
    axes[0, 1].set_ylabel("held-out digits, by class")
    caption = (
        "Left: each marker is a training, the number the regulariser's weight; crosses are the same histograms with "
        "shuffled bins. Right: posteriors over the 64 bins (root of the mass, first seed), with KL alone and with the "
        "stress of W1 beside it."
    )
    return Picture("r4_heads", figure, caption)


def maps(results: list[Result], name: str) -> Picture:
    """The means of held-out images, by class, for each objective."""
    figure, axes = style.figure(2, 2, height=6.4, sharex=True, sharey=True)
    for ax, objective in zip(axes.flat, r4_maps.OBJECTIVES, strict=True):
        result = kept(results, "map", data=name, objective=objective)[0]
        means, labels = result.arrays["means"], result.arrays["labels"]
        ax.scatter(means[:, 0], means[:, 1], c=[style.CLASSES[k] for k in labels], s=7, linewidths=0, alpha=0.8)
        for radius in (1, 2):
            ax.add_patch(Circle((0, 0), radius, fill=False, color=style.BLACK, linewidth=0.8, linestyle="--"))
        row = result.rows[0]
        numbers = f"stress {float(row['stress']):.2f}, trustworthiness {float(row['trustworthiness']):.2f}"
        ax.set(title=f"{objective}\n{numbers}", xlim=(-EXTENT, EXTENT), ylim=(-EXTENT, EXTENT), aspect="equal")
    for ax in axes[1]:
        ax.set_xlabel("$z_1$")
    for ax in axes[:, 0]:
        ax.set_ylabel("$z_2$")
    handles = [
        Line2D([], [], marker="o", linestyle="", markersize=4, color=colour, label=str(k))
        for k, colour in enumerate(style.CLASSES)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=10, frameon=False, title="class")
    caption = (
        f"Means of held-out images ({name}), first seed. Circles: one and two standard deviations of the prior. What "
        "leaves the frame is not shown."
    )
    return Picture(f"r4_maps_{name}", figure, caption)


def strips(results: list[Result], name: str) -> Picture:
    """Straight ways between the codes of two images."""
    shown = {o: kept(results, "map", data=name, objective=o)[0].arrays["strips"] for o in r4_maps.OBJECTIVES}
    pairs, frames, pixels = next(iter(shown.values())).shape
    side = round(pixels**0.5)
    figure, axes = style.figure(pairs, 1, height=2.2 * pairs)
    for k, ax in enumerate(axes[:, 0]):
        grid = np.stack([images[k] for images in shown.values()])
        ax.imshow(style.tile(grid, side), cmap="gray", vmin=0, vmax=1)
        ax.set_yticks((np.arange(len(shown)) + 0.5) * (side + 1) - 1, list(shown))
        ax.set_xticks([side / 2, (frames - 0.5) * (side + 1)], ["image", "image"])
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        ax.set_title(f"from class {r4_maps.PAIRS[k][0]} to class {r4_maps.PAIRS[k][1]}")
    caption = (
        f"Straight ways in the latent plane, decoded ({name}, first seed), between the codes of two held-out images, "
        "which stand at the ends."
    )
    return Picture(f"r4_strips_{name}", figure, caption)
