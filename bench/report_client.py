"""The report's sections on the Python client."""

from __future__ import annotations

from bench.markdown import milliseconds, ratio, table
from bench.rows import Row

_TORCH = """## What PyTorch adds

The energy distance with its gradient over a stream: `stream` is the call on arrays; `nothing` the same, and then an
autograd function that does nothing, forward and backward; `by hand` such a function around the call, the least that a
loss can be; `kantor.torch.Loss` the call on tensors, forward and backward. One call of each in turn, in an order that
changes; medians, and of what a call adds the median over the turns. What `nothing` adds is PyTorch's, and paid for
every loss that is a function of Python's; after a wait, as for an answer, it is more than in a tight loop. What is
kantor's is the last column.
"""

_OVERLAP = """## A step that decodes meanwhile

Sinkhorn at its defaults, N={n}, D={dim}, blur {blur:.3g}: a step calls `stream.submit(...)`, lets a stand-in for a
decoder run, and asks for the result. The decoder sleeps, as one on an accelerator leaves the CPU alone, or multiplies
matrices with PyTorch on the cores that kantor computes on. Medians in milliseconds; the last columns are the step by
the longer of the two and by their sum.
"""

_DROP_IN = """## kantor.torch.SamplesLoss in the place of SamplesLoss

Both at their defaults (profile `geomloss`: the same steps), PyTorch tensors in, value and gradient out.
`online` computes through KeOps, from N=1024.
"""

_IMPORTS = """## The first lines of a program

Each line in processes of their own, one after the other; milliseconds. `Client()` starts a server.
"""


def torch_overhead(rows: list[Row]) -> str:
    """The medians, and how much above the call on arrays they are."""
    if not rows:
        return ""
    ways = ("stream", "nothing", "by hand", "kantor.torch.Loss")
    lines = []
    for row in rows:
        found = [f"{row['ms'][name]:.3f}" for name in ways]
        above = [f"{row['over_stream_us'][name]:.0f}" for name in ways[1:]]
        lines.append([str(row["n"]), str(row["dim"]), *found, *above, f"{row['over_nothing_us']:.0f}"])
    head = [
        "N",
        "D",
        *(f"{name}, ms" for name in ways),
        *(f"{name} adds, µs" for name in ("nothing", "by hand", "Loss")),
    ]
    return "\n".join([_TORCH, table([*head, "Loss adds to nothing, µs"], lines)])


def overlap(rows: list[Row]) -> str:
    """A table for each problem."""
    parts = []
    for row in rows:
        lines = []
        for found in row["steps"]:
            longer, both = (max(found["kantor"], found["decoder"]), found["kantor"] + found["decoder"])
            times = [milliseconds(found[name]) for name in ("kantor", "decoder", "step")]
            lines.append([found["work"], *times, f"{found['step'] / longer:.2f}", f"{found['step'] / both:.2f}"])
        parts += [_OVERLAP.format(**row)]
        parts += [table(["the decoder", "kantor", "decoder", "step", "by the longer", "by the sum"], lines)]
    return "\n".join(parts)


def drop_in(rows: list[Row]) -> str:
    """Ratios and times in one table."""
    if not rows:
        return ""
    libraries = list(dict.fromkeys(name for row in rows for name in row["ms"] if name != "kantor"))
    lines = []
    for row in rows:
        found = {name: timing["median"] for name, timing in row["ms"].items()}
        times = [milliseconds(found[name]) if name in found else row["absent"].get(name, "-") for name in libraries]
        ratios = [ratio(found[name] / found["kantor"]) if name in found else "-" for name in libraries]
        differences = [entry["gradient"] for entry in row["agreement"].values()]
        difference = f"{max(differences):.0e}" if differences else "-"
        where = [str(row["n"]), str(row["dim"])]
        lines.append([*where, *ratios, milliseconds(found["kantor"]), *times, difference])
    head = ["N", "D", *(f"against {name}" for name in libraries), "kantor, ms"]
    head += [*(f"{name}, ms" for name in libraries), "gradients differ by"]
    return "\n".join([_DROP_IN, table(head, lines)])


def behind(rows: list[Row]) -> list[str]:
    """Where another is faster as a drop-in."""
    found = []
    for row in rows:
        own = row["ms"]["kantor"]["median"]
        for name, timing in row["ms"].items():
            if timing["median"] < own:
                where = f"N={row['n']}, D={row['dim']}"
                found.append(f"in the place of SamplesLoss, {where}: {ratio(timing['median'] / own)} against {name}")
    return found


def imports(rows: list[Row]) -> str:
    """The lines in their order, then what they need."""
    parts = []
    for row in rows:
        lines = [
            [f"`{name}`", milliseconds(found["median"]), milliseconds(found["least"])]
            for name, found in row["ms"].items()
        ]
        parts += [_IMPORTS, table(["", "median", "least"], lines)]
    return "\n".join(parts)
