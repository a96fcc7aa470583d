"""Measures what docs/losses.md says of each loss: its time, and the width that it makes best; and of each diagnostic.

python -m bench.losses [times | diagnostics | widths] [--smoke]

times: value and gradient over a stream, of two clouds in 32 dimensions: the milliseconds that pass, and those that the
server's processors compute, which others on the machine change less. diagnostics: a call on such clouds. widths:
x = s·g with g ~ N(0, I) is compared with samples of N(0, I); for the mean over batches, which s is best? 1 is right,
and less says that a trainer who sees batches of this size learns codes that are too narrow.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

import kantor
from bench.markdown import milliseconds, table
from bench.measure import Budget, Call, interleaved
from bench.problems import Floats, Problem
from bench.server import Running, running

_BUDGET = Budget(3, 0.5)


Given = Callable[[Floats, Floats], dict[str, Any]]


def clouds(x: Floats, y: Floats) -> dict[str, Any]:
    """Both."""
    return {"source": kantor.Measure(x), "target": kantor.Measure(y)}


def alone(x: Floats, y: Floats) -> dict[str, Any]:
    """The source without a target."""
    return {"source": kantor.Measure(x)}


def closed(x: Floats, y: Floats) -> dict[str, Any]:
    """The target is N(0, I) without samples."""
    return {"source": kantor.Measure(x), "target": kantor.StandardNormal()}


def gaussian(x: Floats, y: Floats) -> dict[str, Any]:
    """A posterior around each point."""
    return {"posterior": kantor.Gaussian(x, 0.1 * x)}


def covariances(x: Floats, y: Floats) -> dict[str, Any]:
    """A posterior with a covariance around each point."""
    dim = x.shape[1]
    spread = np.eye(dim, dtype=x.dtype) + 0.1 * x[:, :, None] * x[:, None, :] / dim
    return {"posterior": kantor.Gaussian(x, covariance=spread)}


def classes(x: Floats, y: Floats) -> dict[str, Any]:
    """A choice for each point."""
    return {"posterior": kantor.Categorical(x), "prior": kantor.Categorical(y[:1])}


def bits(x: Floats, y: Floats) -> dict[str, Any]:
    """A vector of bits for each point."""
    return {"posterior": kantor.Bernoulli(x)}


def directions(x: Floats, y: Floats) -> dict[str, Any]:
    """A direction for each point, of a concentration from 1 to 100."""
    lengths = np.linalg.norm(x, axis=1)
    return {"posterior": kantor.VonMisesFisher(x / lengths[:, None], np.logspace(0, 2, len(x)).astype(x.dtype))}


def reweighted(x: Floats, y: Floats) -> dict[str, Any]:
    """The same points with other weights."""
    weights = np.exp(0.1 * x[:, 0])
    return {"source": kantor.Measure(x, weights / weights.sum()), "target": kantor.Measure(x)}


def coded(x: Floats, y: Floats) -> dict[str, Any]:
    """Posteriors, and a code of each."""
    return {"codes": kantor.Measure(x + 0.1 * y), **gaussian(x, y)}


def codes(x: Floats, y: Floats) -> dict[str, Any]:
    """Codes without posteriors."""
    return {"codes": kantor.Measure(x)}


def paired(x: Floats, y: Floats) -> dict[str, Any]:
    """Codes, and the data that they belong to."""
    return {"codes": kantor.Measure(x), "data": kantor.Measure(x + 0.5 * y)}


@dataclass(frozen=True)
class Row:
    """A loss as one configures it.

    Attributes:
        term: the loss.
        given: makes its inputs of two clouds.
        gradient: what is asked for in the times.
        compares: a measure `source` with a distribution, so that it has a best width.
    """

    term: kantor.Term
    given: Given = clouds
    gradient: str = "source.points"
    compares: bool = True


ROWS = {
    "`Sinkhorn()`": Row(kantor.Sinkhorn()),
    '`Sinkhorn(debias="split")`': Row(kantor.Sinkhorn(debias="split")),
    "`Transport()`": Row(kantor.Transport()),
    '`Transport(debias="split")`': Row(kantor.Transport(debias="split")),
    "`Kantorovich()`": Row(kantor.Kantorovich()),
    "`ConeCritic()`": Row(kantor.ConeCritic(), compares=False),
    "`Sliced()`": Row(kantor.Sliced()),
    '`Sliced(aggregate="max")`': Row(kantor.Sliced(aggregate="max")),
    "`Mmd()`": Row(kantor.Mmd()),
    "`Mmd(closed_form=True)`": Row(kantor.Mmd(closed_form=True), closed),
    '`Mmd(kernel="imq")`': Row(kantor.Mmd(kernel="imq")),
    "`Stein()`": Row(kantor.Stein(), alone),
    "`Bures()` of a measure": Row(kantor.Bures("source"), alone),
    "`Bures()` of Gaussians": Row(kantor.Bures(), gaussian, "posterior.mean", compares=False),
    "`GaussianKl()`": Row(kantor.GaussianKl(), gaussian, "posterior.mean", compares=False),
    "`GaussianKl()` of covariances": Row(kantor.GaussianKl(), covariances, "posterior.mean", compares=False),
    "`CategoricalKl()`": Row(kantor.CategoricalKl(prior="prior"), classes, "posterior.logits", compares=False),
    "`BernoulliKl()`": Row(kantor.BernoulliKl(), bits, "posterior.logits", compares=False),
    "`VonMisesFisherKl()`": Row(kantor.VonMisesFisherKl(), directions, "posterior.concentration", compares=False),
    "`DiscreteKl()`": Row(kantor.DiscreteKl(), reweighted, "source.weights", compares=False),
    "`JensenShannon()`": Row(kantor.JensenShannon("posterior", "prior"), classes, "posterior.logits", compares=False),
    "`TotalCorrelation(dataset_size=...)`": Row(
        kantor.TotalCorrelation(dataset_size=60_000), coded, "codes.points", compares=False
    ),
    '`TotalCorrelation(estimator="transport")`': Row(
        kantor.TotalCorrelation(estimator="transport"), codes, "codes.points", compares=False
    ),
    "`Dip()`": Row(kantor.Dip(), gaussian, "posterior.mean", compares=False),
    "`Stress()`": Row(kantor.Stress(), paired, "codes.points", compares=False),
    '`Stress(form="rank")`': Row(kantor.Stress(form="rank"), paired, "codes.points", compares=False),
}

DIAGNOSTICS: dict[str, tuple[kantor.Diagnostic, Given]] = {
    "`ActiveUnits()`": (kantor.ActiveUnits(), gaussian),
    "`NearestNeighbourKl()`": (kantor.NearestNeighbourKl(), clouds),
    "`Entropy()`": (kantor.Entropy(), alone),
    "`Entropy()` of covariances": (kantor.Entropy("posterior"), covariances),
    "`PermutationTest()`": (kantor.PermutationTest(), clouds),
    "`EffectiveScale()`": (kantor.EffectiveScale(), closed),
    "`ExpectedShrink()`": (kantor.ExpectedShrink(), clouds),
}


def main() -> None:
    """Prints the tables that were asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", nargs="?", choices=["times", "diagnostics", "widths"], help="one of the tables")
    parser.add_argument("--smoke", action="store_true", help="tiny problems: does it run?")
    options = parser.parse_args()
    with running() as server:
        build = server.client.info().build
        print(f"kantor {build.version}, kernels {build.kernel}\n")
        small: bool = options.smoke
        if options.what in (None, "times"):
            print(times(server, (70, 80), Budget(1, 0.1)) if small else times(server))
        if options.what in (None, "diagnostics"):
            print(diagnostics(server, (70, 80), Budget(1, 0.1)) if small else diagnostics(server))
        if options.what in (None, "widths"):
            print(widths(server.client, 4, 16, 4) if small else widths(server.client))


@contextmanager
def calling(client: kantor.Client, row: Row, n: int) -> Iterator[Call]:
    """Value and gradient over a stream, as a training loop asks for them."""
    gradient = row.gradient
    given, term, extras = row.given(*Problem(n, 32, 1).clouds()), row.term, list[str]()
    if isinstance(term, kantor.ConeCritic):  # in the midst of its training: with its state, and steps to take
        term, extras = kantor.ConeCritic(state="state"), ["cone_critic.state"]
        given["state"] = client.evaluate(row.term, given, extras=extras).terms["cone_critic"].extras["state"]
    with client.stream(term, gradients=gradient, extras=extras) as stream:

        def call() -> tuple[float, Floats]:
            result = stream.evaluate(given)
            return result.value, result.gradients[gradient]

        yield call


def times(server: Running, sizes: tuple[int, ...] = (256, 1024), budget: Budget = _BUDGET) -> str:
    """The table of milliseconds by N, in 32 dimensions."""
    found: dict[str, list[Spent]] = {name: [] for name in ROWS}
    for name, row in ROWS.items():
        for n in sizes:
            with calling(server.client, row, n) as call:
                found[name].append(spent(server, call, budget))
    return in_milliseconds("loss", sizes, found)


def diagnostics(server: Running, sizes: tuple[int, ...] = (256, 1024), budget: Budget = _BUDGET) -> str:
    """The table of milliseconds by N, in 32 dimensions, of a call."""
    found: dict[str, list[Spent]] = {name: [] for name in DIAGNOSTICS}
    for name, (diagnostic, given) in DIAGNOSTICS.items():
        for n in sizes:
            call = diagnosing(server.client, diagnostic, given(*Problem(n, 32, 1).clouds()))
            found[name].append(spent(server, call, budget))
    return in_milliseconds("diagnostic", sizes, found)


def diagnosing(client: kantor.Client, diagnostic: kantor.Diagnostic, inputs: dict[str, Any]) -> Call:
    """A call for one diagnostic."""

    def call() -> tuple[float, Floats]:
        (result,) = client.diagnose(diagnostic, inputs).values()
        return result.value, np.array(result.values)

    return call


class Spent(NamedTuple):
    """Milliseconds of a call: those that pass, and those that the server's processors compute."""

    passed: float
    computed: float


def spent(server: Running, call: Call, budget: Budget) -> Spent:
    """Times a call, after one that is not timed."""
    calls = 0

    def counted() -> tuple[float, Floats]:
        nonlocal calls
        calls += 1
        return call()

    call()
    before = server.processor_ms()
    passed = interleaved({"": counted}, budget)[""].median
    return Spent(passed, (server.processor_ms() - before) / calls)


def in_milliseconds(what: str, sizes: tuple[int, ...], found: dict[str, list[Spent]]) -> str:
    """Returns the table of times."""
    lines = [
        [name, *(milliseconds(s.passed) for s in line), *(milliseconds(s.computed) for s in line)]
        for name, line in found.items()
    ]
    heads = [f"N={n}, {kind}" for kind in ("ms", "ms of processors") for n in sizes]
    return table([what, *heads], lines)


def widths(client: kantor.Client, dim: int = 16, n: int = 128, batches: int = 64) -> str:
    """The table of best widths, with standard errors."""
    rng = np.random.default_rng(0)
    g, y = rng.standard_normal((2, batches, n, dim))
    lines = []
    for name, row in ROWS.items():
        if row.compares:
            width, error = best_width(client, row, g, y)
            lines.append([name, f"{width:.3f}", f"{error:.3f}"])
    return table(["loss", f"best width, D={dim}, N={n}", "standard error"], lines)


def best_width(client: kantor.Client, row: Row, g: Floats, y: Floats) -> tuple[float, float]:
    """The s at which the mean over batches of the loss of s·g has no slope, and its standard error.

    By bisection: the slope of a batch is <g, gradient at s·g>, and all s see the same samples.
    """

    def slopes(s: float) -> Floats:
        given = row.given(s * g, y)
        # A seed for each batch would need a call for each; what a seed decides is the same for all of them.
        gradient = client.evaluate(row.term, given, gradients="source.points", seed=1).gradients["source.points"]
        out: Floats = (g * gradient).sum((1, 2))
        return out

    low, high = 0.05, 2.0
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (low, middle) if slopes(middle).mean() > 0 else (middle, high)
    at, step = slopes(low), 0.05
    bend = (slopes(low + step).mean() - slopes(low - step).mean()) / (2 * step)
    return low, abs(at.std(ddof=1) / np.sqrt(len(at)) / bend)


if __name__ == "__main__":
    main()
