"""Split-batch debiasing, where halves are single points, and the temperature that is warned of."""

from common import good, gradient, measure, refused, request, tensor

DIRACS = (
    "Halves of one point each: OT between Diracs is the cost for every ε, so U = ¼ Σ ½(x_k-y_l)² - ½·½(x₁-x₂)² - ½·½(y₁-y₂)², whichever point is in which "
    "half; ∂U/∂x_k = ¼ Σ_l (x_k-y_l) - ½(x_k-x_k')"
)
CONTRACT = "The contract: proto/kantor/v1/loss.proto"
SPLIT = {"debias": "DEBIAS_SPLIT"}


def split_cases():
    x, y = [0.0, 2.0], [1.0, 5.0]
    value = sum((a - b) ** 2 / 2 for a in x for b in y) / 4 - (x[0] - x[1]) ** 2 / 4 - (y[0] - y[1]) ** 2 / 4
    assert value == -0.5  # below 0, which is not clipped
    at_x = [sum(a - b for b in y) / 4 - (a - c) / 2 for a, c in zip(x, reversed(x), strict=True)]
    at_y = [sum(b - a for a in x) / 4 - (b - c) / 2 for b, c in zip(y, reversed(y), strict=True)]
    terms = {"sinkhorn": {"value": value, "tolerance": 1e-12, "contains": value, "converged": True, "warnings": []}}
    good(
        "sinkhorn_split",
        DIRACS,
        request(
            [{"sinkhorn": {**SPLIT, "epsilon": 0.5}}],
            {"source": measure([[a] for a in x]), "target": measure([[b] for b in y])},
            ["source.points", "target.points"],
            seed=5,
        ),
        value,
        1e-12,
        terms,
        {"source.points": gradient([2, 1], at_x, 1e-12), "target.points": gradient([2, 1], at_y, 1e-12)},
    )
    second = {"secondSource": "source_too", "secondTarget": "target_too"}
    inputs = {"source": measure([[x[0]]]), "source_too": measure([[x[1]]]), "target": measure([[y[0]]]), "target_too": measure([[y[1]]])}
    good(
        "sinkhorn_split_second",
        DIRACS,
        request([{"sinkhorn": {**SPLIT, **second, "epsilon": 0.5}}], inputs, [name + ".points" for name in inputs]),
        value,
        1e-12,
        terms,
        {name + ".points": gradient([1, 1], [g], 1e-12) for name, g in zip(inputs, at_x + at_y, strict=True)},
    )


def bad_split_cases():
    two, three = measure([[0.0], [2.0]]), measure([[0.0], [2.0], [3.0]])

    def case(name, loss, inputs, field):
        refused("bad_split_" + name, CONTRACT, request([{"sinkhorn": {**SPLIT, **loss}}], inputs), "objective.terms[0].sinkhorn." + field)

    case("odd", {}, {"source": three, "target": three}, "source")
    case("sizes", {}, {"source": two, "target": measure([[0.0]] * 4)}, "target")
    case("weights", {}, {"source": two, "target": measure([[0.0], [1.0]], [0.25, 0.75])}, "target")
    case("masses", {"reach": 1}, {"source": two, "target": measure([[0.0], [1.0]], [1.0, 1.0])}, "target")
    case("same", {"target": "source"}, {"source": two}, "target")
    case("profile", {"profile": "PROFILE_GEOMLOSS"}, {"source": two, "target": two}, "debias")
    case("second_alone", {"secondSource": "second"}, {"source": two, "target": two, "second": two}, "second_target")
    names = {"secondSource": "second", "secondTarget": "third"}
    case("second_size", names, {"source": two, "target": two, "second": three, "third": two}, "second_source")
    case("second_same", {**names, "secondTarget": "second"}, {"source": two, "target": two, "second": two}, "second_target")
    case("second_without", {**names, "debias": "DEBIAS_SELF"}, {"source": two, "target": two, "second": two, "third": two}, "second_source")


def blur_large_cases():
    v = 0.5
    inputs = {"source": measure([[-1.0], [1.0]]), "target": {"measure": {"points": tensor([2, 1], [-1.0 + v, 1.0 + v])}}}
    good(
        "sinkhorn_blur_large",
        "Translation by v: S = ½v² for every ε and ∂S/∂x_i = -a_i v; the target's variance is 1, a blur of 2 a temperature of 4 (row T13 of docs/mathematics.md)",
        request([{"sinkhorn": {"blur": 2}}], inputs, ["source.points"]),
        v * v / 2,
        1e-6,
        {"sinkhorn": {"value": v * v / 2, "tolerance": 1e-6, "contains": v * v / 2, "converged": True, "warnings": ["BLUR_LARGE"]}},
        {"source.points": gradient([2, 1], [-v / 2, -v / 2], 1e-3)},
    )
