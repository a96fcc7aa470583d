"""The report's sections on kantor alone: instruction sets, kernels, cores."""

from __future__ import annotations

from bench.markdown import milliseconds, table
from bench.rows import Row

_KERNEL = """## The fused kernel against its limits

One core, float32: a softmin over points that stores none of its pairs. A pair takes 2D/peak for the product and t_exp
for the exponential and its sum, both measured in this run; the last column is that time by the one it took. It is above
1 where products and exponentials overlap.
"""

_SCALING = """## Cores

The same kernel, D={d}, on one core and on all {processors}:
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
    """What `kantor bench kernel` found, but for the plain loops."""
    entries = [entry for row in rows for entry in row["found"]["kernels"] if entry["implementation"] != "generic"]
    if not entries:
        return ""
    columns = ("gpair_per_s", "peak_gflop_per_s", "t_exp_ns", "of_roofline")
    lines = [
        [entry["implementation"], str(entry["d"]), *(f"{entry[name]:.3g}" for name in columns)] for entry in entries
    ]
    return "\n".join([_KERNEL, table(["kernels", "D", "Gpair/s", "peak, Gflop/s", "t_exp, ns", "of the limit"], lines)])


def scaling(rows: list[Row]) -> str:
    """What `kantor bench scaling` found."""
    parts = []
    for row in rows:
        found = row["found"]
        columns = ("one_gpair_per_s", "all_gpair_per_s", "speedup")
        lines = [[str(entry["n"]), *(f"{entry[name]:.3g}" for name in columns)] for entry in found["sizes"]]
        parts += [_SCALING.format(d=found["d"], processors=found["processors"])]
        parts += [table(["N", "one, Gpair/s", "all, Gpair/s", "speed-up"], lines)]
    return "\n".join(parts)
