"""The report, docs/performance.md, from the numbers alone."""

from __future__ import annotations

import statistics
from typing import Any

from bench import report_accuracy, report_client, report_exact, report_own
from bench.markdown import milliseconds, percent, ratio, table
from bench.rows import Row

_HEAD = """# Performance

`make bench` measures and writes this page, its plots and [performance.json](performance.json); no number is typed by
hand. Unless a section says otherwise all libraries compute the value of the Sinkhorn divergence for C = ½|x-y|²,
ε = blur², and its gradient in the source points, in float32, N points against N: x ~ .7 N(0,I) + .2, y ~ N(0,I). kantor
is called from the Python client over a Unix socket, round trip included, NumPy arrays in and out; the others in
process, on arrays of their own, compiled before. Libraries take turns within a row; a time is the median of at least
five turns, or of those that a minute has room for. Everything ran on the CPU; GPUs are not measured. **A ratio is the
other library's time divided by kantor's: above 1 kantor is faster.**
"""

# The points between which growth is said in a sentence.
_FOURFOLD = (16384, 65536)

# Cores: from here on the row is named.
_DISTURBED = 0.1


def text(results: dict[str, Any], plots: list[tuple[str, str]]) -> str:
    """The page. Plots are file names beside it with what they show."""
    rows = results["rows"]
    parts = [_HEAD, _machine(results), _behind(rows), report_accuracy.section(of(rows, "same accuracy"))]
    parts += [
        _work(of(rows, "same work")),
        report_client.drop_in(of(rows, "drop-in")),
        report_exact.section(of(rows, "exact")),
        _trips(of(rows, "round trip"), of(rows, "share")),
        report_client.torch_overhead(of(rows, "torch overhead")),
        report_client.overlap(of(rows, "overlap")),
        report_client.imports(of(rows, "imports")),
    ]
    parts += [_beside(of(rows, "beside")), _growth(of(rows, "growth")), _memory(of(rows, "memory"))]
    parts += [report_own.kernel(of(rows, "kernel")), report_own.scaling(of(rows, "scaling"))]
    parts += [report_own.instruction_sets(of(rows, "instruction sets"))]
    parts += [f"![{title}]({name})\n" for name, title in plots]
    return "\n".join(part for part in parts if part)


def of(rows: list[Row], kind: str) -> list[Row]:
    """The rows of one kind."""
    return [row for row in rows if row["kind"] == kind]


def _machine(results: dict[str, Any]) -> str:
    about = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    others = [row["others"] for row in results["rows"]]
    long = ", with the long rows" if results["full"] else ""
    lines = [
        f"{about['cpu']}, {about['cores']} cores, {about['memory_gib']} GiB, {about['system']}; "
        f"kantor's kernels: {about['kernel']}",
        f"{about['date']}, {about['minutes']} minutes{long}; load average before the run {about['load_before']}; cores "
        "that other programs took while a row was measured: "
        f"median {statistics.median(others):.2f}, most {max(others):.2f}",
        f"kantor {about['kantor']} at {about['revision']}, Python {about['python']}; {versions}",
    ]
    lines += _apart(results["rows"])
    disturbed = [_name(row) for row in results["rows"] if row["others"] > _DISTURBED]
    if disturbed:
        lines.append(f"more than {_DISTURBED:g} cores went to other programs, so that these are worth little: ")
        lines[-1] += "; ".join(disturbed)
    return "\n".join(f"- {line}" for line in lines) + "\n"


def _apart(rows: list[Row]) -> list[str]:
    """When the rows were measured that are not of the run that the others are of."""
    kinds: dict[str, list[str]] = {}
    for row in rows:
        if "run" in row:
            run = row["run"]
            load = f"load average {run['load_before']} before and {run['load_after']} after"
            kinds.setdefault(f"{run['date']} at {run['revision']}, {load}", []).append(row["kind"])
    return [f"measured apart, {when}: {', '.join(dict.fromkeys(found))}" for when, found in kinds.items()]


def _name(row: Row) -> str:
    """A row by its kind and what tells it from others of that kind."""
    values = {"N": row.get("n"), "D": row.get("dim"), "blur": row.get("blur"), "": row.get("library", row.get("call"))}
    shown = [f"{name}={value:g}" if name else str(value) for name, value in values.items() if value is not None]
    return f"{row['kind']} " + " ".join(shown)


def _behind(rows: list[Row]) -> str:
    """What kantor loses, before anything that it wins."""
    found = report_accuracy.behind(of(rows, "same accuracy"))
    for row in of(rows, "same work"):
        own = row["ms"]["kantor"]["median"]
        for name, timing in row["ms"].items():
            if timing["median"] < own:
                where = f"N={row['n']}, D={row['dim']}"
                found.append(f"same work, {where}: {ratio(timing['median'] / own)} against {name}")
    found += report_client.behind(of(rows, "drop-in"))
    found += report_exact.behind(of(rows, "exact"))
    found += [f"{row['name']} could not be measured: {row['error']}" for row in of(rows, "failed")]
    lines = "\n".join(f"- {line}" for line in found) or "In no row of this run."
    return f"## Where kantor is behind\n\n{lines}\n"


def _work(rows: list[Row]) -> str:
    if not rows:
        return ""
    libraries = list(dict.fromkeys(name for row in rows for name in row["ms"] if name != "kantor"))
    ratios, times = [], []
    for row in rows:
        where, own = [str(row["n"]), str(row["dim"])], row["ms"]["kantor"]["median"]
        found = {name: timing["median"] for name, timing in row["ms"].items()}
        ratios.append([*where, *(ratio(found[name] / own) if name in found else "-" for name in libraries)])
        cells = [milliseconds(found[name]) if name in found else row["absent"].get(name, "-") for name in libraries]
        differences = [entry["gradient"] for entry in row["agreement"].values()]
        times.append([*where, milliseconds(own), *cells, f"{max(differences):.0e}" if differences else "-"])
    parts = [
        '## Same work: `profile="geomloss"` against SamplesLoss\n',
        f"Blur {rows[0]['blur']:g} and scaling {rows[0]['scaling']:g}, SamplesLoss's defaults, step for step; what "
        "comes out is as far from converged on both sides, and kantor leaves out the interval, which SamplesLoss does "
        "not have. `online` computes through KeOps, from N=1024.\n",
        table(["N", "D", *(f"against {name}" for name in libraries)], ratios),
        "Milliseconds, and the largest relative difference of the gradients:\n",
        table(["N", "D", "kantor", *libraries, "difference"], times),
    ]
    return "\n".join(parts)


def _trips(trips: list[Row], shares: list[Row]) -> str:
    if not trips and not shares:
        return ""
    parts = ["## The round trip alone\n"]
    for row in trips:
        lines = [[way, f"{found['p50']:.3f}", f"{found['p95']:.3f}"] for way, found in row["ms"].items()]
        parts.append(
            f"The KL of {row['n']} Gaussians in {row['dim']} dimensions with both gradients, which costs next to "
            "nothing; milliseconds:\n"
        )
        parts.append(table(["", "p50", "p95"], lines))
    for row in shares:
        lines = [
            [name, milliseconds(found["wall_ms"]), milliseconds(found["compute_ms"]), percent(found["share"])]
            for name, found in row["shares"].items()
        ]
        parts.append(
            f"Its share of a Sinkhorn divergence at N={row['n']}, D={row['dim']}, blur {row['blur']:.3g}, by the "
            "server's own account of computing:\n"
        )
        parts.append(table(["", "call, ms", "of it computing, ms", "share of the rest"], lines))
    return "\n".join(parts)


def _beside(rows: list[Row]) -> str:
    parts = ["## A small request beside a large one\n"] if rows else []
    for row in rows:
        lines = [
            [way, milliseconds(found["p50"]), milliseconds(found["p99"]), str(found["calls"])]
            for way, found in row["ms"].items()
        ]
        parts.append(
            f"Sinkhorn divergences at N={row['n']}, D={row['dim']}, one after the other over a stream; then again "
            f"while one at N={row['large']} keeps all cores busy. Milliseconds:\n"
        )
        parts.append(table(["", "p50", "p99", "calls"], lines))
    return "\n".join(parts)


def _growth(rows: list[Row]) -> str:
    if not rows:
        return ""
    first = rows[0]
    lines = []
    for before, row in zip([None, *rows], rows, strict=False):
        above = row["peak_mib"] - row["idle_mib"]
        growth = f"{row['ms']['median'] / before['ms']['median']:.1f}" if before else "-"
        time = milliseconds(row["ms"]["median"])
        lines.append([str(row["n"]), time, growth, f"{row['peak_mib']:.1f}", f"{above:.1f}"])
    parts = [
        "## Growth with N\n",
        f"D={first['dim']}, blur {first['blur']:.3g}, {first['iterations']} iterations, too few to converge, no "
        "interval; a new server for each N. Where memory falls, pairs no longer fit what may be stored of them.\n",
        table(["N", "ms", "times the row above", "server's peak resident MiB", "above an idle server's"], lines),
    ]
    least, most = (next((row for row in rows if row["n"] == n), None) for n in _FOURFOLD)
    if least and most:
        times = most["ms"]["median"] / least["ms"]["median"]
        parts.append(
            f"From N={_FOURFOLD[0]} to {_FOURFOLD[1]}, sixteen times the pairs, takes {times:.1f} times as long.\n"
        )
    return "\n".join(parts)


def _memory(rows: list[Row]) -> str:
    if not rows:
        return ""
    libraries = list(dict.fromkeys(row["library"] for row in rows))
    cells = {(row["library"], row["n"]): row for row in rows}
    lines = [
        [str(n), *(_memory_cell(cells.get((library, n))) for library in libraries)]
        for n in sorted({row["n"] for row in rows})
    ]
    return "\n".join(
        [
            "The other libraries, each in a process of its own: peak resident MiB above what it was after N=64.\n",
            table(["N", *libraries], lines),
        ]
    )


def _memory_cell(row: Row | None) -> str:
    if row is None:
        return "-"
    return f"{row['peak_mib'] - row['small_mib']:.1f}" if "peak_mib" in row else f"- ({row['absent']})"
