"""R4, geometry: does the latent space keep the data's distances?"""

from __future__ import annotations

import numpy as np

import digits
import measures
import model
from study import data, r4_cells, r4_maps, r4_pictures, timed
from study.cells import Cell, Profile, Result, Row
from study.paired import compare, ranges, short
from study.part import Conclusion, Part, Section, Tables, named, tables_of, where

# Weights at which a head still reconstructs: above them the posteriors collapse to the prior.
WEIGHTS = {
    ("gaussian", "kl"): (0.05, 0.2),
    ("gaussian", "w1"): (0.05, 0.2),
    ("histogram", "kl"): (0.03, 0.06),
    ("histogram", "w1"): (0.05, 0.1),
}
STRESS = 1.0
PERMUTATIONS = 5
HEADS = {"gaussian": "Gaussian", "histogram": "histogram"}
REGULARISERS = {"kl": "KL", "w1": "W1"}
MEASURES = {
    "trustworthiness": ("trustworthiness of the neighbourhoods", "higher"),
    "neighbours_kept": ("the share of kept neighbours", "higher"),
    "stress": ("stress", "lower"),
    "knn_accuracy": ("the accuracy of nearest neighbours", "higher"),
    "reconstruction": ("the error of reconstruction", "lower"),
    "prior_energy": ("the energy distance of the codes from the prior", "lower"),
}


def plan(profile: Profile, fashion: bool) -> list[Cell]:
    """Six seeds, in the quick profile one; Fashion-MNIST, where it is there, beside the digits but in that."""
    quick = profile == "quick"
    seeds, steps = range(1 if quick else 6), {"quick": 200, "default": 400, "full": 3000}[profile]
    cells = [Cell("r4", "bumps", {"seed": seed}) for seed in range(PERMUTATIONS + 1)]
    for (head, regulariser), weights in WEIGHTS.items():
        for weight in weights[:1] if quick else weights:
            for stress in (0.0, STRESS) if weight == weights[0] else (0.0,):
                fixed: Row = {"data": "digits", "head": head, "regulariser": regulariser, "weight": weight}
                cells += [
                    Cell("r4", "heads", {**fixed, "stress": stress, "steps": steps, "seed": seed}) for seed in seeds
                ]
    return cells + [
        Cell("r4", "map", {"data": name, "objective": objective, "steps": 2 * steps, "seed": seed})
        for name in (["digits", "fashion"] if fashion and not quick else ["digits"])
        for objective in r4_maps.OBJECTIVES
        for seed in seeds
    ]


def section(results: list[Result]) -> Section:
    """Draws bumps, heads and maps, and concludes."""
    tables = tables_of(results)
    text = [
        "First without training: posteriors are bumps of five bins among 64 on a line. KL to the uniform prior is the "
        "same for every bump, and stays the same when the bins are permuted; W1 between two bumps is their distance "
        "until then (row T24 of docs/mathematics.md).",
        "Then the same autoencoder with codes on a line and two heads: a Gaussian, whose decoder gets a number, and a "
        "histogram over 64 bins, whose decoder gets a bin and is not told where it is. Each is trained with KL or with "
        "W1 between each posterior and the prior, on the line, and with a term beside it that asks for distances: the "
        "stress between W1 of the posteriors and the distances of their images. Measured is the correlation of these "
        "two distances over all pairs of held-out digits, and for histograms the same with shuffled bins.",
        "Last, codes in the plane, with KL or a Sinkhorn divergence of split batches, with and without stress: "
        "trustworthiness (Venna and Kaski 2001), kept neighbours (10 of each image) and Kruskal's stress of held-out "
        "images' means, and straight ways between two images, decoded.",
    ]
    drawn = [r4_pictures.bumps(results), r4_pictures.heads(results, tables)]
    for name in dict.fromkeys(str(row["data"]) for row in tables["r4_map"]):
        drawn += [r4_pictures.maps(results, name), r4_pictures.strips(results, name)]
    said = [blind(tables), *heads_said(tables), *maps_said(tables)]
    return Section(text, drawn, said, summary(tables))


def summary(tables: Tables) -> list[Row]:
    """Means over the seeds of what was measured on maps."""
    out: list[Row] = []
    rows = tables["r4_map"]
    for name, objective in dict.fromkeys((row["data"], row["objective"]) for row in rows):
        found = where(rows, data=name, objective=objective)
        row: Row = {"codes in the plane": f"{name}, {objective}"}
        for key in (*MEASURES, "server_share"):
            row[key.replace("_", " ")] = short(float(np.mean([float(r[key]) for r in found])))
        out.append(row)
    return out


def numbers(rows: list[Row], name: str) -> list[float]:
    """One measure, in the order of the seeds."""
    return [float(row[name]) for row in sorted(rows, key=lambda row: int(row["seed"]))]


def blind(tables: Tables) -> Conclusion:
    """KL of the permuted bumps, and their correlation."""
    rows = tables["r4_bumps"]
    own, permuted = where(rows, seed=0)[0], [row for row in rows if row["seed"] != 0]
    same = max(abs(float(row["kl"]) - float(own["kl"])) for row in permuted) < 1e-9
    return Conclusion(
        f"KL {'does not see' if same else 'sees'} that bins are permuted: it is {float(own['kl']):.6f} nats "
        f"{'before and after' if same else 'before, and another number after'}, while the correlation of W1 with the "
        f"bumps' distance falls from {short(float(own['correlation']))} to "
        f"{ranges(numbers(permuted, 'correlation'))}.",
        f"a closed form, compared to 1e-9; range over {len(permuted)} permutations",
        named("r4_bumps", len(rows)),
    )


def heads_said(tables: Tables) -> list[Conclusion]:
    """What each head keeps under KL and under W1, and with stress."""
    rows = tables["r4_heads"]
    out = []
    for head, label in HEADS.items():
        kl, w1 = (where(rows, head=head, regulariser=r, weight=WEIGHTS[head, r][0], stress=0.0) for r in REGULARISERS)
        found = compare(numbers(w1, "correlation"), numbers(kl, "correlation"))
        said = {"higher": "more", "lower": "less", "undecided": "not decidedly more or less"}[found.verdict]
        out.append(
            Conclusion(
                f"With the {label} head W1 to the prior in the place of KL keeps {said} of the images' distances: the "
                f"correlation is {ranges(numbers(w1, 'correlation'))} against {ranges(numbers(kl, 'correlation'))}.",
                found.said,
                named("r4_heads", len(kl + w1), head=head, stress=0, weight="the lower of each"),
                "KL" if found.verdict == "lower" else "",
            )
        )
    out += [shuffled(rows, regulariser) for regulariser in REGULARISERS]
    out += [stressed(rows, head, regulariser) for head in HEADS for regulariser in REGULARISERS]
    return out


def shuffled(rows: list[Row], regulariser: str) -> Conclusion:
    """Whether the order of a histogram's bins means anything, of the first weight."""
    weight = WEIGHTS["histogram", regulariser][0]
    used = where(rows, head="histogram", regulariser=regulariser, weight=weight, stress=0.0)
    found = compare(numbers(used, "correlation"), numbers(used, "shuffled"))
    said = {
        "higher": "means something: shuffled bins keep less of the images' distances",
        "lower": "is worse than chance: shuffled bins keep more of the images' distances",
        "undecided": "is not told from chance: shuffled bins keep about as much of the images' distances",
    }[found.verdict]
    return Conclusion(
        f"Under {REGULARISERS[regulariser]} the order of a trained histogram's bins {said}.",
        found.said,
        named("r4_heads", len(used), head="histogram", regulariser=regulariser, weight=weight, stress=0),
    )


def stressed(rows: list[Row], head: str, regulariser: str) -> Conclusion:
    """What the stress term does to a head."""
    fixed = {"head": head, "regulariser": regulariser, "weight": WEIGHTS[head, regulariser][0]}
    without, beside = where(rows, **fixed, stress=0.0), where(rows, **fixed, stress=STRESS)
    found = compare(numbers(beside, "correlation"), numbers(without, "correlation"))
    price = compare(numbers(beside, "reconstruction"), numbers(without, "reconstruction"))
    said = {"higher": "raises", "lower": "lowers", "undecided": "does not decidedly change"}[found.verdict]
    cost = {"higher": "a larger", "lower": "a smaller", "undecided": "no decidedly other"}[price.verdict]
    return Conclusion(
        f"Beside {REGULARISERS[regulariser]} and the {HEADS[head]} head the stress term {said} the correlation of W1 "
        f"with the images' distances, with {cost} error of reconstruction.",
        f"correlation: {found.said}; reconstruction: {price.said}",
        named("r4_heads", len(without + beside), **fixed),
    )


def maps_said(tables: Tables) -> list[Conclusion]:
    """Sinkhorn against KL, and stress against none, for each measure of maps."""
    rows = tables["r4_map"]
    out = []
    for name in dict.fromkeys(str(row["data"]) for row in rows):
        for first, second in (("Sinkhorn", "KL"), ("Sinkhorn + stress", "Sinkhorn")):
            out.append(versus(where(rows, data=name), name, first, second))
    return out


def versus(rows: list[Row], name: str, first: str, second: str) -> Conclusion:
    """In what one objective is better than another, worse, or neither."""
    better: list[str] = []
    worse: list[str] = []
    level: list[str] = []
    tests = []
    for key, (label, good) in MEASURES.items():
        found = compare(*(numbers(where(rows, objective=objective), key) for objective in (first, second)))
        (level if found.verdict == "undecided" else better if found.verdict == good else worse).append(label)
        tests.append(f"{label}: {found.said}")
    lists = [", ".join(names) or "nothing" for names in (better, worse, level)]
    said = f"better in {lists[0]}; worse in {lists[1]}; undecided in {lists[2]}"
    sentence = f"Codes in the plane, {name}, {first} against {second}: {said}."
    used = [row for row in rows if row["objective"] in (first, second)]
    which = {"data": name, "objective": f"{first} or {second}"}
    favours = "KL" if second == "KL" and len(worse) > len(better) else ""
    return Conclusion(sentence, "; ".join(tests), named("r4_map", len(used), **which), favours)


PART = Part(
    "r4",
    "R4. Geometry",
    (r4_cells, r4_maps, data, timed, model, measures, digits),
    r4_cells.compute,
    plan,
    section,
    {"quick": 60, "default": 900, "full": 4500},
)
