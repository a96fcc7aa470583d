"""Pictures of plans, potentials, convergence, the shrinking of codes and a training, with matplotlib.

    import kantor.plot

    result = client.evaluate(kantor.Transport(), source=x, target=y, extras="transport.plan")
    kantor.plot.plan(x, y, result).figure.savefig("plan.png")

Each function draws into the `ax` that it is given, without pyplot, or into a new figure as wide as a column of 8 cm,
and returns its Axes. The colours are those of Okabe and Ito, which the colour-blind can tell apart.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kantor import _canvas, _client, _codec
from kantor._errors import InvalidArgumentError
from kantor._inputs import Measure
from kantor._results import Evaluation, Plan, Potentials, TermResult
from kantor._terms import Sinkhorn, Transport

try:
    from matplotlib.collections import LineCollection
    from matplotlib.colors import to_rgba
except ImportError as _error:
    raise ImportError("kantor.plot needs matplotlib: pip install kantor[plot]") from _error

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from kantor._client import Client
    from kantor._inputs import Input
    from kantor._pair import Floats

_SLOW = 2.0  # seconds after which it is said how far it is
_LIMITS = [int(k) for k in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)]


def plan(
    x: Input,
    y: Input,
    plan: Plan | Evaluation | TermResult | Any,
    *,
    matrix: bool = False,
    least: float = 0.01,
    ax: Axes | None = None,
) -> Axes:
    """Draws where mass goes: a line between two points for each entry of a plan, the more opaque the more mass.

    Points of more than two dimensions are drawn by the first two principal components of both clouds together, and the
    axes say so; those on a line with the source above the target.

    Args:
        x: the source, points [N, D] or a Measure.
        y: the target, likewise.
        plan: a result with the extra `plan`, that Plan, or a matrix [N, M].
        matrix: draws it as a matrix instead, its points in the order of the first principal component.
        least: entries with less than this part of the largest one's mass are left out.
        ax: where to draw; None: a new figure.
    """
    source, target = _points(x, "x"), _points(y, "y")
    rows, columns, mass = _entries(plan, len(source), len(target))
    ax = _canvas.new() if ax is None else ax
    flat = _canvas.plane(source, target, ax)
    if matrix:
        dense = np.zeros((len(source), len(target)))
        np.add.at(dense, (rows, columns), mass)
        orders = [np.argsort(points[:, 0], kind="stable") for points in flat]
        image = ax.imshow(dense[np.ix_(*orders)], cmap="cividis", aspect="auto", origin="lower")
        ax.set(xlabel="target points, in that order", ylabel="source points, by " + ax.get_xlabel().partition(" (")[0])
        _canvas.bar(ax, image, "mass")
        _canvas.small(ax)
        return ax
    drawn = mass >= least * mass.max(initial=0)
    segments = np.stack([flat[0][rows[drawn]], flat[1][columns[drawn]]], axis=1)
    colours = np.tile(to_rgba(_canvas.GREY), (len(segments), 1))
    colours[:, 3] = 0.8 * mass[drawn] / mass.max(initial=0)
    ax.add_collection(LineCollection(list(segments), colors=colours, linewidths=0.7, zorder=1))
    _canvas.clouds(ax, flat)
    return ax


def potentials(x: Input, y: Input, potentials: Potentials | Evaluation | TermResult, *, ax: Axes | None = None) -> Axes:
    """Draws the points coloured by their potentials, what a little more mass there would add to the value.

    Those of a divergence with self terms are the differences f - f_self and g - g_self, its gradients in the weights.
    More than two dimensions are drawn as by plan.

    Args:
        x: the source, points [N, D] or a Measure.
        y: the target, likewise.
        potentials: a result with the extra `potentials`, or those.
        ax: where to draw; None: a new figure.
    """
    source, target = _points(x, "x"), _points(y, "y")
    found = _extra(potentials, Potentials, "potentials")
    f, g = np.asarray(found.source), np.asarray(found.target)
    label = "potential (units of the cost)"
    if found.source_self is not None and found.target_self is not None:
        f, g = f - found.source_self, g - found.target_self
        label = "potential less self term\n(units of the cost)"
    if f.shape != (len(source),) or g.shape != (len(target),):
        raise InvalidArgumentError(
            "potentials", f"have the shapes {f.shape} and {g.shape}, want ({len(source)},) and ({len(target)},)"
        )
    ax = _canvas.new() if ax is None else ax
    both = np.concatenate([f, g])
    shade = {"cmap": "cividis", "vmin": float(both.min()), "vmax": float(both.max())}
    marks = _canvas.clouds(ax, _canvas.plane(source, target, ax), [{"c": f, **shade}, {"c": g, **shade}])
    _canvas.bar(ax, marks, label)
    return ax


def convergence(
    x: Input,
    y: Input,
    term: Sinkhorn | None = None,
    client: Client | None = None,
    *,
    most: int = 1024,
    seed: int = 0,
    axes: tuple[Axes, Axes] | None = None,
) -> tuple[Axes, Axes]:
    """Draws how a solver comes closer: value and bounds against iterations, and below what is left to do.

    The problem is solved again and again with a rising `max_iterations`, until it converges. Below stand, on a
    logarithmic axis, the marginal error and the gap, the width of the interval over the value.

    Args:
        x: the source, as in Client.evaluate.
        y: the target, likewise.
        term: what is solved; one without a tolerance or gap of its own goes to a marginal error of 1e-6. None:
            Sinkhorn().
        client: that solves; None: one that all calls without a client share.
        most: iterations at which it stops trying.
        seed: as in Client.evaluate.
        axes: where to draw, above and below; None: a new figure.
    """
    client, term = client or _client.shared(), term or Sinkhorn()
    if term.tolerance is None and term.gap is None:
        term = replace(term, tolerance=1e-6)
    found: dict[int, tuple[float, float, float, float]] = {}
    for limit in (k for k in _LIMITS if k <= most):
        limited = replace(term, max_iterations=limit, without_interval=False)
        result = client.evaluate(limited, {term.source: x, term.target: y}, seed=seed)
        (one,) = result.terms.values()
        assert one.solve is not None
        bounds = (one.interval.lower, one.interval.upper) if one.interval else (np.nan, np.nan)
        found[limit] = (one.value, *bounds, one.solve.marginal_error)
        if one.solve.converged:
            break
    iterations = sorted(found)
    value, lower, upper, error = np.array([found[k] for k in iterations]).T
    above, below = _canvas.two() if axes is None else axes
    above.fill_between(iterations, lower, upper, color=_canvas.BLUE, alpha=0.25, linewidth=0, label="bounds")
    above.plot(iterations, value, color=_canvas.BLUE, linewidth=1.2, marker="o", markersize=3, label="value")
    above.set_ylabel("value (units of the cost)")
    # The first bounds are so wide that nothing else would be seen.
    late = slice(len(iterations) // 3, None)
    low, high = np.nanmin([*lower[late], *value]), np.nanmax([*upper[late], *value])
    margin = 0.1 * (high - low) or 1e-12 + 0.1 * abs(high)
    above.set_ylim(low - margin, high + margin)
    below.plot(
        iterations, error, color=_canvas.VERMILION, linewidth=1.2, marker="o", markersize=3, label="marginal error"
    )
    gap = (upper - lower) / np.maximum(np.abs(value), np.finfo(float).tiny)
    below.plot(iterations, gap, color=_canvas.GREEN, linewidth=1.2, marker="^", markersize=3, label="gap")
    below.set(xlabel="iterations, at most", ylabel="relative", yscale="log")
    for ax in (above, below):
        ax.set_xscale("log", base=2)
        ax.xaxis.set_major_formatter("{x:g}")
        _canvas.legend(ax)
        _canvas.small(ax)
    return above, below


def shrink(
    dimension: int = 8,
    samples: int = 128,
    client: Client | None = None,
    *,
    blur: float | None = None,
    scales: Iterable[float] | None = None,
    batches: int = 8,
    seed: int = 0,
    ax: Axes | None = None,
) -> Axes:
    """Draws what a training on minibatches makes of the width of codes: the mean loss of codes s·g against their scale.

    g and the target are batches from N(0, I), so that 1 is right. With self terms the least is at a smaller scale, with
    split batches at 1. Dotted lines are at what is expected: what the server's warning SELF_SHRINKS says, and 1. With
    `blur=0` it is exact transport, which has no self terms, and the dashed curves are what theory gives above their
    least: ½D(s - c/D)² and ½c'(s-1)², c and c' the mean inner products of matched points of batches of N and of N/2
    (docs/mathematics.md, "The shrink law").

    Args:
        dimension: D, of the codes.
        samples: N, even, of a batch.
        client: that computes; None: one that all calls without a client share.
        blur: of the Sinkhorn divergence; None: the server's default; 0: exact transport.
        scales: at which the loss is computed; None: 17 from 0.3 to 1.5.
        batches: pairs of batches of which the mean is taken, each in both orders.
        seed: of the batches.
        ax: where to draw; None: a new figure.
    """
    client = client or _client.shared()
    rng = np.random.default_rng(seed)
    g, y = rng.standard_normal((2, batches, samples, dimension))
    g, y = np.concatenate([g, y]), np.concatenate([y, g])
    s = np.linspace(0.3, 1.5, 17) if scales is None else np.array(sorted(scales), np.float64)
    ax = _canvas.new() if ax is None else ax
    own, split = Sinkhorn(blur=blur, without_interval=True), Sinkhorn(blur=blur, debias="split", without_interval=True)
    terms: dict[str, Sinkhorn | Transport] = {"self": own, "split": split}
    if blur == 0:
        terms = {"exact": Transport(), "split": Transport(debias="split")}
    curves = _means(client, terms, s, g, y, seed)
    expected = {"split": 1.0}
    if blur != 0:
        warned = client.evaluate(own, source=g[0], target=y[0], gradients="source.points").terms["sinkhorn"].warnings
        said = [w.message.partition(" times as wide")[0].split()[-1] for w in warned if w.code == "SELF_SHRINKS"]
        expected |= {"self": float(said[0])} if said else {}
    for (name, mean), colour, marker in zip(curves.items(), (_canvas.BLUE, _canvas.VERMILION), "o^", strict=True):
        scale, height = _least(s, mean)
        ax.plot(s, mean - height, color=colour, linewidth=1.2, label=f"{name}: least at {scale:.2f}")
        ax.plot([scale], [0], color=colour, marker=marker, markersize=6, linestyle="", clip_on=False, zorder=3)
        if name in expected:
            ax.axvline(expected[name], color=colour, linewidth=1, linestyle=":")
    if blur == 0:
        c, c_half = (dimension - _mean(client, Transport(), g[:, :n], y[:, :n]) for n in (samples, samples // 2))
        ax.plot(
            s,
            dimension / 2 * (s - c / dimension) ** 2,
            color="black",
            linewidth=0.8,
            linestyle="--",
            zorder=3,
            label="theory",
        )
        ax.plot(s, c_half / 2 * (s - 1) ** 2, color="black", linewidth=0.8, linestyle="--", zorder=3)
    ax.set(xlabel="scale s of the codes (1: the prior's)", ylabel="mean loss over its least\n(units of the cost)")
    ax.set_ylim(bottom=0)
    ax.set_title(f"D = {dimension}, N = {samples}", fontsize=_canvas.LABEL)
    _canvas.legend(ax)
    _canvas.small(ax)
    return ax


def report(
    history: Iterable[Mapping[str, float]],
    names: Iterable[str] | None = None,
    *,
    steps: Iterable[float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draws a training: the values of terms against steps, with their intervals as bands.

    A cross marks a value whose solver did not converge.

    Args:
        history: what kantor.torch.Loss.log() gave at each step.
        names: of the terms; None: all that have values.
        steps: at which they were taken; None: 0, 1, ...
        ax: where to draw; None: a new figure.
    """
    rows = list(history)
    keys = dict.fromkeys(key for row in rows for key in row)
    terms = [key[: -len(".value")] for key in keys if key.endswith(".value")] if names is None else list(names)
    at = np.arange(len(rows)) if steps is None else np.array(list(steps))
    if len(at) != len(rows):
        raise InvalidArgumentError("steps", f"are {len(at)}, want one for each of {len(rows)} rows")
    ax = _canvas.new() if ax is None else ax
    for i, name in enumerate(terms):
        if f"{name}.value" not in keys:
            have = ", ".join(key[: -len(".value")] for key in keys if key.endswith(".value"))
            raise InvalidArgumentError("names", f"has {name}, want terms of the history: {have or 'it has none'}")
        value, lower, upper = (_column(rows, f"{name}.{field}") for field in ("value", "lower", "upper"))
        colour = _canvas.COLOURS[i % len(_canvas.COLOURS)]
        if np.isfinite(lower).any():
            ax.fill_between(at, lower, upper, color=colour, alpha=0.25, linewidth=0)
        ax.plot(at, value, color=colour, linewidth=1.2, label=name)
        failed = _column(rows, f"{name}.converged") == 0
        if failed.any():
            ax.plot(at[failed], value[failed], color=colour, marker="x", markersize=5, linestyle="")
    ax.set(xlabel="step", ylabel="value (units of each loss)")
    _canvas.legend(ax)
    _canvas.small(ax)
    return ax


def _points(value: Input, name: str) -> Floats:
    points = value.points if isinstance(value, Measure) else value
    array = np.asarray(_codec.array(points, name), np.float64)
    if array.ndim != 2 or not array.size:
        raise InvalidArgumentError(name, f"has shape {list(array.shape)}, want [N, D]")
    return array


def _extra(given: Any, kind: type[Any], name: str) -> Any:
    """Returns an extra as it is, or that of the result that has one."""
    if isinstance(given, kind):
        return given
    terms = given.terms.values() if isinstance(given, Evaluation) else [given]
    found = [term.extras[name] for term in terms if isinstance(term, TermResult) and name in term.extras]
    if len(found) != 1:
        raise InvalidArgumentError(
            name,
            f"is {type(given).__name__} with {len(found)} of them, want a result of one term with the extra `{name}`",
        )
    return found[0]


def _entries(given: Any, n: int, m: int) -> tuple[Any, Any, Floats]:
    """Returns the rows, columns and masses of a plan."""
    if isinstance(given, Plan | Evaluation | TermResult):
        found = _extra(given, Plan, "plan")
        if found.sizes is not None:
            raise InvalidArgumentError("plan", "is of a batch, want that of one problem: one of plan.problems()")
        rows, columns, mass = found.source, found.target, np.asarray(found.mass)
        if mass.size and (rows.max() >= n or columns.max() >= m):
            raise InvalidArgumentError(
                "plan", f"goes from {rows.max() + 1} to {columns.max() + 1} points, got {n} and {m}"
            )
        return rows, columns, mass
    dense = np.asarray(given, np.float64)
    if dense.shape != (n, m):
        raise InvalidArgumentError("plan", f"has shape {list(dense.shape)}, want [{n}, {m}]")
    rows, columns = np.nonzero(dense > 0)
    return rows, columns, dense[rows, columns]


def _means(
    client: Client,
    terms: Mapping[str, Sinkhorn | Transport],
    scales: Floats,
    g: Floats,
    y: Floats,
    seed: int,
) -> dict[str, Floats]:
    """The mean of each term over the pairs of batches at each scale; says how far it is where that takes long."""
    means: dict[str, list[float]] = {name: [] for name in terms}
    start = time.monotonic()
    for done, s in enumerate(scales):
        for name, term in terms.items():
            means[name].append(_mean(client, term, s * g, y, seed))
        if time.monotonic() - start > _SLOW:
            print(f"kantor.plot.shrink: {done + 1} of {len(scales)} scales", file=sys.stderr)
            start = time.monotonic()
    return {name: np.array(values) for name, values in means.items()}


def _mean(client: Client, term: Sinkhorn | Transport, x: Floats, y: Floats, seed: int = 0) -> float:
    (result,) = client.evaluate(term, source=x, target=y, seed=seed).terms.values()
    return float(np.mean(result.values))


def _least(s: Floats, mean: Floats) -> tuple[float, float]:
    """Where a curve is least and how much: that of the parabola through the lowest point and its neighbours."""
    at = min(max(int(np.argmin(mean)), 1), len(s) - 2)
    a, b, c = np.polyfit(s[at - 1 : at + 2], mean[at - 1 : at + 2], 2)
    scale = float(np.clip(-b / (2 * a), s[0], s[-1])) if a > 0 else float(s[np.argmin(mean)])
    return scale, float(np.polyval([a, b, c], scale))


def _column(rows: Sequence[Mapping[str, float]], key: str) -> Floats:
    return np.array([row.get(key, np.nan) for row in rows])
