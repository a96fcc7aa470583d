"""The report's section on the same accuracy."""

from __future__ import annotations

from bench.markdown import milliseconds, percent, ratio, table
from bench.rows import Row

SEARCHED = "kantor, searched"
KANTOR = ("kantor", "kantor, no interval", SEARCHED)

_HEAD = """## Same accuracy: a gradient within 1 % of converged

|g-g*|₂/|g*|₂ over the source points, g* in float64. `kantor` is kantor at its defaults, whatever error it then has;
`no interval` the same with `without_interval=True`; `searched`, without interval too, at the coarsest `tolerance` that
gets within 1 %. Each peer runs at the fastest setting that gets there, searched in this run.
"""

_SEARCHED = """OTT: `sinkhorn_divergence`, jitted value_and_grad, over thresholds, momenta, adaptive momentum and, at
the best of these, fewer iterations of the self terms. SamplesLoss: tensorized, the coarsest scaling that gets there.
POT: `sinkhorn_log`, three solves, at the small sizes only; SamplesLoss up to N=1024.
"""


def section(rows: list[Row]) -> str:
    """Ratios, then times, then what was searched and how the reference was checked."""
    if not rows:
        return ""
    libraries = sorted({library for row in rows for library in row["searches"] if library != SEARCHED})
    ratios, times = [], []
    for row in rows:
        best = _best(row)
        against = f"{best[0]} ({_timed(row, best[0])['setting']})" if best else "none within 1 %"
        ratios.append([*_where(row), *(_ratio_cell(row, name) for name in KANTOR), against])
        times.append([*_where(row), *(_own_cell(row, name) for name in KANTOR)])
        times[-1] += [_peer_cell(row, library) for library in libraries]
    head = ["N", "D", "blur"]
    parts = [
        _HEAD,
        table([*head, *(f"{name}: ratio" for name in KANTOR), "against the fastest peer"], ratios),
        "Milliseconds, in brackets how far off the gradient is, and the setting; a dash before the nearest that a "
        "library came where it did not get within 1 %:\n",
        table([*head, *KANTOR, *libraries], times),
        _searched(rows, libraries),
        _references(rows),
    ]
    return "\n".join(part for part in parts if part)


def behind(rows: list[Row]) -> list[str]:
    """Where kantor is slower than a peer, or not within 1 %, a line each."""
    found = []
    for row in rows:
        where = f"same accuracy, N={row['n']}, D={row['dim']}, blur {row['blur']:.3g}"
        best = _best(row)
        for name in KANTOR:
            error = _own_error(row, name)
            if error is None or error > row["within"]:
                found.append(f"{where}: {name} is " + (f"{percent(error)} off" if error else "not within 1 %"))
            if best and name in row["ms"] and best[1] < row["ms"][name]["median"]:
                found.append(f"{where}: {ratio(best[1] / row['ms'][name]['median'])} for {name} against {best[0]}")
    return found


def _where(row: Row) -> list[str]:
    return [str(row["n"]), str(row["dim"]), f"{row['blur']:.3g}"]


def _best(row: Row) -> tuple[str, float] | None:
    """The fastest peer within 1 %, with its time."""
    peers = {name: timing["median"] for name, timing in row["ms"].items() if name not in KANTOR}
    return min(peers.items(), key=lambda item: item[1]) if peers else None


def _timed(row: Row, library: str) -> Row:
    """What the search found of the setting that was timed; empty where there is none."""
    return next((entry for entry in row["searches"].get(library, []) if entry["best"]), {})


def _own_error(row: Row, name: str) -> float | None:
    error = _timed(row, name).get("off") if name == SEARCHED else row["kantor"][name]["off"]
    return None if error is None else float(error)


def _ratio_cell(row: Row, name: str) -> str:
    best, error = _best(row), _own_error(row, name)
    if best is None or error is None:
        return "-"
    shown = ratio(best[1] / row["ms"][name]["median"])
    return shown if error <= row["within"] else f"{shown}, but {percent(error)} off"


def _own_cell(row: Row, name: str) -> str:
    if name == SEARCHED:
        return _peer_cell(row, name)
    return f"{milliseconds(row['ms'][name]['median'])} ({percent(row['kantor'][name]['off'])})"


def _peer_cell(row: Row, library: str) -> str:
    """A search's best setting, or the nearest that it came."""
    entries = row["searches"].get(library)
    if entries is None:
        return "not tried"
    best = _timed(row, library)
    if best:
        return f"{milliseconds(row['ms'][library]['median'])} ({percent(best['off'])}; {best['setting']})"
    tried = [entry for entry in entries if "off" in entry]
    if not tried:
        return f"- ({entries[-1]['left_out']})"
    nearest = min(tried, key=lambda entry: float(entry["off"]))
    return f"- ({percent(nearest['off'])} after {milliseconds(nearest['ms'])}; {nearest['setting']})"


def _searched(rows: list[Row], libraries: list[str]) -> str:
    """What was tried, and what there was no time for."""
    if not libraries:
        return ""
    entries = {library: [entry for row in rows for entry in row["searches"].get(library, [])] for library in libraries}
    tried = ", ".join(f"{library} {len(found)}" for library, found in entries.items())
    cut = [
        f"{library} at N={row['n']}, D={row['dim']}, blur {row['blur']:.3g}"
        for row in rows
        for library in libraries
        if any(entry.get("left_out") == "time" for entry in row["searches"].get(library, []))
    ]
    ended = f" The search ended before its last setting for want of time: {', '.join(cut)}." if cut else ""
    return f"{_SEARCHED}Settings tried over all rows: {tried}.{ended}\n"


def _references(rows: list[Row]) -> str:
    """How the reference was checked."""
    errors = max(row["reference"]["marginal_error"] for row in rows)
    lines = []
    for row in rows:
        found = row["reference"]
        other = f"{found['kantor_off']:.0e} (at {found['kantor_marginal_error']:.0e})"
        plain = (
            "-" if "plain_off" not in found else f"{found['plain_off']:.0e} (at {found['plain_marginal_error']:.0e})"
        )
        lines.append([*_where(row), other, plain])
    head = ["N", "D", "blur", "kantor in float64, tolerance 1e-9", "plain alternating iterations in NumPy"]
    return "\n".join(
        [
            "g* comes from damped Newton steps, for the self term averaged iterations, in NumPy that shares no code "
            f"with kantor, to an L1 marginal error of at most {errors:.0e}. How far from it two other ways are, at the "
            "marginal error that they came to:\n",
            table(head, lines),
        ]
    )
