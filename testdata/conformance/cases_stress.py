"""Stress between two spaces."""

import math

from cases_families import covariances
from common import F32, F64, gaussian, good, gradient, measure, refused, request, tensor

CONTRACT = "The contract: proto/kantor/v1/loss.proto"
KRUSKAL = "Kruskal 1964: of the data 0, 1, 3 the distances are 1, 3, 2, of the codes 0, 1, 2 they are 1, 2, 1, so that Σdδ = 9, Σδ² = 14, Σd² = 6 and s = 9/14"


def stress_cases():
    data = [[0.0], [1.0], [3.0]]
    # V = 1 - 81/84 = 1/28; 1/3 [(d - sδ) - V d] of the pairs 01, 02, 12 is 1/3 of 9/28, 0, -9/28: the pull of every code on the line.
    best = [-3 / 28, 6 / 28, -3 / 28]
    for name, dtype, tolerance in (("stress_metric", F64, 1e-12), ("stress_metric_float32", F32, 1e-6)):
        good(
            name,
            KRUSKAL + "; the gradient is 2/Σd² of (d - sδ) - Vd for each pair",
            request(
                [{"stress": {}}], {"codes": measure([[0.0], [1.0], [2.0]], None, dtype), "data": measure(data, None, dtype)}, ["codes.points"], ["stress.scale"]
            ),
            1 / 28,
            tolerance,
            {"stress": {"value": 1 / 28, "tolerance": tolerance}},
            {"codes.points": gradient([3, 1], best, tolerance, dtype)},
        )
    good(
        "stress_scale",
        KRUSKAL + "; to the scale 1 it is (0 + 1 + 1)/14, and 2/14 of d - δ the gradient of each pair",
        request([{"stress": {"scale": 1}}], {"codes": measure([[0.0], [1.0], [2.0]]), "data": measure(data)}, ["codes.points"]),
        1 / 7,
        1e-12,
        {"stress": {"value": 1 / 7, "tolerance": 1e-12}},
        {"codes.points": gradient([3, 1], [1 / 7, 1 / 7, -2 / 7], 1e-12)},
    )
    good(
        "stress_rank",
        "Kruskal 1964: of the codes 0, 3, 1 the distances 3, 1, 2 go against the order of the data's, 1, 3, 2; all are pooled to 2, and Σ(d-2)² is 2 of 14. The data's "
        "order is locally constant",
        request([{"stress": {"form": "STRESS_FORM_RANK"}}], {"codes": measure([[0.0], [3.0], [1.0]]), "data": measure(data)}, ["data.points"], ["stress.correlation"]),
        1 / 7,
        1e-12,
        {"stress": {"value": 1 / 7, "tolerance": 1e-12}},
        {"data.points": gradient([3, 1], [0.0] * 3, 0)},
    )
    good(
        "stress_gaussian",
        "Givens and Shortt 1984: W2 between Gaussians of equal spread is the distance of the means; in proportion to the data's there is no stress",
        request([{"stress": {}}], {"codes": gaussian([[0.0], [2.0], [6.0]], [[0.5]] * 3), "data": measure(data)}, ["codes.mean", "codes.log_variance"]),
        0.0,
        1e-12,
        {"stress": {"value": 0.0, "tolerance": 1e-12}},
        {"codes.mean": gradient([3, 1], [0.0] * 3, 1e-12), "codes.log_variance": gradient([3, 1], [0.0] * 3, 1e-12)},
    )
    good(
        "stress_manhattan",
        "W1 between histograms over three bins is the Manhattan distance of their cumulative distributions (Villani 2003, section 2.2): the bins 0, 1, 2 are as far apart",
        request(
            [{"stress": {"codeMetric": "METRIC_MANHATTAN"}}],
            {"codes": measure([[1.0, 1.0, 1.0], [0.0, 1.0, 1.0], [0.0, 0.0, 1.0]]), "data": measure([[0.0], [1.0], [2.0]])},
        ),
        0.0,
        1e-12,
        {"stress": {"value": 0.0, "tolerance": 1e-12}},
    )
    good(
        "stress_infinite",
        "To a scale, data that are one point ask for codes that are one: the ratio is infinite, and its gradient taken as 0",
        request([{"stress": {"scale": 1}}], {"codes": measure([[0.0], [1.0]]), "data": measure([[2.0], [2.0]])}, ["codes.points"]),
        math.inf,
        0,
        {"stress": {"value": "Infinity", "tolerance": 0, "warnings": ["INFINITE_VALUE"]}},
        {"codes.points": gradient([2, 1], [0.0, 0.0], 0)},
    )
    good(
        "stress_batch",
        KRUSKAL + "; two problems that share the data",
        request([{"stress": {}}], {"codes": {"measure": {"points": tensor([2, 3, 1], [0.0, 1.0, 2.0, 0.0, 1.0, 3.0])}}, "data": measure(data)}, ["codes.points"]),
        1 / 28,
        1e-12,
        {"stress": {"outcomes": [{"value": 1 / 28, "tolerance": 1e-12}, {"value": 0.0, "tolerance": 1e-12}]}},
        {"codes.points": gradient([2, 3, 1], [*best, 0.0, 0.0, 0.0], 1e-12)},
    )


def bad_stress_cases():
    def case(name, message, field, **more):
        inputs = {"codes": measure([[0.0], [1.0]]), "data": measure([[0.0], [2.0]]), **more}
        refused("bad_stress_" + name, CONTRACT, request([{"stress": message}], inputs), "objective.terms[0].stress." + field)

    case("one_row", {}, "codes", codes=measure([[0.0]]), data=measure([[0.0]]))
    case("rows", {}, "data", data=measure([[0.0]]))
    case("weights", {}, "codes", codes=measure([[0.0], [1.0]], [0.5, 0.5]))
    case("data_weights", {}, "data", data=measure([[0.0], [1.0]], [0.5, 0.5]))
    case("data_gaussian", {}, "data", data=gaussian([[0.0], [1.0]], [[0.0], [0.0]]))
    case("covariances", {}, "codes", codes=covariances([[0.0], [1.0]], [[[1.0]], [[1.0]]]))
    case("gaussian_metric", {"codeMetric": "METRIC_MANHATTAN"}, "code_metric", codes=gaussian([[0.0], [1.0]], [[0.0], [0.0]]))
    case("deviation", {}, "codes", codes=gaussian([[0.0], [1.0]], [[2000.0], [0.0]]))
    case("form", {"form": 7}, "form")
    case("metric", {"dataMetric": 7}, "data_metric")
    case("scale", {"scale": 0}, "scale")
    case("scale_infinite", {"scale": "Infinity"}, "scale")
    case("rank_scale", {"form": "STRESS_FORM_RANK", "scale": 1}, "scale")
