"""The row of the same accuracy: the time to a gradient within 1 % of the converged one.

The peers' settings are searched in the run that times them; kantor runs as a user gets it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

import kantor
from bench import peers, reference
from bench.measure import Call, interleaved, once
from bench.problems import Problem, off
from bench.rows import Row, Session
from bench.server import calling, evaluate

WITHIN = 0.01

_THRESHOLDS = (1e-2, 5e-3, 2e-3, 1e-3)
_MOMENTA = (1.0, 1.5, 1.8)
_ADAPTIVE_FROM = (20, 50)
_SELF_ITERATIONS = (3, 5)
_SCALINGS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
_POT_THRESHOLDS = (1e-3, 1e-4, 1e-5)
_TOLERANCES = (1e-2, 5e-3, 2e-3, 1e-3, 5e-4, 2e-4, 1e-4)

# A library's search ends with the first setting that begins later than this, said in the report.
_SEARCH_SECONDS = 45.0

# Milliseconds: no compiler takes longer than the first, and a call that takes longer than the second is timed once.
_COMPILED = 10_000.0
_SHORT = 500.0

# Above these sizes plain iterations, which check the reference, and POT would take longer than everything else, and so
# would SamplesLoss, which hardly gets there at the smaller ones either.
_SMALL = 256
_MIDDLE = 1024


@dataclass(frozen=True)
class Setting:
    """One way to call a library: the words for the report, and what makes the call."""

    words: str
    make: Callable[[], Call]


# The settings of a library: families from coarse to fine, and what to try around the best of them.
Families = list[list[Setting]]


@dataclass
class Search:
    """What a search for the fastest setting within 1 % has found.

    Attributes:
        tried: what each setting gave.
        best: the fastest within 1 %, None before there is one.
        call: its call.
        ms: its time.
    """

    converged: Any
    tried: list[dict[str, Any]]
    best: Setting | None = None
    call: Call | None = None
    ms: float = float("inf")


def same_accuracy(session: Session, problem: Problem) -> Row:
    """Kantor at its defaults, without interval and searched, against each peer's fastest setting that gets there."""
    x, y = problem.clouds()
    converged, error = reference.gradient(x, y, problem.epsilon, reference.newton)
    row: Row = {"kind": "same accuracy", **asdict(problem), "within": WITHIN, "kantor": {}, "searches": {}}
    row["reference"] = {"marginal_error": error, **_checks(session, problem, converged)}
    with ExitStack() as stack:

        def own(**options: Any) -> Call:
            term = kantor.Sinkhorn(blur=problem.blur, **options)
            return stack.enter_context(calling(session.server.client, term, x, y))

        def searched(tolerance: float) -> Setting:
            return Setting(f"tolerance {tolerance:g}", lambda: own(without_interval=True, tolerance=tolerance))

        calls: dict[str, Call] = {"kantor": own(), "kantor, no interval": own(without_interval=True)}
        for name, call in calls.items():
            row["kantor"][name] = {"off": off(call()[1], converged)}
        libraries = {"kantor, searched": [[searched(tolerance) for tolerance in _TOLERANCES]]}
        if session.peers:
            libraries |= _libraries(problem)
        for library, families in libraries.items():
            found = _search(families, converged)
            if library == "OTT" and found.best:
                _search([[setting] for setting in _around(problem, found.best)], converged, found)
            row["searches"][library] = [
                {**entry, "best": found.best is not None and entry["setting"] == found.best.words}
                for entry in found.tried
            ]
            if found.call:
                calls[library] = found.call
        row["ms"] = {name: asdict(timing) for name, timing in interleaved(calls, session.budget).items()}
    return row


def _libraries(problem: Problem) -> dict[str, Families]:
    """The peers' settings."""

    def geomloss(scaling: float) -> Setting:
        return Setting(f"scaling {scaling:g}", lambda: peers.samples_loss(problem, scaling))

    def pot(threshold: float) -> Setting:
        return Setting(f"stopThr {threshold:g}", lambda: peers.pot(problem, threshold))

    libraries = {"OTT": [[_ott(problem, option) for option in family] for family in _ott_families()]}
    if problem.n <= _MIDDLE:
        libraries["SamplesLoss"] = [[geomloss(scaling) for scaling in _SCALINGS]]
    if problem.n <= _SMALL:
        libraries["POT"] = [[pot(threshold) for threshold in _POT_THRESHOLDS]]
    return libraries


def _ott_families() -> Iterator[list[peers.Ott]]:
    """Plain, over-relaxed and adaptive, each over the thresholds."""
    for momentum in _MOMENTA:
        yield [peers.Ott(threshold, momentum) for threshold in _THRESHOLDS]
    for start in _ADAPTIVE_FROM:
        yield [peers.Ott(threshold, adaptive_from=start) for threshold in _THRESHOLDS]


def _around(problem: Problem, best: Setting) -> list[Setting]:
    """OTT's best with fewer iterations of the self terms than the ten that sinkhorn_divergence gives at the least."""
    option = next(one for family in _ott_families() for one in family if str(one) == best.words)
    return [_ott(problem, replace(option, self_iterations=count)) for count in _SELF_ITERATIONS]


def _ott(problem: Problem, option: peers.Ott) -> Setting:
    return Setting(str(option), lambda: peers.ott(problem, option))


def _search(families: Families, converged: Any, search: Search | None = None) -> Search:
    """Tries the settings.

    Within a family a finer setting takes longer, so that a family is left when one gets there, diverges, or takes
    longer than the best so far.
    """
    search = search or Search(converged, [])
    end = time.perf_counter() + _SEARCH_SECONDS
    for family in families:
        for setting in family:
            if time.perf_counter() > end:
                search.tried.append({"setting": setting.words, "left_out": "time"})
                return search
            try:
                finer = _try(setting, search)
            except Exception as error:  # whatever keeps a peer from running
                reason = f"{type(error).__name__}: {error}".splitlines()[0][:200]
                search.tried.append({"setting": setting.words, "left_out": reason})
                return search
            if not finer:
                break
    return search


def _try(setting: Setting, search: Search) -> bool:
    """Runs one setting and returns whether a finer one may be of use."""
    call = setting.make()
    start = time.perf_counter()
    _, gradient = call()
    first = (time.perf_counter() - start) * 1e3
    how_far = off(gradient, search.converged)
    if not math.isfinite(how_far):
        search.tried.append({"setting": setting.words, "left_out": "diverged"})
        return False
    # The first call may compile, which takes seconds.
    ms = first if first > _COMPILED else once(call)
    if ms < _SHORT:
        ms = min(ms, once(call), once(call))
    search.tried.append({"setting": setting.words, "ms": ms, "off": how_far})
    if how_far <= WITHIN and ms < search.ms:
        search.best, search.call, search.ms = setting, call, ms
    return how_far > WITHIN and ms < search.ms


def _checks(session: Session, problem: Problem, converged: Any) -> dict[str, Any]:
    """How far the reference is from kantor in float64, and from plain iterations where those come to an end."""
    term = kantor.Sinkhorn(blur=problem.blur, tolerance=1e-9, without_interval=True, max_iterations=5000)
    result = evaluate(session.server.client, term, problem, np.float64)
    solve = result.terms["sinkhorn"].solve
    out = {
        "kantor_off": off(result.gradients["source.points"], converged),
        "kantor_marginal_error": solve.marginal_error if solve else None,
    }
    if problem.n <= _SMALL:
        x, y = problem.clouds()
        gradient, error = reference.gradient(x, y, problem.epsilon, reference.plain)
        out |= {"plain_off": off(gradient, converged), "plain_marginal_error": error}
    return out
