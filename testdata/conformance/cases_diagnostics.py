"""Diagnostics of a latent space."""

import math

from cases_kl import full
from common import F32, F64, batch, diagnosed, gaussian, measure, not_diagnosed, tensor

CONTRACT = "The contract: proto/kantor/v1/diagnostic_service.proto"
BURDA = "Burda, Grosse, Salakhutdinov 2016, section 5.2: the variances of the means are 9 and .0025"
WANG = "Wang, Kulkarni, Verdú 2009, equation 5: D/n Σ ln(ν/ρ) + ln(m/(n-1)); of 0, 1, 3 the nearest others are 1, 1, 2 away, those of ½, 5, 9 ½, ½, 2"
KOZACHENKO = "Kraskov, Stögbauer, Grassberger 2004, equation 20: ψ(n) - ψ(k) + ln V + D/n Σ ln ρ with ψ(3) - ψ(1) = 3/2, V = 2 and ρ = 1, 1, 2"
NORMAL_ENTROPY = "Cover and Thomas 2006, theorem 8.4.1: ½ ln det 2πeΣ"
PHIPSON = "Phipson and Smyth 2010: (1 + number as far apart)/(1 + permutations)"
LN2 = math.log(2)


def detail(values, tolerance=1e-12, dtype=F64):
    return {
        "dtype": dtype,
        "shape": [len(values)],
        "values": values,
        "tolerance": tolerance,
    }


def numbers(*values, tolerance=1e-12, details=None, warnings=()):
    """What one diagnostic gives, a value for each problem."""
    return {
        "values": list(values),
        "tolerance": tolerance,
        "details": details or {},
        "warnings": list(warnings),
    }


def active_unit_cases():
    rows = [[-3.0, 0.05], [3.0, -0.05]]
    for name, source in (
        ("gaussian", gaussian(rows, [[0.0, 0.0]] * 2)),
        ("measure", measure(rows)),
    ):
        diagnosed(
            "active_units_" + name,
            BURDA + ", of which .0025 is above .002 and below the default .01",
            [
                {"activeUnits": {}},
                {
                    "name": "more",
                    "activeUnits": {"posterior": "posterior", "threshold": 0.002},
                },
            ],
            {"posterior": source},
            {
                "active_units": numbers(1, details={"variance": detail([9, 0.0025])}),
                "more": numbers(2, details={"variance": detail([9, 0.0025])}),
            },
        )
    diagnosed(
        "active_units_batch",
        "Variances 1 and 0 of two problems, float32",
        [{"activeUnits": {}}],
        {"posterior": batch([[[-1.0], [1.0]], [[7.0], [7.0]]], dtype=F32)},
        {
            "active_units": numbers(
                1,
                0,
                details={
                    "variance": {
                        "dtype": F64,
                        "shape": [2, 1],
                        "values": [1, 0],
                        "tolerance": 1e-12,
                    }
                },
            )
        },
    )


def neighbour_cases():
    x = measure([[0.0], [1.0], [3.0]])
    diagnosed(
        "nearest_neighbour_kl",
        WANG,
        [{"nearestNeighbourKl": {"neighbours": 1}}],
        {"source": x, "target": measure([[0.5], [5.0], [9.0]])},
        {"nearest_neighbour_kl": numbers(-2 / 3 * LN2 + math.log(1.5))},
    )
    diagnosed(
        "nearest_neighbour_kl_infinite",
        "Points that coincide have no density: ρ is 0",
        [{"nearestNeighbourKl": {"neighbours": 1}}],
        {"source": measure([[1.0], [1.0]]), "target": measure([[0.0]])},
        {"nearest_neighbour_kl": numbers("Infinity", tolerance=0, warnings=["INFINITE_VALUE"])},
    )
    diagnosed(
        "nearest_neighbour_kl_high",
        "The same points on one of five axes: ν and ρ stay, D is 5; rough, which is told",
        [{"nearestNeighbourKl": {"neighbours": 1}}],
        {
            "source": measure([[v, 0.0, 0.0, 0.0, 0.0] for v in (0.0, 1.0, 3.0)]),
            "target": measure([[v, 0.0, 0.0, 0.0, 0.0] for v in (0.5, 5.0, 9.0)]),
        },
        {"nearest_neighbour_kl": numbers(-10 / 3 * LN2 + math.log(1.5), warnings=["HIGH_DIMENSION"])},
    )
    diagnosed(
        "entropy_measure",
        KOZACHENKO,
        [{"entropy": {"neighbours": 1}}],
        {"source": x},
        {"entropy": numbers(1.5 + LN2 + LN2 / 3)},
    )
    one = math.log(2 * math.pi * math.e)
    diagnosed(
        "entropy_gaussian",
        NORMAL_ENTROPY + ", the mean over the rows",
        [{"entropy": {}}, {"name": "full", "entropy": {"source": "full"}}],
        {
            "source": gaussian([[5.0, 5.0], [0.0, 0.0]], [[1.0, 2.0], [3.0, 4.0]]),
            "full": full([[0.0, 0.0]], [[[2.0, 1.0], [1.0, 2.0]]]),
        },
        {"entropy": numbers(one + 2.5), "full": numbers(one + math.log(3) / 2)},
    )


def permutation_cases():
    x, y = (
        measure([[float(i)] for i in range(10)]),
        measure([[100.0 + i] for i in range(10)]),
    )
    diagnosed(
        "permutation_test_apart",
        PHIPSON
        + ": a split of these twenty points is the given one or its complement with a probability of 2/184756, so that none of 99 is, but with one of .001. "
        "The energy is 2·100 - 11/3 - 11/3, since a pair of 0 to 9 is 11/3 apart on average",
        [{"permutationTest": {"permutations": 99}}],
        {"source": x, "target": y},
        {"permutation_test": numbers(0.01, details={"statistic": detail([200 - 22 / 3], 1e-11)})},
        seed=3,
    )
    diagnosed(
        "permutation_test_same",
        PHIPSON + ": of points that are all the same every split is as far apart as any",
        [
            {
                "permutationTest": {
                    "permutations": 19,
                    "kernel": "KERNEL_GAUSSIAN",
                    "blur": 1,
                }
            }
        ],
        {"source": measure([[2.0]] * 3), "target": measure([[2.0]] * 4)},
        {"permutation_test": numbers(1, details={"statistic": detail([0.0])})},
    )


def scale_cases():
    diagnosed(
        "effective_scale_normal",
        "±2 along the first of two axes has the variances 4 and 0; N(0,I) has 1 and 1: √(4/2), 2 and 0",
        [{"effectiveScale": {"target": "prior"}}],
        {
            "source": measure([[2.0, 0.0], [-2.0, 0.0]]),
            "prior": {"prior": {"standardNormal": {}}},
        },
        {"effective_scale": numbers(math.sqrt(2), details={"per_dimension": detail([2.0, 0.0])})},
    )
    diagnosed(
        "effective_scale_infinite",
        "A target that is one point has no spread",
        [{"effectiveScale": {}}],
        {"source": measure([[0.0], [1.0]]), "target": measure([[3.0]])},
        {
            "effective_scale": numbers(
                "Infinity",
                tolerance=0,
                details={"per_dimension": detail(["Infinity"], 0)},
                warnings=["INFINITE_VALUE"],
            )
        },
    )
    square = measure([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    diagnosed(
        "expected_shrink_split",
        "Salimans et al. 2018: split batches are least at the truth. Four points; a square has the covariance I, and ε is blur²",
        [{"expectedShrink": {"blur": 0.5, "debias": "DEBIAS_SPLIT"}}],
        {"source": square, "target": square},
        {
            "expected_shrink": numbers(
                1,
                details={
                    "effective_points": detail([4.0]),
                    "effective_dimension": detail([2.0]),
                    "epsilon": detail([0.25]),
                },
            )
        },
    )
    # ±√8 along each of eight axes has the covariance I.
    axes = [[sign * math.sqrt(8) if j == i else 0.0 for j in range(8)] for i in range(8) for sign in (1, -1)]
    diagnosed(
        "expected_shrink_self",
        "docs/mathematics.md, the shrink law: of N(0,I) in 8 dimensions batches of 128 points at ε = .8 are least at .77, by experiment to .02",
        [{"expectedShrink": {"epsilon": 0.8}}],
        {
            "source": measure([[float(i)] + [0.0] * 7 for i in range(128)], None, F32),
            "target": measure(axes),
        },
        {
            "expected_shrink": numbers(
                0.77,
                tolerance=0.02,
                details={
                    "effective_points": detail([128.0]),
                    "effective_dimension": detail([8.0]),
                    "epsilon": detail([0.8]),
                },
            )
        },
    )
    diagnosed(
        "expected_shrink_few",
        "The contract: of fewer than 16 points, here 1/Σw² = 8/3, it is the scale of 16. On a line that is c/m at any low ε, the mean product of two sorted batches of N(0,1): "
        "the sum of the squared expected order statistics over 16, .859",
        [{"expectedShrink": {"epsilon": 0.01}}],
        {
            "source": measure([[0.0], [1.0], [2.0]], [0.5, 0.25, 0.25]),
            "target": measure([[1.0], [-1.0]]),
        },
        {
            "expected_shrink": numbers(
                0.859,
                tolerance=0.02,
                details={
                    "effective_points": detail([8 / 3]),
                    "effective_dimension": detail([1.0]),
                    "epsilon": detail([0.01]),
                },
                warnings=["FEW_POINTS"],
            )
        },
    )


def bad_diagnostic_cases():
    points = measure([[0.0], [1.0], [2.0]])

    def case(name, diagnostics, field, **inputs):
        not_diagnosed(
            "bad_diagnose_" + name,
            CONTRACT,
            diagnostics,
            inputs or {"source": points, "target": points},
            field,
        )

    case("none", [], "diagnostics")
    case("no_kind", [{"name": "a"}], "diagnostics[0]")
    case("same_names", [{"entropy": {}}, {"entropy": {}}], "diagnostics[1].name")
    case("name", [{"name": "Bad", "entropy": {}}], "diagnostics[0].name")
    case("no_input", [{"entropy": {"source": "x"}}], "diagnostics[0].entropy.source")
    case("unused", [{"activeUnits": {"posterior": "source"}}], 'inputs["target"]')
    case(
        "nan",
        [{"activeUnits": {}}],
        'inputs["posterior"].points',
        posterior=measure([[math.nan], [1.0]]),
    )
    case(
        "threshold",
        [{"activeUnits": {"threshold": -1}}],
        "diagnostics[0].active_units.threshold",
        posterior=points,
    )
    case(
        "one_row",
        [{"activeUnits": {}}],
        "diagnostics[0].active_units.posterior",
        posterior=measure([[1.0]]),
    )
    case(
        "neighbours",
        [{"nearestNeighbourKl": {"neighbours": 129}}],
        "diagnostics[0].nearest_neighbour_kl.neighbours",
    )
    case(
        "few_points",
        [{"nearestNeighbourKl": {"neighbours": 3}}],
        "diagnostics[0].nearest_neighbour_kl.source",
    )
    case(
        "weights",
        [{"entropy": {"neighbours": 1}}],
        "diagnostics[0].entropy.source",
        source=measure([[0.0], [1.0]], [0.5, 0.5]),
    )
    case(
        "known_neighbours",
        [{"entropy": {"neighbours": 1}}],
        "diagnostics[0].entropy.neighbours",
        source=gaussian([[0.0]], [[0.0]]),
    )
    case(
        "kernel",
        [{"permutationTest": {"kernel": 99}}],
        "diagnostics[0].permutation_test.kernel",
    )
    case(
        "permutations",
        [{"permutationTest": {"permutations": 1 << 23}}],
        "diagnostics[0].permutation_test.permutations",
    )
    case(
        "permutations_negative",
        [{"permutationTest": {"permutations": -1}}],
        "diagnostics[0].permutation_test.permutations",
    )
    case(
        "one_point",
        [{"permutationTest": {}}],
        "diagnostics[0].permutation_test.source",
        source=measure([[0.0]]),
        target=points,
    )
    case(
        "dimensions",
        [{"effectiveScale": {}}],
        "diagnostics[0].effective_scale.target",
        source=points,
        target=measure([[0.0, 1.0]]),
    )
    case(
        "debias",
        [{"expectedShrink": {"debias": "DEBIAS_NONE"}}],
        "diagnostics[0].expected_shrink.debias",
    )
    case(
        "blur",
        [{"expectedShrink": {"blur": -1}}],
        "diagnostics[0].expected_shrink.blur",
    )
    case(
        "prior_as_source",
        [{"effectiveScale": {}}],
        "diagnostics[0].effective_scale.source",
        source={"prior": {"standardNormal": {}}},
        target=points,
    )
    three = {"measure": {"points": tensor([3, 2, 1], [0.0, 1.0, 0.0, 2.0, 0.0, 3.0])}}
    case(
        "batches",
        [{"effectiveScale": {}}],
        "diagnostics[0].effective_scale.target",
        source=batch([[[0.0], [1.0]]] * 2),
        target=three,
    )
