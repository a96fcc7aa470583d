"""Sliced transport and transport between Gaussians."""

import math

from common import F32, F64, batch, gaussian, good, gradient, measure, refused, request, tensor

CONTRACT = "The contract: proto/kantor/v1/loss.proto"
LINE = "In dimension 1 all directions are the same, and transport pairs the points in order (Villani 2003, section 2.2)"
BURES = "Givens and Shortt 1984: W2² = |m-n|² + tr(A + B - 2(A^½BA^½)^½), of independent axes |m-n|² + Σ(σ-s)²"


def covariances(mean, covariance, dtype=F64):
    """An Input that is a Gaussian with covariances; mean is rows, covariance matrices."""
    n, d = len(mean), len(mean[0])
    flat = [x for matrix in covariance for row in matrix for x in row]
    return {"gaussian": {"mean": tensor([n, d], [x for row in mean for x in row], dtype), "covariance": tensor([n, d, d], flat, dtype)}}


def sliced_cases():
    x, y = [[3.0], [0.0], [1.0]], [[5.0], [6.0], [8.0]]
    for name, dtype in (("sliced_line", F64), ("sliced_line_float32", F32)):
        good(
            name,
            LINE + ": {0,1,3} to {5,6,8}, all by 5, which is the cost 25 and the gradient 2·5/3 each",
            request([{"sliced": {"directions": 4}}], {"source": measure(x, None, dtype), "target": measure(y, None, dtype)}, ["source.points", "target.points"]),
            25.0,
            1e-12,
            {"sliced": {"value": 25.0, "tolerance": 1e-12}},
            {"source.points": gradient([3, 1], [-10 / 3] * 3, 1e-6, dtype), "target.points": gradient([3, 1], [10 / 3] * 3, 1e-6, dtype)},
        )
    good(
        "sliced_line_weights",
        LINE + ": ¼ from 0 and ¾ from 1 to ½ at 2 and ½ at 4 is ¼·2 + ¼·1 + ½·3 for p = 1; where the mass at a point grows at the cost of the others' the value "
        "grows by the potentials |2-0| = 2 and |2-1| = 1, and 0 and 2, less their means",
        request(
            [{"sliced": {"p": 1}}],
            {"source": measure([[0.0], [1.0]], [0.25, 0.75]), "target": measure([[2.0], [4.0]], [0.5, 0.5])},
            ["source.points", "source.weights", "target.weights"],
        ),
        2.25,
        1e-12,
        {"sliced": {"value": 2.25, "tolerance": 1e-12}},
        {
            "source.points": gradient([2, 1], [-0.25, -0.75], 1e-12),
            "source.weights": gradient([2], [0.75, -0.25], 1e-12),
            "target.weights": gradient([2], [-1.0, 1.0], 1e-12),
        },
    )
    good(
        "sliced_max",
        "All directions of two Diracs: the most of (θ·v)² is |v|², along v, and its gradient 2v. The ascent ends where a step gains less than 1e-9",
        request([{"sliced": {"aggregate": "SLICE_AGGREGATE_MAX"}}], {"source": measure([[0.0, 0.0]]), "target": measure([[3.0, 4.0]])}, ["target.points"]),
        25.0,
        1e-7,
        {"sliced": {"value": 25.0, "tolerance": 1e-7, "converged": True, "warnings": []}},
        {"target.points": gradient([1, 2], [6.0, 8.0], 1e-2)},
    )
    good(
        "batch_sliced_ragged",
        LINE + "; padding is ignored and has gradient 0",
        request(
            [{"sliced": {"directions": 2}}],
            {"source": batch([[[0.0], [math.nan]], [[1.0], [3.0]]], sizes=[1, 2]), "target": measure([[2.0]])},
            ["source.points", "target.points"],
        ),
        5.0,
        1e-12,
        {"sliced": {"outcomes": [{"value": 4.0, "tolerance": 1e-12}, {"value": 1.0, "tolerance": 1e-12}]}},
        {"source.points": gradient([2, 2, 1], [-4.0, 0.0, -1.0, 1.0], 1e-12), "target.points": gradient([1, 1], [4.0], 1e-12)},
    )


def bad_sliced_cases():
    def case(name, message, field, **more):
        inputs = {"source": measure([[0.0]]), "target": measure([[1.0]]), **more}
        refused("bad_sliced_" + name, CONTRACT, request([{"sliced": message}], inputs), "objective.terms[0].sliced." + field)

    case("p", {"p": 3}, "p")
    case("directions", {"directions": -1}, "directions")
    case("directions_many", {"directions": 2**31 - 1}, "directions")
    case("max_iterations", {"aggregate": "SLICE_AGGREGATE_MAX", "maxIterations": -1}, "max_iterations")
    case("aggregate", {"aggregate": 7}, "aggregate")
    case("masses", {}, "target", target=measure([[1.0]], [2.0]))
    case("gaussian", {}, "source", source=gaussian([[0.0]], [[0.0]]))


def bures_cases():
    for name, dtype, tolerance in (("bures_standard_normal", F64, 1e-12), ("bures_standard_normal_float32", F32, 1e-6)):
        good(
            name,
            BURES + "; gradients 2m and σ(σ-1), the mean over rows",
            request(
                [{"bures": {}}],
                {"posterior": gaussian([[3.0, 0.0], [0.0, 0.0]], [[math.log(0.25), 0.0], [0.0, math.log(4.0)]], dtype)},
                ["posterior.mean", "posterior.log_variance"],
                ["bures.per_row"],
            ),
            (9.25 + 1) / 2,
            tolerance,
            {"bures": {"value": (9.25 + 1) / 2, "tolerance": tolerance}},
            {
                "posterior.mean": gradient([2, 2], [3.0, 0.0, 0.0, 0.0], tolerance, dtype),
                "posterior.log_variance": gradient([2, 2], [-0.125, 0.0, 0.0, 1.0], tolerance, dtype),
            },
        )
    value, root = 6 - 2 * (math.sqrt(3) + 1), math.sqrt(1 / 3)
    # A^-½ of [[2,1],[1,2]], with eigenvalues 1/√3 along (1,1) and 1 along (1,-1).
    same, other = (root + 1) / 2, (root - 1) / 2
    for name, prior in (("axes", gaussian([[0.0, 0.0]], [[0.0, 0.0]])), ("covariance", covariances([[0.0, 0.0]], [[[1.0, 0.0], [0.0, 1.0]]]))):
        good(
            "bures_to_" + name,
            BURES + ": A = [[2,1],[1,2]] and B = I give 6-2(√3+1), and I - A^-½ is the gradient in A",
            request(
                [{"bures": {"prior": "p"}}],
                {"posterior": covariances([[0.0, 0.0]], [[[2.0, 1.0], [1.0, 2.0]]]), "p": prior},
                ["posterior.covariance"],
                ["bures.map"],
            ),
            value,
            1e-12,
            {"bures": {"value": value, "tolerance": 1e-12}},
            {"posterior.covariance": gradient([1, 2, 2], [1 - same, -other, -other, 1 - same], 1e-12)},
        )
    good(
        "bures_singular",
        BURES + ", finite where all mass is in a point: |m|² + tr B",
        request([{"bures": {}}], {"posterior": covariances([[1.0, 0.0]], [[[0.0, 0.0], [0.0, 0.0]]])}, ["posterior.mean"]),
        3.0,
        1e-12,
        {"bures": {"value": 3.0, "tolerance": 1e-12}},
        {"posterior.mean": gradient([1, 2], [2.0, 0.0], 1e-12)},
    )
    good(
        "bures_measure",
        BURES + " of the moments of {-1, 3}: mean 1, variance 4, so 1 + (2-1)²; ∂x_i = ½(2m + 2(1 - s/σ)(x_i - m))",
        request([{"bures": {"posterior": "codes"}}], {"codes": measure([[-1.0], [3.0]])}, ["codes.points"]),
        2.0,
        1e-12,
        {"bures": {"value": 2.0, "tolerance": 1e-12, "warnings": ["FEW_POINTS"]}},
        {"codes.points": gradient([2, 1], [0.0, 2.0], 1e-12)},
    )
    matrices = [[[4.0]], [[9.0]]]
    good(
        "batch_bures_covariance",
        BURES + "; the shared prior's gradient is the sum",
        request(
            [{"bures": {"prior": "p"}}],
            {
                "posterior": {"gaussian": {"mean": tensor([2, 1, 1], [0.0, 1.0]), "covariance": tensor([2, 1, 1, 1], [m[0][0] for m in matrices])}},
                "p": gaussian([[0.0]], [[0.0]]),
            },
            ["posterior.covariance", "p.mean", "p.log_variance"],
        ),
        6.0,
        1e-12,
        {"bures": {"outcomes": [{"value": 1.0, "tolerance": 1e-12}, {"value": 5.0, "tolerance": 1e-12}]}},
        {
            "posterior.covariance": gradient([2, 1, 1, 1], [1 - 1 / 2, 1 - 1 / 3], 1e-12),
            "p.mean": gradient([1, 1], [-2.0], 1e-12),
            "p.log_variance": gradient([1, 1], [-1.0 - 2.0], 1e-12),
        },
    )


def bad_bures_cases():
    def case(name, inputs, field, **message):
        refused("bad_bures_" + name, CONTRACT, request([{"bures": message}], inputs), "objective.terms[0].bures." + field)

    two = gaussian([[0.0], [0.0]], [[0.0], [0.0]])
    case("indefinite", {"posterior": covariances([[0.0, 0.0]], [[[1.0, 2.0], [2.0, 1.0]]])}, "posterior")
    case("few_points", {"posterior": measure([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])}, "posterior")
    case("rows", {"posterior": two, "p": gaussian([[0.0]] * 3, [[0.0]] * 3)}, "prior", prior="p")
    case("dimension", {"posterior": two, "p": gaussian([[0.0, 0.0]], [[0.0, 0.0]])}, "prior", prior="p")
    case("prior_kind", {"posterior": two, "p": {"prior": {"standardNormal": {}}}}, "prior", prior="p")
    case("absent", {"posterior": two}, "prior", prior="p")
    refused(
        "bad_bures_gradient",
        CONTRACT,
        request([{"bures": {}}], {"posterior": covariances([[0.0]], [[[1.0]]])}, ["posterior.log_variance"]),
        "objective.gradients[0]",
    )
