"""The report's section on exact transport."""

from __future__ import annotations

from bench.markdown import milliseconds, ratio, table
from bench.rows import Row

_HEAD = """## Exact transport against POT's `ot.emd2`

W_p^p between the same clouds. `ot.emd2` gives the value, in float64 from `ot.dist` to the end; kantor, from float32,
the value with an interval as wide as rounding, and the gradient in the source points. The last column is the relative
difference of the values.
"""


def section(rows: list[Row]) -> str:
    """Times and ratios of every row that was measured with POT."""
    lines = []
    for row in rows:
        found = {name: timing["median"] for name, timing in row["ms"].items()}
        if "emd2" not in found:
            continue
        cells = [milliseconds(found["kantor"]), milliseconds(found["emd2"]), ratio(found["emd2"] / found["kantor"])]
        where = [str(row["p"]), str(row["dim"]), str(row["n"])]
        lines.append([*where, *cells, f"{row['agreement']['emd2']['value']:.0e}"])
    if not lines:
        return ""
    return "\n".join([_HEAD, table(["p", "D", "N", "kantor, ms", "emd2, ms", "ratio", "difference"], lines)])


def behind(rows: list[Row]) -> list[str]:
    """Where POT is faster."""
    return [
        f"exact transport, N={row['n']}, D={row['dim']}, p={row['p']}: {ratio(emd2 / own)} against emd2"
        for row in rows
        if (own := row["ms"]["kantor"]["median"]) > (emd2 := row["ms"].get("emd2", {"median": float("inf")})["median"])
    ]
