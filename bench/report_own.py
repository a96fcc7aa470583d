"""The report's sections on kantor alone: instruction sets, kernels, cores."""

from __future__ import annotations

from typing import Any

from bench.markdown import milliseconds, table
from bench.rows import Row

_KERNEL = """## The kernel against its limits

One core. A pair of points takes at the least 2D/peak for the product and t_exp for the exponential and its sum, both
measured in this run; the last column is the part of that speed that the kernel reaches.
"""

_SCALING = """## Cores
"""


def instruction_sets(rows: list[Row]) -> str:
    """Every set's time, and how many times that of the fastest it is."""
    names = list(dict.fromkeys(name for row in rows for name in row["ms"]))
    if len(names) < 2:
        return ""
    lines = []
    for row in rows:
        found = [row["ms"][name]["median"] for name in names]
        where = [str(row["n"]), str(row["dim"]), f"{row['blur']:.3g}", row["call"]]
        lines.append([*where, *map(milliseconds, found), *(f"{ms / found[0]:.2f}" for ms in found[1:])])
    head = ["N", "D", "blur", "call", *(f"{name}, ms" for name in names), *(f"{name}: times" for name in names[1:])]
    return "\n".join(
        [
            "## Instruction sets\n",
            "kantor alone, on servers that were told which kernels to use (`KANTOR_VEC`):\n",
            table(head, lines),
        ]
    )


def kernel(rows: list[Row]) -> str:
    """What `kantor bench kernel` found."""
    return "\n".join([_KERNEL, *(_plain(row["found"]) for row in rows)]) if rows else ""


def scaling(rows: list[Row]) -> str:
    """What `kantor bench scaling` found."""
    return "\n".join([_SCALING, *(_plain(row["found"]) for row in rows)]) if rows else ""


def _plain(found: Any) -> str:
    """A table of objects as they are, with their keys for a head."""
    entries = found["rows"] if isinstance(found, dict) else found
    head = list(dict.fromkeys(key for entry in entries for key in entry))
    cells = [[_cell(entry.get(key)) for key in head] for entry in entries]
    return table([key.replace("_", " ") for key in head], cells)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
