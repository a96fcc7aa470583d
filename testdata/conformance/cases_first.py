"""Sinkhorn, the dual of W1, KL, batches, and what is refused of inputs and objectives.

It is long because it is a list: the cases stand one after another, and nothing but the list would be in a second file.
"""

import math

from common import F32, F64, batch, gaussian, good, gradient, measure, refused, request, tensor


def kl_of(mu, v, m=0.0, w=0.0):
    """KL(N(mu, e^v), N(m, e^w))."""
    return 0.5 * ((mu - m) ** 2 * math.exp(-w) + math.exp(v - w) - (v - w) - 1)


KINGMA = "Kingma and Welling 2014, appendix B: KL(N(μ,σ²), N(0,1)) = ½(μ² + σ² - ln σ² - 1)"
DIRAC = "Two Diracs: the only plan puts all mass on the pair, so OT = c(x,y) for every ε and the self terms are 0"
TRANSLATION = (
    "Translation y = x + v: OT_ε(a, τ_v a) = OT_ε(a, a) + ½|v|² because |x-y-v|² differs from |x-y|² by terms that the marginals fix, so S = ½|v|² for "
    "every ε (Feydy et al. 2019) and ∂S/∂x_i = -a_i v"
)


def kl_cases():
    mu, v = 0.5, math.log(0.25)
    value = kl_of(mu, v)
    for name, dtype, tolerance in (("kl_standard_normal", F64, 1e-12), ("kl_standard_normal_float32", F32, 1e-6)):
        good(
            name,
            KINGMA + "; gradients μ and ½(σ² - 1)",
            request([{"kl": {}}], {"posterior": gaussian([[mu]], [[v]], dtype)}, ["posterior.mean", "posterior.log_variance"]),
            value,
            tolerance,
            {"kl": {"value": value, "tolerance": tolerance}},
            {
                "posterior.mean": gradient([1, 1], [mu], tolerance, dtype),
                "posterior.log_variance": gradient([1, 1], [0.5 * (math.exp(v) - 1)], tolerance, dtype),
            },
        )
    rows = [[(0.0, 0.0), (1.0, math.log(2.0))], [(-2.0, math.log(0.5)), (0.5, 0.0)]]
    value = sum(kl_of(*cell) for row in rows for cell in row) / 2
    good(
        "kl_rows",
        KINGMA + "; the sum over dimensions, the mean over rows",
        request([{"kl": {}}], {"posterior": gaussian([[c[0] for c in r] for r in rows], [[c[1] for c in r] for r in rows])}, ["posterior.mean"]),
        value,
        1e-12,
        {"kl": {"value": value, "tolerance": 1e-12}},
        {"posterior.mean": gradient([2, 2], [0.0, 0.5, -1.0, 0.25], 1e-12)},
    )
    mu, v, m, w = 2.0, 0.0, 1.0, math.log(4.0)
    value = kl_of(mu, v, m, w)
    good(
        "kl_other_gaussian",
        "KL(N(μ,e^v), N(m,e^w)) = ½[(μ-m)² e^-w + e^(v-w) - (v-w) - 1]; gradients (μ-m)e^-w, ½(e^(v-w) - 1), -(μ-m)e^-w, "
        "-½((μ-m)² e^-w + e^(v-w) - 1)",
        request(
            [{"name": "beta", "weight": 4, "kl": {"posterior": "q", "prior": "p"}}],
            {"q": gaussian([[mu]], [[v]]), "p": gaussian([[m]], [[w]])},
            ["q.mean", "q.log_variance", "p.mean", "p.log_variance"],
        ),
        4 * value,
        1e-12,
        {"beta": {"value": value, "tolerance": 1e-12}},
        {
            "q.mean": gradient([1, 1], [4 * (mu - m) * math.exp(-w)], 1e-12),
            "q.log_variance": gradient([1, 1], [4 * 0.5 * (math.exp(v - w) - 1)], 1e-12),
            "p.mean": gradient([1, 1], [-4 * (mu - m) * math.exp(-w)], 1e-12),
            "p.log_variance": gradient([1, 1], [-4 * 0.5 * ((mu - m) ** 2 * math.exp(-w) + math.exp(v - w) - 1)], 1e-12),
        },
    )
    good(
        "kl_infinite_weight_zero",
        "A variance of e^1000 is above the largest binary64, so the value is infinite; a term of weight 0 stays out of the total",
        request(
            [{"name": "off", "weight": 0, "kl": {"posterior": "wide"}}, {"kl": {}}],
            {"wide": gaussian([[0.0]], [[1000.0]]), "posterior": gaussian([[1.0]], [[0.0]])},
            ["posterior.mean", "wide.mean"],
        ),
        0.5,
        1e-12,
        {"off": {"value": "Infinity", "tolerance": 0, "warnings": ["INFINITE_VALUE"]}, "kl": {"value": 0.5, "tolerance": 1e-12}},
        {"posterior.mean": gradient([1, 1], [1.0], 1e-12), "wide.mean": gradient([1, 1], [0.0], 0)},
    )


def dirac_cases():
    a = 3.0
    for cost, value, slope in (("HALF_SQUARED_EUCLIDEAN", a * a / 2, a), ("SQUARED_EUCLIDEAN", a * a, 2 * a), ("EUCLIDEAN", a, 1.0)):
        for epsilon in (0.01, 10.0):
            good(
                f"sinkhorn_dirac_{cost.lower()}_{'cold' if epsilon < 1 else 'hot'}",
                DIRAC,
                request(
                    [{"sinkhorn": {"cost": "COST_" + cost, "epsilon": epsilon}}],
                    {"source": measure([[0.0]]), "target": measure([[a]])},
                    ["source.points", "target.points"],
                ),
                value,
                1e-9,
                {"sinkhorn": {"value": value, "tolerance": 1e-9, "contains": value, "converged": True}},
                {"source.points": gradient([1, 1], [-slope], 1e-9), "target.points": gradient([1, 1], [slope], 1e-9)},
            )
    good(
        "kantorovich_dirac",
        "Two Diracs: W1 = |x-y|",
        request([{"kantorovich": {}}], {"source": measure([[0.0, 0.0]]), "target": measure([[3.0, 4.0]])}, ["source.points"]),
        5.0,
        1e-9,
        {"kantorovich": {"value": 5.0, "tolerance": 1e-9, "contains": 5.0}},
        {"source.points": gradient([1, 2], [-0.6, -0.8], 1e-9)},
    )
    y, b = [1.0, 3.0], [0.25, 0.75]
    half = sum(w * x * x / 2 for w, x in zip(b, y))
    good(
        "sinkhorn_one_to_many",
        "One source point: the only plan is the product a⊗b, which costs no entropy, so OT = Σ b_j c(x,y_j) for every ε and ∂OT/∂y_j = b_j (y_j - x)",
        request(
            [{"sinkhorn": {"epsilon": 0.3, "debias": "DEBIAS_NONE"}}],
            {"source": measure([[0.0]]), "target": measure([[x] for x in y], b)},
            ["target.points"],
        ),
        half,
        1e-9,
        {"sinkhorn": {"value": half, "tolerance": 1e-9, "contains": half, "converged": True}},
        {"target.points": gradient([2, 1], [w * x for w, x in zip(b, y)], 1e-9)},
    )


def cloud_cases():
    x = [[0.0, 0.0], [1.0, 0.5], [-0.5, 2.0]]
    v = [2.0, -1.0]
    y = [[p[0] + v[0], p[1] + v[1]] for p in x]
    value = (v[0] ** 2 + v[1] ** 2) / 2
    for name, dtype in (("sinkhorn_translation", F64), ("sinkhorn_translation_float32", F32)):
        good(
            name,
            TRANSLATION,
            request([{"sinkhorn": {"epsilon": 0.5, "tolerance": 1e-9}}], {"source": measure(x, None, dtype), "target": measure(y, None, dtype)}, ["source.points"]),
            value,
            1e-6,
            {"sinkhorn": {"value": value, "tolerance": 1e-6, "contains": value, "converged": True}},
            {"source.points": gradient([3, 2], [-v[0] / 3, -v[1] / 3] * 3, 1e-5, dtype)},
        )
    good(
        "sinkhorn_permutation",
        "A measure against itself in another order: S = 0",
        request([{"sinkhorn": {"blur": 0.5, "tolerance": 1e-9}}], {"source": measure(x), "target": measure([x[2], x[0], x[1]])}, ["source.points"]),
        0.0,
        1e-8,
        {"sinkhorn": {"value": 0.0, "tolerance": 1e-8, "contains": 0.0, "converged": True}},
        {"source.points": gradient([3, 2], [0.0] * 6, 1e-6)},
    )
    k, epsilon = 0.5, 0.25
    value = -epsilon * math.log((1 + math.exp(-k / epsilon)) / 2)
    good(
        "sinkhorn_two_points",
        "Two points at distance 1 against themselves, uniform: by symmetry f and g are constant, f + g = -ε ln(½ + ½e^(-c/ε)) with c = ½, and that is OT",
        request(
            [{"sinkhorn": {"epsilon": epsilon, "debias": "DEBIAS_NONE"}}],
            {"source": measure([[0.0], [1.0]]), "target": measure([[0.0], [1.0]])},
        ),
        value,
        1e-9,
        {"sinkhorn": {"value": value, "tolerance": 1e-9, "contains": value, "converged": True}},
    )
    good(
        "kantorovich_line",
        "On a line W1 is the mean distance of the sorted points: {0,1,3} to {5,6,8} is 5",
        request([{"kantorovich": {"gap": 1e-3}}], {"source": measure([[3.0], [0.0], [1.0]]), "target": measure([[5.0], [6.0], [8.0]])}),
        5.0,
        2e-3,
        {"kantorovich": {"value": 5.0, "tolerance": 2e-3, "contains": 5.0}},
    )
    good(
        "three_terms",
        DIRAC + "; W1 = |x-y|; " + KINGMA + ". The total is 10·4.5 + 0·3 + 4·0.125",
        request(
            [{"weight": 10, "sinkhorn": {"blur": 0.5}}, {"weight": 0, "kantorovich": {}}, {"weight": 4, "kl": {}}],
            {"source": measure([[0.0]]), "target": measure([[3.0]]), "posterior": gaussian([[0.5]], [[0.0]])},
            ["source.points", "posterior.mean"],
        ),
        45.5,
        1e-9,
        {
            "sinkhorn": {"value": 4.5, "tolerance": 1e-9, "contains": 4.5},
            "kantorovich": {"value": 3.0, "tolerance": 1e-9, "contains": 3.0},
            "kl": {"value": 0.125, "tolerance": 1e-12},
        },
        {"source.points": gradient([1, 1], [-30.0], 1e-9), "posterior.mean": gradient([1, 1], [2.0], 1e-12)},
    )


def batch_cases():
    cross = f"{DIRAC}. Each problem of a batch is as if it were alone; a shared input's gradient is the sum"
    xs, y = [0.0, 1.0, -2.0], 3.0
    values = [(y - x) ** 2 / 2 for x in xs]
    for name, dtype in (("batch_sinkhorn_shared", F64), ("batch_sinkhorn_shared_float32", F32)):
        good(
            name,
            cross,
            request([{"weight": 2, "sinkhorn": {}}], {"source": batch([[[x]] for x in xs], dtype=dtype), "target": measure([[y]])}, ["source.points", "target.points"]),
            2 * sum(values),
            1e-9,
            {"sinkhorn": {"outcomes": [{"value": v, "tolerance": 1e-9, "contains": v, "converged": True} for v in values]}},
            {
                "source.points": gradient([3, 1, 1], [2 * (x - y) for x in xs], 1e-9, dtype),
                "target.points": gradient([1, 1], [sum(2 * (y - x) for x in xs)], 1e-9),
            },
        )
    # The padding is NaN and counts for nothing.
    points, weights, sizes = [[1.0, 3.0, math.nan], [2.0, math.nan, math.nan], [-1.0, 1.0, 4.0]], [[0.25, 0.75, math.nan], [1.0, -5.0, 0.0], [0.5, 0.25, 0.25]], [2, 1, 3]
    counted = [list(zip(w[:n], x[:n])) for w, x, n in zip(weights, points, sizes)]
    values = [sum(w * x * x / 2 for w, x in pairs) for pairs in counted]
    good(
        "batch_sinkhorn_ragged",
        "One source point at 0: the only plan is the product a⊗b, so OT = Σ b_j ½y_j² for every ε and ∂OT/∂y_j = b_j y_j; padding is ignored and has gradient 0",
        request(
            [{"sinkhorn": {"epsilon": 0.3, "debias": "DEBIAS_NONE"}}],
            {"source": measure([[0.0]]), "target": batch([[[x] for x in row] for row in points], weights, sizes)},
            ["target.points"],
            ["sinkhorn.potentials"],
        ),
        sum(values),
        1e-9,
        {"sinkhorn": {"outcomes": [{"value": v, "tolerance": 1e-9, "contains": v, "converged": True} for v in values]}},
        {"target.points": gradient([3, 3, 1], [g for pairs in counted for g in [w * x for w, x in pairs] + [0.0] * (3 - len(pairs))], 1e-9)},
    )
    good(
        "batch_kantorovich",
        "Two Diracs: W1 = |x-y|. A batch of as many targets as sources is taken problem by problem",
        request([{"kantorovich": {}}], {"source": batch([[[0.0, 0.0]], [[1.0, 1.0]]]), "target": batch([[[3.0, 4.0]], [[1.0, -1.0]]])}, ["source.points"]),
        7.0,
        1e-9,
        {"kantorovich": {"outcomes": [{"value": 5.0, "tolerance": 1e-9, "contains": 5.0}, {"value": 2.0, "tolerance": 1e-9, "contains": 2.0}]}},
        {"source.points": gradient([2, 1, 2], [-0.6, -0.8, 0.0, 1.0], 1e-9)},
    )
    good(
        "batch_beside_none",
        DIRAC + "; " + KINGMA + ". A term without a batch is one problem beside those of another term, and counts once",
        request(
            [{"sinkhorn": {}}, {"weight": 4, "kl": {}}],
            {"source": batch([[[0.0]], [[1.0]]]), "target": measure([[3.0]]), "posterior": gaussian([[0.5]], [[0.0]])},
            ["posterior.mean"],
        ),
        7.0,
        1e-9,
        {
            "sinkhorn": {"outcomes": [{"value": 4.5, "tolerance": 1e-9}, {"value": 2.0, "tolerance": 1e-9}]},
            "kl": {"value": 0.125, "tolerance": 1e-12},
        },
        {"posterior.mean": gradient([1, 1], [2.0], 1e-12)},
    )
    rows = [[0.0, 1.0], [2.0, -1.0]]
    normals = {"gaussian": {"mean": tensor([2, 2, 1], [x for row in rows for x in row]), "logVariance": tensor([2, 2, 1], [0.0] * 4)}}
    values = [sum(kl_of(x, 0.0, 0.5) for x in row) / 2 for row in rows]
    good(
        "batch_kl_shared",
        KINGMA + " around m; the mean over the rows of each problem, the sum over problems of the shared prior's gradient",
        request([{"kl": {"prior": "p"}}], {"posterior": normals, "p": gaussian([[0.5]], [[0.0]])}, ["posterior.mean", "p.mean"], ["kl.per_dimension"]),
        sum(values),
        1e-12,
        {"kl": {"outcomes": [{"value": v, "tolerance": 1e-12} for v in values]}},
        {
            "posterior.mean": gradient([2, 2, 1], [(x - 0.5) / 2 for row in rows for x in row], 1e-12),
            "p.mean": gradient([1, 1], [sum((0.5 - x) / 2 for row in rows for x in row)], 1e-12),
        },
    )


def bad_batch_cases():
    contract = "The contract: proto/kantor/v1/input.proto"
    two = [[[0.0], [1.0]], [[2.0], [3.0]]]

    def case(name, source, target, field, terms=({"sinkhorn": {}},), **more):
        refused("bad_batch_" + name, contract, request(list(terms), {"source": source, "target": target, **more}), field)

    field = "objective.terms[0].sinkhorn.target"
    case("mismatch", batch(two), batch(two + [[[4.0], [5.0]]]), field)
    case("of_one", batch(two), batch(two[:1]), field)
    case("masses", batch(two, [[0.5, 0.5], [1.0, 1.0]]), measure([[0.0]]), field)
    other = [{"sinkhorn": {}}, {"kantorovich": {"source": "more"}}]
    case("terms", batch(two), measure([[0.0]]), "objective.terms[1].kantorovich.source", other, more=batch(two[:1]))
    ok = measure([[0.0]])
    case("nan", batch([[[0.0]], [[math.nan]]]), ok, 'inputs["source"].points')
    case("sizes_none", {"measure": {**measure([[0.0]])["measure"], "sizes": ["1"]}}, ok, 'inputs["source"].sizes')
    case("sizes_count", batch(two, sizes=[1]), ok, 'inputs["source"].sizes')
    case("sizes_zero", batch(two, sizes=[1, 0]), ok, 'inputs["source"].sizes')
    case("sizes_large", batch(two, sizes=[1, 3]), ok, 'inputs["source"].sizes')
    case("weights", {"measure": {**batch(two)["measure"], "weights": tensor([2], [0.5, 0.5])}}, ok, 'inputs["source"].weights')


def bad_tensor_cases():
    contract = "The contract: proto/kantor/v1/tensor.proto and input.proto"
    ok = measure([[0.0]])

    def case(name, target, field):
        refused("bad_" + name, contract, request([{"sinkhorn": {}}], {"source": ok, "target": target}), field)

    points, weights = 'inputs["target"].points', 'inputs["target"].weights'
    case("shape_rank", {"measure": {"points": tensor([3], [1.0, 2.0, 3.0])}}, points)
    case("shape_rank_four", {"measure": {"points": tensor([1, 1, 1, 1], [1.0])}}, points)
    case("shape_negative", {"measure": {"points": {**tensor([1, 1], [1.0]), "shape": ["-1", "-1"]}}}, points)
    case("dtype_absent", {"measure": {"points": {**tensor([1, 1], [1.0]), "dtype": "DTYPE_UNSPECIFIED"}}}, points)
    case("dtype_unknown", {"measure": {"points": {**tensor([1, 1], [1.0]), "dtype": 9}}}, points)
    case("length", {"measure": {"points": {**tensor([1, 1], [1.0]), "shape": ["2", "1"]}}}, points)
    case("length_overflow", {"measure": {"points": {**tensor([1, 1], [1.0]), "shape": ["1048576"] * 4}}}, points)
    case("nan", measure([[math.nan]]), points)
    case("inf", measure([[math.inf]]), points)
    case("empty", {"measure": {"points": tensor([0, 1], [])}}, points)
    case("points_absent", {"measure": {}}, points)
    case("too_many_points", {"measure": {"points": {**tensor([1, 1], [1.0]), "shape": ["1048577", "1"]}}}, points)
    case("dimension_mismatch", measure([[0.0, 0.0]]), "objective.terms[0].sinkhorn.target")
    case("weights_negative", measure([[0.0], [1.0]], [1.5, -0.5]), weights)
    case("weights_zero", measure([[0.0], [1.0]], [0.0, 0.0]), weights)
    case("weights_nan", measure([[0.0], [1.0]], [math.nan, 1.0]), weights)
    case("weights_count", measure([[0.0], [1.0]], [1.0]), weights)
    case("masses", measure([[0.0], [1.0]], [1.0, 1.0]), "objective.terms[0].sinkhorn.target")
    case("input_empty", {}, 'inputs["target"]')
    case("prior_family", {"prior": {}}, 'inputs["target"].prior')
    case("prior_size", {"prior": {"standardNormal": {}, "size": "-1"}}, 'inputs["target"].prior.size')
    case("kind", gaussian([[0.0]], [[0.0]]), "objective.terms[0].sinkhorn.target")


def bad_objective_cases():
    contract = "The contract: proto/kantor/v1/loss.proto and loss_service.proto"
    pair = {"source": measure([[0.0]]), "target": measure([[1.0]])}

    def case(name, terms, field, inputs=None, **rest):
        refused("bad_" + name, contract, request(terms, inputs or pair, **rest), field)

    kl = {"kl": {}}
    posterior = {"posterior": gaussian([[0.0]], [[0.0]])}
    case("no_terms", [], "objective.terms")
    case("no_loss", [{"name": "x"}], "objective.terms[0]")
    case("epsilon_zero", [{"sinkhorn": {"epsilon": 0}}], "objective.terms[0].sinkhorn.epsilon")
    case("epsilon_nan", [{"sinkhorn": {"epsilon": "NaN"}}], "objective.terms[0].sinkhorn.epsilon")
    case("blur_negative", [kl, {"sinkhorn": {"blur": -1}}], "objective.terms[1].sinkhorn.blur", {**pair, **posterior})
    case("tolerance_zero", [{"sinkhorn": {"tolerance": 0}}], "objective.terms[0].sinkhorn.tolerance")
    case("iterations_negative", [{"sinkhorn": {"maxIterations": -1}}], "objective.terms[0].sinkhorn.max_iterations")
    case("gap_zero", [{"kantorovich": {"gap": 0}}], "objective.terms[0].kantorovich.gap")
    case("cost_unknown", [{"sinkhorn": {"cost": 9}}], "objective.terms[0].sinkhorn.cost")
    case("debias_unknown", [{"sinkhorn": {"debias": 9}}], "objective.terms[0].sinkhorn.debias")
    case("weight_infinite", [{"weight": "Infinity", "sinkhorn": {}}], "objective.terms[0].weight")
    case("name", [{"name": "Not a name", "sinkhorn": {}}], "objective.terms[0].name")
    case("name_twice", [kl, kl], "objective.terms[1].name", posterior)
    case("input_unknown", [{"sinkhorn": {"source": "nowhere"}}], "objective.terms[0].sinkhorn.source")
    case("input_unused", [{"sinkhorn": {}}], 'inputs["posterior"]', {**pair, **posterior})
    case("input_name", [{"kl": {"posterior": "Q"}}], 'inputs["Q"]', {"Q": posterior["posterior"]})
    case("gradient_unknown", [{"sinkhorn": {}}], "objective.gradients[0]", gradients=["source.mean"])
    case("gradient_twice", [{"sinkhorn": {}}], "objective.gradients[1]", gradients=["source.points", "source.points"])
    case("gradient_form", [{"sinkhorn": {}}], "objective.gradients[0]", gradients=["source"])
    case("extra_unknown", [{"sinkhorn": {}}], "objective.extras[0]", extras=["sinkhorn.plan"])
    case("extra_term", [{"sinkhorn": {}}], "objective.extras[0]", extras=["kl.per_dimension"])
    case("log_variance_absent", [kl], 'inputs["posterior"].log_variance', {"posterior": {"gaussian": {"mean": tensor([1, 1], [0.0])}}})
    case(
        "log_variance_shape",
        [kl],
        'inputs["posterior"].log_variance',
        {"posterior": {"gaussian": {"mean": tensor([1, 1], [0.0]), "logVariance": tensor([1, 2], [0.0, 0.0])}}},
    )
    case("kl_prior_rows", [{"kl": {"prior": "p"}}], "objective.terms[0].kl.prior", {**posterior, "p": gaussian([[0.0]] * 2, [[0.0]] * 2)})
