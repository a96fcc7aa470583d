"""Exact transport, the methods and inputs of the dual of W1, and what is refused of them."""

from common import F32, F64, batch, good, gradient, measure, refused, request

DIRAC = "Two Diracs: the only plan puts all mass on the pair, so OT = c(x,y)"
ONE = "One source point: the only plan is the product a⊗b, so OT = Σ b_j c(x,y_j) and ∂OT/∂y_j = b_j ∇₂c(x,y_j)"
LINE = "On a line the plan that keeps the order is optimal for every cost |x-y|^p with p ≥ 1 (Villani 2003, theorem 2.18)"
CONTRACT = "The contract: proto/kantor/v1/loss.proto"


def term(**options):
    return {"transport": options}


def exact(value, tolerance=1e-14, name="transport"):
    return {name: {"value": value, "tolerance": tolerance, "contains": value, "converged": True}}


def dirac_cases():
    a = 3.0
    grounds = {
        "default": ({}, a * a / 2, a),
        "half_squared": ({"cost": "COST_HALF_SQUARED_EUCLIDEAN"}, a * a / 2, a),
        "squared": ({"cost": "COST_SQUARED_EUCLIDEAN"}, a * a, 2 * a),
        "euclidean": ({"cost": "COST_EUCLIDEAN"}, a, 1.0),
        "p1": ({"p": 1}, a, 1.0),
        "p2": ({"p": 2}, a * a, 2 * a),
        "p3": ({"p": 3}, a**3, 3 * a * a),
    }
    for name, (options, value, slope) in grounds.items():
        for suffix, dtype in (("", F64), ("_float32", F32)) if name == "default" else (("", F64),):
            good(
                f"transport_dirac_{name}{suffix}",
                DIRAC,
                request(
                    [term(**options)],
                    {"source": measure([[0.0]], dtype=dtype), "target": measure([[a]], dtype=dtype)},
                    ["source.points", "target.points"],
                    ["transport.potentials", "transport.plan", "transport.map", "transport.interpolation"],
                ),
                value,
                1e-14,
                exact(value),
                {"source.points": gradient([1, 1], [-slope], 1e-14, dtype), "target.points": gradient([1, 1], [slope], 1e-14, dtype)},
            )
    good(
        "transport_split",
        "All source points at 0 and all target points at 3: whatever the halves, the four cross terms are ½·3² and the self terms 0. Each point has its share of the "
        "gradient",
        request(
            [term(debias="DEBIAS_SPLIT")],
            {"source": measure([[0.0]] * 4), "target": measure([[a]] * 4)},
            ["source.points", "target.points"],
            seed=7,
        ),
        a * a / 2,
        1e-14,
        exact(a * a / 2),
        {"source.points": gradient([4, 1], [-a / 4] * 4, 1e-14), "target.points": gradient([4, 1], [a / 4] * 4, 1e-14)},
    )
    x, x2, y, y2 = 0.0, 1.0, 3.0, 5.0
    value = ((x - y) ** 2 + (x - y2) ** 2 + (x2 - y) ** 2 + (x2 - y2) ** 2) / 8 - (x - x2) ** 2 / 4 - (y - y2) ** 2 / 4
    good(
        "transport_second",
        "Four Diracs: U = ¼ Σ_kl c(x_k,y_l) - ½ c(x₁,x₂) - ½ c(y₁,y₂) with c = ½|x-y|², so ∂U/∂x₁ = ¼ Σ_l (x₁ - y_l) - ½ (x₁ - x₂)",
        request(
            [term(debias="DEBIAS_SPLIT", secondSource="x2", secondTarget="y2")],
            {"source": measure([[x]]), "x2": measure([[x2]]), "target": measure([[y]]), "y2": measure([[y2]])},
            ["source.points", "y2.points"],
        ),
        value,
        1e-14,
        exact(value),
        {
            "source.points": gradient([1, 1], [(2 * x - y - y2) / 4 - (x - x2) / 2], 1e-14),
            "y2.points": gradient([1, 1], [(2 * y2 - x - x2) / 4 - (y2 - y) / 2], 1e-14),
        },
    )


def line_cases():
    p, q = [0.5, 0.5, 0.0], [0.25, 0.25, 0.5]
    for cost, value in (("EUCLIDEAN", 249.75), ("SQUARED_EUCLIDEAN", 245045.25)):
        good(
            f"transport_labels_{cost.lower()}",
            LINE + ". On the labels 1000, 1, 10: ¼ stays at 1000, ¼ goes from 1000 to 10, ¼ from 1 to 10, ¼ stays at 1",
            request([term(cost="COST_" + cost)], {"source": measure([[1000.0], [1.0], [10.0]], p), "target": measure([[1000.0], [1.0], [10.0]], q)}),
            value,
            1e-14,
            exact(value),
        )
    x, y = [4.0, 0.0, 1.0], [2.0, 10.0, 1.5]
    moves = {4.0: 10.0, 0.0: 1.5, 1.0: 2.0}
    power = 1.5
    value = sum(abs(u - v) ** power for u, v in moves.items()) / 3
    good(
        "transport_power",
        LINE,
        request([term(p=power)], {"source": measure([[u] for u in x]), "target": measure([[v] for v in y])}, ["source.points"]),
        value,
        1e-14,
        exact(value),
        {"source.points": gradient([3, 1], [-power * (moves[u] - u) ** (power - 1) / 3 for u in x], 1e-14)},
    )
    v = [2.0, -1.0]
    cloud = [[0.0, 0.0], [1.0, 0.5], [-0.5, 2.0], [4.0, -3.0]]
    weights = [0.125, 0.25, 0.5, 0.125]
    value = (v[0] ** 2 + v[1] ** 2) / 2
    good(
        "transport_translation",
        "Translation y = x + v moves along the gradient of a convex function, which is optimal (Brenier 1991): OT = ½|v|² and ∂OT/∂x_i = -a_i v",
        request([term()], {"source": measure(cloud, weights), "target": measure([[r[0] + v[0], r[1] + v[1]] for r in cloud], weights)}, ["source.points"]),
        value,
        1e-13,
        exact(value, 1e-13),
        {"source.points": gradient([4, 2], [-w * u for w in weights for u in v], 1e-13)},
    )
    points, masses, sizes = [[1.0, 3.0, 0.0], [2.0, 0.0, 0.0], [-1.0, 1.0, 4.0]], [[0.25, 0.75, 0.0], [1.0, 9.0, 9.0], [0.5, 0.25, 0.25]], [2, 1, 3]
    counted = [list(zip(w[:n], u[:n])) for w, u, n in zip(masses, points, sizes)]
    values = [sum(w * u * u / 2 for w, u in pairs) for pairs in counted]
    good(
        "batch_transport_ragged",
        ONE + ". Each problem of a batch is as if it were alone; padding is ignored and has gradient 0",
        request(
            [term()],
            {"source": measure([[0.0]]), "target": batch([[[u] for u in row] for row in points], masses, sizes)},
            ["target.points"],
            ["transport.plan", "transport.map", "transport.interpolation", "transport.potentials"],
        ),
        sum(values),
        1e-13,
        {"transport": {"outcomes": [exact(u)["transport"] for u in values]}},
        {"target.points": gradient([3, 3, 1], [g for pairs in counted for g in [w * u for w, u in pairs] + [0.0] * (3 - len(pairs))], 1e-14)},
    )


def dual_cases():
    pair = {"source": measure([[0.0, 0.0]]), "target": measure([[3.0, 4.0]])}
    for method, tolerance in (("EXACT", 1e-14), ("ENTROPIC", 1e-9), ("AUTO", 1e-14)):
        good(
            f"kantorovich_{method.lower()}",
            "Two Diracs: W1 = |x-y|",
            request([{"kantorovich": {"method": "METHOD_" + method, "at": "target"}}], pair, ["source.points"], ["kantorovich.critic", "kantorovich.critic_gradient"]),
            5.0,
            tolerance,
            exact(5.0, tolerance, "kantorovich"),
            {"source.points": gradient([1, 2], [-0.6, -0.8], tolerance)},
        )
    good(
        "kantorovich_fresh",
        "Two Diracs: h(z) = |z - 3| up to a constant. On fresh samples at 1, -1 and at 3 it is 2, 4 and 0, and its gradient -1, -1 and, at the tip, 0",
        request(
            [{"kantorovich": {"freshSource": "x", "freshTarget": "y"}}],
            {"source": measure([[0.0]]), "target": measure([[3.0]]), "x": measure([[1.0], [-1.0]]), "y": measure([[3.0]])},
            ["x.points", "y.points", "x.weights", "source.points"],
        ),
        3.0,
        1e-14,
        {"kantorovich": {"value": 3.0, "tolerance": 1e-14, "converged": True}},
        {
            "x.points": gradient([2, 1], [-0.5, -0.5], 1e-14),
            "y.points": gradient([1, 1], [0.0], 0),
            "x.weights": gradient([2], [-1.0, 1.0], 1e-14),
            "source.points": gradient([1, 1], [0.0], 0),
        },
    )


def bad_transport_cases():
    line, plane = measure([[0.0], [1.0]]), measure([[0.0, 1.0], [1.0, 0.0]])

    def case(name, options, field, source=plane, target=plane, **others):
        refused("bad_transport_" + name, CONTRACT, request([term(**options)], {"source": source, "target": target, **others}), "objective.terms[0].transport." + field)

    case("p_low", {"p": 0.5}, "p", line, line)
    case("p_dimension", {"p": 3}, "p")
    case("p_nan", {"p": "NaN"}, "p", line, line)
    case("cost", {"cost": 9}, "cost")
    case("time", {"time": 1.5}, "time")
    case("debias_self", {"debias": "DEBIAS_SELF"}, "debias")
    case("debias_unknown", {"debias": 9}, "debias")
    case("masses", {}, "target", measure([[0.0]], [1.0]), measure([[0.0]], [2.0]))
    case("split_odd", {"debias": "DEBIAS_SPLIT"}, "source", measure([[0.0]] * 3), measure([[0.0]] * 3))
    case("second_without_split", {"secondSource": "x2", "secondTarget": "x2"}, "second_source", x2=plane)


def bad_dual_cases():
    line, plane = measure([[0.0]]), measure([[0.0, 1.0]])

    def case(name, options, field, **others):
        inputs = {"source": plane, "target": plane, **others}
        refused("bad_kantorovich_" + name, CONTRACT, request([{"kantorovich": options}], inputs), "objective.terms[0].kantorovich." + field)

    case("method", {"method": 9}, "method")
    case("fresh_alone", {"freshSource": "x"}, "fresh_target", x=plane)
    case("fresh_same", {"freshSource": "x", "freshTarget": "target"}, "fresh_target", x=plane)
    case("fresh_dimension", {"freshSource": "x", "freshTarget": "x"}, "fresh_source", x=line)
    case("at_dimension", {"at": "x"}, "at", x=line)
