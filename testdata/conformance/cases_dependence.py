"""Total correlation and the disentangled inferred prior."""

import math

from cases_families import covariances
from common import F32, F64, gaussian, good, gradient, measure, refused, request, tensor

CONTRACT = "The contract: proto/kantor/v1/loss.proto"
EQUAL = (
    "Chen et al. 2018: of equal posteriors the stratified weights, which sum to 1, give q(z) itself; the weighted ones, which sum to 1/N, give it over N, so that the "
    "parts are ln N, (D-1) ln N and the mean of ln q(z) - ln p(z) less D ln N"
)
KUMAR = "Kumar et al. 2018: the rows ±(1,2) have the covariance [[1,2],[2,4]], and 2/N of the slope [[0,4],[4,2d·3]] times a row is its gradient"


def total_correlation_cases():
    # At μ = 1, v = 0 the code z has ln q - ln p = ½(z² - (z-1)²): ½ for z = 1, 3/2 for z = 2.
    for name, dtype, tolerance in (("total_correlation_stratified", F64, 1e-12), ("total_correlation_stratified_float32", F32, 1e-6)):
        good(
            name,
            EQUAL + "; with factors of 1 the parts telescope, and the gradients are μ/n in the codes, (z-μ)/n in the means and ½((z-μ)²-1)/n in the log-variances",
            request(
                [{"totalCorrelation": {"datasetSize": "10"}}],
                {"codes": measure([[1.0], [2.0]], None, dtype), "posterior": gaussian([[1.0], [1.0]], [[0.0], [0.0]], dtype)},
                ["codes.points", "posterior.mean", "posterior.log_variance"],
                ["total_correlation.mutual_information"],
            ),
            1.0,
            tolerance,
            {"total_correlation": {"value": 1.0, "tolerance": tolerance}},
            {
                "codes.points": gradient([2, 1], [0.5, 0.5], tolerance, dtype),
                "posterior.mean": gradient([2, 1], [0.0, 0.5], tolerance, dtype),
                "posterior.log_variance": gradient([2, 1], [-0.25, 0.0], tolerance, dtype),
            },
        )
    value = 2 * math.log(50) + 2.0
    good(
        "total_correlation_weighted",
        EQUAL + ": with β = 3 in two dimensions ln 50 (1 + 3 - 2) + 2",
        request(
            [{"totalCorrelation": {"estimator": "ESTIMATOR_WEIGHTED", "datasetSize": "50", "correlation": 3}}],
            {"codes": measure([[1.0, 1.0], [2.0, 2.0]]), "posterior": gaussian([[1.0, 1.0]] * 2, [[0.0, 0.0]] * 2)},
        ),
        value,
        1e-12,
        {"total_correlation": {"value": value, "tolerance": 1e-12}},
    )
    good(
        "total_correlation_batch",
        EQUAL + "; two problems, each by itself",
        request(
            [{"totalCorrelation": {"datasetSize": "10"}}],
            {
                "codes": {"measure": {"points": tensor([2, 2, 1], [1.0, 2.0, 2.0, 2.0])}},
                "posterior": {"gaussian": {"mean": tensor([2, 2, 1], [1.0] * 4), "logVariance": tensor([2, 2, 1], [0.0] * 4)}},
            },
            ["codes.points"],
        ),
        2.5,
        1e-12,
        {"total_correlation": {"outcomes": [{"value": 1.0, "tolerance": 1e-12}, {"value": 1.5, "tolerance": 1e-12}]}},
        {"codes.points": gradient([2, 2, 1], [0.5] * 4, 1e-12)},
    )
    good(
        "total_correlation_transport",
        "A single code is its own permutation: S = 0, and so is its gradient",
        request([{"totalCorrelation": {"estimator": "ESTIMATOR_TRANSPORT", "blur": 0.5}}], {"codes": measure([[1.0, -2.0]])}, ["codes.points"]),
        0.0,
        1e-12,
        {"total_correlation": {"value": 0.0, "tolerance": 1e-12}},
        {"codes.points": gradient([1, 2], [0.0, 0.0], 1e-12)},
    )


def bad_total_correlation_cases():
    def case(name, message, field, **more):
        inputs = {"codes": measure([[1.0], [2.0]]), "posterior": gaussian([[1.0], [1.0]], [[0.0], [0.0]]), **more}
        inputs = {key: value for key, value in inputs.items() if value}
        refused("bad_total_correlation_" + name, CONTRACT, request([{"totalCorrelation": message}], inputs), "objective.terms[0].total_correlation." + field)

    size = {"datasetSize": "10"}
    case("size_absent", {}, "dataset_size")
    case("size_small", {"datasetSize": "1"}, "dataset_size")
    case("one_row", size, "posterior", codes=measure([[1.0]]), posterior=gaussian([[1.0]], [[0.0]]))
    case("rows", size, "codes", codes=measure([[1.0]]))
    case("weights", size, "codes", codes=measure([[1.0], [2.0]], [0.5, 0.5]))
    case("codes_kind", size, "codes", codes=gaussian([[1.0], [1.0]], [[0.0], [0.0]]))
    case("posterior_kind", size, "posterior", posterior=measure([[1.0], [2.0]]))
    case("covariances", size, "posterior", posterior=covariances([[0.0], [0.0]], [[[1.0]], [[1.0]]]))
    case("factor", {**size, "correlation": "Infinity"}, "correlation")
    case("estimator", {**size, "estimator": 7}, "estimator")
    case("blur", {**size, "blur": 0.5}, "blur")
    case("debias", {**size, "debias": "DEBIAS_NONE"}, "debias")
    transport = {"estimator": "ESTIMATOR_TRANSPORT"}
    case("transport_posterior", {**transport, "posterior": "posterior"}, "posterior")
    case("transport_size", {**transport, **size}, "dataset_size", posterior=None)
    case("transport_factor", {**transport, "mutualInformation": 1}, "mutual_information", posterior=None)
    case("transport_blur", {**transport, "blur": -1}, "blur", posterior=None)
    case("transport_split", {**transport, "debias": "DEBIAS_SPLIT"}, "codes", codes=measure([[1.0], [2.0], [3.0]]), posterior=None)


def dip_cases():
    pair = [[1.0, 2.0], [-1.0, -2.0]]
    for name, message, dtype, diagonal, tolerance in (
        ("dip_means", {}, F64, 10, 1e-12),
        ("dip_means_float32", {}, F32, 10, 1e-6),
        ("dip_factors", {"offDiagonal": 1, "diagonal": 0.5}, F64, 0.5, 1e-12),
    ):
        value = 8 + 9 * diagonal
        good(
            name,
            KUMAR,
            request(
                [{"dip": message}],
                {"posterior": gaussian(pair, [[0.0, 0.0]] * 2, dtype)},
                ["posterior.mean", "posterior.log_variance"],
                ["dip.covariance"],
            ),
            value,
            tolerance,
            {"dip": {"value": value, "tolerance": tolerance}},
            {
                "posterior.mean": gradient([2, 2], [8.0, 4 + 12 * diagonal, -8.0, -4 - 12 * diagonal], tolerance, dtype),
                "posterior.log_variance": gradient([2, 2], [0.0] * 4, tolerance, dtype),
            },
        )
    good(
        "dip_codes",
        "Kumar et al. 2018: the means are 0, so the covariance is that of the posteriors' own, diag(4, 1), and 2(4-1)·4/n is the slope of its first variances",
        request(
            [{"dip": {"moments": "MOMENTS_CODES"}}],
            {"posterior": gaussian([[0.0, 0.0]] * 2, [[math.log(4), 0.0]] * 2)},
            ["posterior.log_variance"],
        ),
        9.0,
        1e-12,
        {"dip": {"value": 9.0, "tolerance": 1e-12}},
        {"posterior.log_variance": gradient([2, 2], [12.0, 0.0, 12.0, 0.0], 1e-11)},
    )


def bad_dip_cases():
    def case(name, message, field, posterior=None):
        inputs = {"posterior": posterior or gaussian([[1.0], [2.0]], [[0.0], [0.0]])}
        refused("bad_dip_" + name, CONTRACT, request([{"dip": message}], inputs), "objective.terms[0].dip." + field)

    case("one_row", {}, "posterior", gaussian([[1.0]], [[0.0]]))
    case("kind", {}, "posterior", measure([[1.0], [2.0]]))
    case("covariances", {}, "posterior", covariances([[0.0], [0.0]], [[[1.0]], [[1.0]]]))
    case("moments", {"moments": 7}, "moments")
    case("off_diagonal", {"offDiagonal": -1}, "off_diagonal")
    case("diagonal", {"diagonal": "NaN"}, "diagonal")
