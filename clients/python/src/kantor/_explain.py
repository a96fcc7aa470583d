"""`kantor.explain`: looks at two clouds and says which loss suits them, in words and numbers."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from kantor import _client
from kantor._advice import Advice, Finding
from kantor._inputs import Measure
from kantor._pair import Pair, half_squared, look, nearest, variances
from kantor._terms import Debias, Sinkhorn

if TYPE_CHECKING:
    from kantor._client import Client
    from kantor._inputs import Input
    from kantor._pair import Floats, Marks
    from kantor._results import TermResult

_LOOKED_AT = 512  # points of each cloud, for what takes a time in the square of their number
_RELABELLINGS = 39  # of which none is above a value by chance once in 40
_TIMES = 5
_SEEDS = 8
_FAR = 6.0  # times what the nearest tenth of the distances lies above the median: 7 standard deviations of a normal
_FEW = 0.02  # of the points that may be far away without being a part of the cloud
_MUCH = 0.2  # of the value, or of the variance, that is theirs
_FARTHEST = 0.01  # of the points, whose share of the variance is 3 % and less for normal clouds of a hundred and more
_MATCHING = 1.5  # partners of a point under which a plan is hardly more than a matching
_DEBIASINGS: tuple[Debias, ...] = ("self", "split")
_ENOUGH_SECONDS = 1.0  # of repeating a step to time it
_UNIT = 5.0  # times the median axis' standard deviation that is another unit


def explain(x: Input, y: Input, client: Client | None = None, *, blur: float | None = None, seed: int = 0) -> Advice:
    """Looks at two clouds and advises on the Sinkhorn divergence between them, as a loss for training too.

        advice = kantor.explain(codes, kantor.StandardNormal())
        print(advice)
        client.evaluate(advice.term, source=codes, target=kantor.StandardNormal())

    It says which blur and what it is next to the clouds' lengths; which debiasing, by how much self terms would shrink
    a trained source, and what split batches cost; whether a difference can be seen with so many points, by comparing
    each cloud's one half with its other and by exchanging points between the clouds; what stands in the way: axes in
    other units, copies, points far from everything; and how long a step takes here. Give it batches as a training has
    them, since much depends on the number of points.

    Args:
        x: the source, points [N, D] or a Measure, or a Prior, of which samples are looked at.
        y: the target, likewise; one of the two has points.
        client: that is asked; None: one that all calls without a client share.
        blur: that you have in mind, in units of the points; None: a little under the server's default.
        seed: decides the samples of a prior, the halves and which points are exchanged. A prior's samples are those of
            `evaluate(term, source=x, target=y, seed=seed)`.

    Raises:
        InvalidArgumentError: an argument is wrong, and which.
        CallError: the server did not answer with a result.
    """
    pair = look(client or _client.shared(), x, y, seed)
    far = {"source": _far(pair.x, pair.y), "target": _far(pair.y, pair.x)}
    few = all(out.sum() <= max(1, _FEW * len(out)) for out in far.values())
    body = pair.without(far) if few and any(out.any() for out in far.values()) else pair
    result, about_blur = _blur(body, blur)
    if result is None:
        return Advice(Sinkhorn(debias="self"), (about_blur,))
    chosen = about_blur.numbers["blur"]
    reach, about_tails = _tails(pair, far, chosen, few)
    term, about_debias = _debias(pair, Sinkhorn(blur=chosen, debias="self", reach=reach), result)
    if reach is None:
        about_tails = _heavy(pair) or about_tails
    findings = [
        about_blur,
        about_debias,
        _difference(body, replace(term, reach=None)),
        *_units(body, chosen),
        *_duplicates(pair),
    ]
    return Advice(term, (*findings, *about_tails, _time(pair, term)))


def _blur(pair: Pair, asked: float | None) -> tuple[TermResult | None, Finding]:
    """Which blur, that in mind if nothing speaks against it or a moderate one, and what comes of it with self terms."""
    deviation = float(np.sqrt(np.mean(variances(pair.y, pair.weights["target"]))))
    if deviation == 0:
        return None, Finding("blur", "all target points are in one place: there is no blur to choose", {})
    remark, blur = "", pair.moderate_blur() if asked is None else asked
    result = pair.evaluate(Sinkhorn(blur=blur), extras="sinkhorn.potentials").terms["sinkhorn"]
    if asked is not None:
        large = [warning.message for warning in result.warnings if warning.code == "BLUR_LARGE"]
        if large or not result.converged:
            blur, remark = pair.moderate_blur(), f"not {asked:g}: {large[0] if large else 'it did not converge'}; "
            result = pair.evaluate(Sinkhorn(blur=blur), extras="sinkhorn.potentials").terms["sinkhorn"]
    assert result.solve is not None
    spacing = float(np.median(nearest(pair.y, pair.y, itself=True)))
    numbers = {
        "blur": blur,
        "deviation": deviation,
        "spacing": spacing if spacing > 1e-6 * deviation else 0.0,  # else they are copies
        "diameter": float(np.linalg.norm(np.ptp(np.concatenate([pair.x, pair.y]), axis=0))),
        "partners": _partners(pair, result),
        "iterations": float(result.solve.iterations),
    }
    times = f"{_say(blur / spacing)} times" if numbers["spacing"] else "above"
    sentence = (
        f"{remark}{blur:g} is {_say(blur / deviation)} standard deviations of the target along an axis "
        f"({_say(deviation)}), {times} the distance to a target point's nearest neighbour "
        f"({_say(numbers['spacing'])}), {_say(blur / numbers['diameter'])} diameters ({_say(numbers['diameter'])}); "
        f"a source point's mass goes to about {_say(numbers['partners'])} of {len(pair.y)} target points"
    )
    if numbers["partners"] < _MATCHING:
        sentence += ": nearly a matching, for which kantor.Transport() needs no blur"
    return result, Finding("blur", f"{sentence}; {result.solve.iterations} iterations", numbers)


def _partners(pair: Pair, result: TermResult) -> float:
    """Over how many target points the mass of a source point is spread: the median of the exponential entropies."""
    potentials, solve = result.extras["potentials"], result.solve
    assert solve is not None
    target, weights = pair.y, pair.weights["target"]
    rows = pair.x[:: max(1, len(pair.x) // 256)]
    logits = (np.asarray(potentials.target) - half_squared(rows, target)) / solve.epsilon
    plan = weights * np.exp(logits - logits.max(axis=1, keepdims=True))
    plan /= plan.sum(axis=1, keepdims=True)
    entropies = -np.sum(plan * np.log(np.where(plan > 0, plan, 1)), axis=1)
    return float(np.median(np.exp(entropies)))


def _debias(pair: Pair, own: Sinkhorn, result: TermResult) -> tuple[Sinkhorn, Finding]:
    """Which debiasing: split batches where self terms would shrink what is trained, if they can be had."""
    said = next((warning.message for warning in result.warnings if warning.code == "SELF_SHRINKS"), "")
    if not said:
        fewest = " (it takes 16 points or more to tell)" if min(len(pair.x), len(pair.y)) < 16 else ""
        return own, Finding("debias", f"self terms: the server expects no shrinking to speak of{fewest}", {})
    numbers = {"scale": float(re.findall(r"([0-9.]+) times as wide", said)[0])}
    if obstacle := _no_halves(pair):
        return own, Finding("debias", f"{said}; but {obstacle}", numbers)
    split = replace(own, debias="split")
    fast = replace(split, without_interval=True)
    values = [pair.evaluate(fast, seed=pair.seed + s).terms["sinkhorn"].value for s in range(_SEEDS)]
    numbers |= {"value": statistics.mean(values), "scatter": statistics.stdev(values)}
    sentence = (
        f"{said}. Split batches do not shrink and cost noise: over {_SEEDS} seeds their value is "
        f"{_say(numbers['value'])} ± {_say(numbers['scatter'])}"
    )
    return split, Finding("debias", sentence, numbers)


def _no_halves(pair: Pair) -> str:
    n, m = len(pair.x), len(pair.y)
    if not pair.uniform():
        return "split batches take uniform weights; kantor.Mmd() takes any and has no such bias"
    if n != m:
        return f"split batches take as many points on both sides, got {n} and {m}: send {min(n, m) // 2 * 2} of each"
    return f"split batches take an even number of points, got {n}: leave one out" if n % 2 else ""


def _difference(pair: Pair, term: Sinkhorn) -> Finding:
    """Whether the clouds differ by more than their own halves do, and from how many points on they would."""
    rng = np.random.default_rng(pair.seed)
    rows = [rng.permutation(np.flatnonzero(pair.weights[name])) for name in ("source", "target")]
    n = min(len(rows[0]), len(rows[1]), _LOOKED_AT) // 2
    if not n:
        return Finding("difference", "a cloud has only one point of positive weight: its halves cannot be compared", {})
    rows = [some[: 2 * n] for some in rows]
    pool = np.concatenate([pair.x[rows[0]], pair.y[rows[1]]])
    mass = np.concatenate(
        [pair.weights["source"][rows[0]] * len(pair.x), pair.weights["target"][rows[1]] * len(pair.y)]
    )
    orders = [np.arange(4 * n), *(rng.permutation(4 * n) for _ in range(_RELABELLINGS))]
    solver = replace(term, debias="none", without_interval=True)
    excess = [_excess(pair.client, solver, pool[order], mass[order])[0] for order in orders]
    cross, floor = _excess(pair.client, replace(solver, debias="self"), pool, mass)[1:]
    most = max(excess[1:])
    numbers = {"points": 2.0 * n, "floor": floor, "value": cross, "excess": excess[0], "chance": most}
    seen = excess[0] > most
    numbers["seen"] = float(seen)
    sentence = (
        f"halves of one cloud are {_say(floor)} apart, of different clouds {_say(cross)}, {_say(excess[0])} more; "
        f"{_RELABELLINGS} exchanges of points between the clouds gave at most {_say(most)}: "
    )
    if seen:
        return Finding("difference", f"{sentence}a difference is seen with {2 * n} points of each", numbers)
    sentence += f"no difference is seen with {2 * n} points of each"
    if excess[0] > 0:
        # Under exchange the noise of the excess falls as 1/N: its terms of first order cancel.
        numbers["needed"] = float(np.ceil(2 * n * most / excess[0]))
        sentence += f"; were the {_say(excess[0])} real, it would take about {numbers['needed']:.0f}"
    return Finding("difference", sentence, numbers)


def _excess(client: Client, term: Sinkhorn, pool: Floats, mass: Floats) -> tuple[float, float, float]:
    """What quarters of a pool, x x y y, are further apart across than within, and the means of both."""
    quarters, shares = np.split(pool, 4), [share / share.sum() for share in np.split(mass, 4)]
    i, j = [0, 0, 1, 1, 0, 2], [2, 3, 2, 3, 1, 3]
    sides = [Measure(np.stack([quarters[k] for k in at]), np.stack([shares[k] for k in at])) for at in (i, j)]
    values = client.evaluate(term, source=sides[0], target=sides[1]).terms["sinkhorn"].values
    across, within = statistics.mean(values[:4]), statistics.mean(values[4:])
    return across - within, across, within


def _units(pair: Pair, blur: float) -> Iterator[Finding]:
    """Axes that are so much wider than the others that the cost is theirs."""
    deviations = np.sqrt(variances(pair.y, pair.weights["target"]))
    middle = float(np.median(deviations[deviations > 0]))
    wide = np.flatnonzero(deviations > _UNIT * middle)
    if not len(wide):
        return
    axis = int(np.argmax(deviations))
    share = float(np.sum(deviations[wide] ** 2) / np.sum(deviations**2))
    below = int(np.sum(deviations < blur))
    numbers = {"axis": float(axis), "deviation": float(deviations[axis]), "median": middle, "share": share}
    numbers |= {"wide": float(len(wide)), "hidden": float(below)}
    sentence = (
        f"target axis {axis} has a standard deviation of {_say(numbers['deviation'])}, the median one {_say(middle)}: "
        f"{'it has' if len(wide) == 1 else f'{len(wide)} such axes have'} {100 * share:.3g} % of the variance, so of "
        f"the cost, and {below} of {len(deviations)} axes are narrower than the blur; "
        "divide each by its standard deviation unless the units are meant"
    )
    yield Finding("units", sentence, numbers)


def _duplicates(pair: Pair) -> Iterator[Finding]:
    """Points that are there more than once, in one cloud or in both."""
    distinct = {name: np.unique(points, axis=0) for name, points in pair.points.items()}
    copies = {name: len(pair.points[name]) - len(rows) for name, rows in distinct.items()}
    shared = len(distinct["source"]) + len(distinct["target"])
    shared -= len(np.unique(np.concatenate([distinct["source"], distinct["target"]]), axis=0))
    numbers = {"source": float(copies["source"]), "target": float(copies["target"]), "shared": float(shared)}
    parts = [
        f"{count} of {len(pair.points[name])} {name} points are copies of others, which tell nothing new"
        for name, count in copies.items()
        if count
    ]
    if shared:
        parts.append(
            f"{shared} points are in both clouds, which are then no independent samples as `difference` has it"
        )
    if parts:
        yield Finding("duplicates", "; ".join(parts), numbers)


def _far(points: Floats, others: Floats) -> Marks:
    """Which points are far from their own cloud and have no others near."""
    distances = np.linalg.norm(points - np.median(points, axis=0), axis=1)
    middle, wide = np.quantile(distances, [0.5, 0.9])
    edge = float(middle + _FAR * (wide - middle))
    far: Marks = distances > edge
    far[far] = nearest(points[far], others) > edge / 2
    return far


def _tails(pair: Pair, far: Mapping[str, Marks], blur: float, few: bool) -> tuple[float | None, list[Finding]]:
    """Points far from everything, and the reach that leaves them where they are if they have much of the value."""
    counts = {name: int(out.sum()) for name, out in far.items()}
    if not any(counts.values()):
        return None, []
    body = pair.without(far)
    centres = [np.median(points, axis=0) for points in (body.x, body.y)]
    radii = [np.linalg.norm(p - c, axis=1).max() for p, c in zip((body.x, body.y), centres, strict=True)]
    # Mass is left where it is when its way costs more than 2ρ, ½d² > 2 reach²: when it is longer than the body is wide.
    reach = float(f"{(max(radii) + float(np.linalg.norm(centres[0] - centres[1]))) / 2:.3g}")
    whole = Sinkhorn(blur=blur, debias="self")
    short = replace(whole, reach=reach)
    values = [p.evaluate(term).value for p, term in ((pair, whole), (body, whole), (pair, short), (body, short))]
    numbers = {f"far_{name}": float(count) for name, count in counts.items()} | {"reach": reach}
    numbers |= dict(zip(("value", "without", "reached", "rest"), values, strict=True))
    advise = few and abs(values[0] - values[1]) > _MUCH * abs(values[0])
    sentence = (
        f"{_count(counts['source'], 'source point')} and {_count(counts['target'], 'target point')} are far from "
        f"everything: S is {_say(values[0])} with them, {_say(values[1])} without; with reach={reach:g}, which leaves "
        f"mass where it is rather than move it that far, {_say(values[2])} and {_say(values[3])}"
    )
    if not advise:
        sentence += f"; not advised, since they are {'of little weight in it' if few else 'too many to leave out'}"
    return reach if advise else None, [Finding("tails", sentence, numbers)]


def _heavy(pair: Pair) -> list[Finding]:
    """Tails of which a cloud's few farthest points have much of the variance."""
    for name, points in pair.points.items():
        count = int(_FARTHEST * len(points))
        if not count:
            continue
        weights = pair.weights[name]
        distances = np.linalg.norm(points - weights @ points, axis=1)
        farthest = np.argsort(distances)[-count:]
        squares, lengths = (
            float(weights[farthest] @ d[farthest] / max(weights @ d, np.finfo(float).tiny))
            for d in (distances**2, distances)
        )
        if squares > _MUCH:
            sentence = (
                f"the farthest {count} of {len(points)} {name} points have {100 * squares:.3g} % of its variance, and "
                f"so much of the cost is theirs; of the distances they have {100 * lengths:.3g} %, which is what "
                "cost='euclidean' sees"
            )
            numbers = {"farthest": float(count), "share": squares, "share_of_distances": lengths}
            return [Finding("tails", sentence, numbers)]
    return []


def _time(pair: Pair, term: Sinkhorn) -> Finding:
    """Milliseconds of a step, round trip included, and of the other debiasing."""
    numbers: dict[str, float] = {}
    for debias in _DEBIASINGS[: 1 if _no_halves(pair) else 2]:
        seconds: list[float] = []
        while len(seconds) < _TIMES and sum(seconds) < _ENOUGH_SECONDS:
            start = time.perf_counter()
            pair.evaluate(replace(term, debias=debias))
            seconds.append(time.perf_counter() - start)
        numbers[debias] = 1e3 * statistics.median(seconds)
    taken = " and ".join(f"{_say(float(f'{ms:.2g}'))} ms with debias={name!r}" for name, ms in numbers.items())
    return Finding("time", f"a step, value and gradient, took {taken}, round trip included", numbers)


def _say(number: float) -> str:
    """Three digits, without an exponent where one can do without."""
    return f"{number:.0f}" if 1000 <= abs(number) < 1e6 else f"{number:.3g}"


def _count(n: int, one: str) -> str:
    return f"{n} {one}{'' if n == 1 else 's'}"
