"""An evaluation as flat numbers."""

from __future__ import annotations

from kantor._results import Evaluation, TermResult


def numbers(report: Evaluation) -> dict[str, float]:
    """Returns what a logger can plot of a report; see Loss.log."""
    out = {"value": report.value, "seconds": report.timing.decode + report.timing.compute}
    for name, term in report.terms.items():
        out.update({f"{name}.{key}": value for key, value in _of_term(term).items()})
    return out


def _of_term(term: TermResult) -> dict[str, float]:
    intervals = [outcome.interval for outcome in term.outcomes if outcome.interval is not None]
    solves = [outcome.solve for outcome in term.outcomes if outcome.solve is not None]
    out = {"value": sum(term.values), "converged": float(term.converged), "warnings": float(len(term.warnings))}
    if intervals and len(intervals) == len(term.outcomes):
        out["lower"] = sum(interval.lower for interval in intervals)
        out["upper"] = sum(interval.upper for interval in intervals)
    if solves:
        out["iterations"] = float(max(solve.iterations for solve in solves))
    return out
