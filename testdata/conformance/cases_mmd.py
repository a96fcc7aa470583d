"""Cases of the maximum mean discrepancy and of the kernel Stein discrepancy."""

import math

from common import batch, good, gradient, measure, refused, request

MMD2 = "E k(x,x') + E k(y,y') - 2 E k(x,y) (Gretton et al. 2012, lemma 6), written out for a few points"
NORMAL = "E|x-Y| = x(2Φ(x) - 1) + 2φ(x) and E|Y-Y'| = 2/√π for Y ~ N(0,1), from the integral; the derivative of the first is 2Φ(x) - 1 = erf(x/√2)"
STEIN = "At one point u(x,x) = |x|² + tr ∇x∇y k(x,x) (Liu, Lee, Jordan 2016, theorem 3.6), and the trace is D/blur² for both kernels"


def mmd_values(name, source, term, inputs, value, tolerance, gradients, extras=()):
    good(name, source, request([{"mmd": term}], inputs, list(gradients), extras), value, tolerance, {"mmd": {"value": value, "tolerance": tolerance}}, gradients)


def mmd_cases():
    diracs = {"source": measure([[0.0, 0.0]]), "target": measure([[3.0, 4.0]])}
    slopes = {"source.points": gradient([1, 2], [-1.2, -1.6], 1e-12), "target.points": gradient([1, 2], [1.2, 1.6], 1e-12)}
    mmd_values("mmd_energy_diracs", MMD2 + ": 2|x-y|", {"statistic": "STATISTIC_V"}, diracs, 10.0, 1e-12, slopes)
    line = {"source": measure([[0.0], [1.0], [3.0]]), "target": measure([[2.0], [4.0]])}
    # Distances: of the source 1, 3, 2, of the target 2, of both 2, 4, 1, 3, 1, 1.
    cross = 12 / 6
    mmd_values("mmd_energy_u", MMD2 + ", pairs of different points", {}, line, 2 * cross - 2 - 2, 1e-12, {})
    v = 2 * cross - 2 * 6 / 9 - 2 * 2 / 4
    mmd_values("mmd_energy_v", MMD2 + ", all pairs", {"statistic": "STATISTIC_V"}, line, v, 1e-12, {})
    mmd_values("mmd_energy_half", MMD2 + ", half of it", {"statistic": "STATISTIC_V", "convention": "CONVENTION_HALF"}, line, v / 2, 1e-12, {})
    k = lambda d: math.exp(-d * d / 8)
    value = 1 + 0.25 - 2 * 0.5 * k(3)
    mmd_values(
        "mmd_gaussian_masses",
        MMD2 + "; masses of 1 and ½, blur 2: m_a² + m_b² - 2 m_a m_b k; ∂x = 2 m_a m_b k (x-y)/blur², ∂m_a = 2 m_a - 2 m_b k",
        {"kernel": "KERNEL_GAUSSIAN", "blur": 2, "statistic": "STATISTIC_V"},
        {"source": measure([[0.0]], [1.0]), "target": measure([[3.0]], [0.5])},
        value,
        1e-12,
        {
            "source.points": gradient([1, 1], [2 * 0.5 * k(3) * -3 / 4], 1e-12),
            "source.weights": gradient([1], [2 - k(3)], 1e-12),
            "target.weights": gradient([1], [1 - 2 * k(3)], 1e-12),
        },
    )
    laplacian = {"kernel": "KERNEL_LAPLACIAN", "blur": 0.5, "statistic": "STATISTIC_V"}
    mmd_values("mmd_laplacian", MMD2 + ": 2 - 2 exp(-|x-y|/blur)", laplacian, diracs, 2 - 2 * math.exp(-10), 1e-12, {})
    imq = sum(4 * s / (4 * s + 25) for s in (0.1, 0.2, 0.5, 1, 2, 5, 10))
    mmd_values("mmd_imq", MMD2 + ": 14 - 2 Σ C/(C+25), C = 4s in the plane", {"kernel": "KERNEL_IMQ", "statistic": "STATISTIC_V"}, diracs, 14 - 2 * imq, 1e-12, {})
    ragged = batch([[[0.0], [1.0], [math.nan]], [[0.0], [2.0], [6.0]]], sizes=[2, 3])
    good(
        "batch_mmd_ragged",
        MMD2 + ": a source at 0 twice, so that E|x-x'| = 0, against the targets of each problem: 2E|y| - E|y-y'|",
        request([{"mmd": {"source": "target", "target": "source"}}], {"source": ragged, "target": measure([[0.0], [0.0]])}, (), ["mmd.witness"]),
        (1 - 1) + (16 / 3 - 4),
        1e-12,
        {"mmd": {"outcomes": [{"value": 0.0, "tolerance": 1e-12}, {"value": 16 / 3 - 4, "tolerance": 1e-12}]}},
    )


def closed_cases():
    x = 0.7
    phi = math.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    near = x * math.erf(x / math.sqrt(2)) + 2 * phi
    inputs = {"source": measure([[x]]), "target": {"prior": {"standardNormal": {}}}}
    closed = {"closedForm": True, "statistic": "STATISTIC_V"}
    slope = {"source.points": gradient([1, 1], [2 * math.erf(x / math.sqrt(2))], 1e-12)}
    mmd_values("mmd_energy_normal", NORMAL, closed, inputs, 2 * near - 2 / math.sqrt(math.pi), 1e-12, slope)
    s = 0.25
    mean = math.sqrt(s / (1 + s)) * math.exp(-x * x / (2 * (1 + s)))
    value = 1 + math.sqrt(s / (2 + s)) - 2 * mean
    slope = {"source.points": gradient([1, 1], [2 * mean * x / (1 + s)], 1e-12)}
    source = "E exp(-(x-Y)²/2s) = √(s/(1+s)) exp(-x²/2(1+s)) for Y ~ N(0,1), and √(s/(2+s)) for two of them, by completing the square"
    mmd_values("mmd_gaussian_normal", source, {**closed, "kernel": "KERNEL_GAUSSIAN", "blur": 0.5}, inputs, value, 1e-12, slope)


def stein_cases():
    inputs = {"source": measure([[3.0, -4.0]])}
    for kernel in ("IMQ", "GAUSSIAN"):
        term = {"kernel": "KERNEL_" + kernel, "statistic": "STATISTIC_V", "blur": 0.5}
        good(
            f"stein_{kernel.lower()}_point",
            STEIN,
            request([{"stein": term}], inputs, ["source.points", "source.weights"]),
            33.0,
            1e-12,
            {"stein": {"value": 33.0, "tolerance": 1e-12}},
            {"source.points": gradient([1, 2], [6.0, -8.0], 1e-12), "source.weights": gradient([1], [66.0], 1e-12)},
        )
    good("stein_default", STEIN + "; blur √D", request([{"stein": {"statistic": "STATISTIC_V"}}], inputs), 26.0, 1e-12, {"stein": {"value": 26.0, "tolerance": 1e-12}})
    x, y = 1.0, -0.5
    q, k = (x - y) ** 2, math.exp(-((x - y) ** 2) / 2)
    value = k * (x * y - q + 1 - q)
    good(
        "stein_gaussian_pair",
        "u(x,y) = k (xy - (x-y)² + 1 - (x-y)²) for k = exp(-(x-y)²/2) on a line, by differentiating; the U-statistic of two points is u(x,y)",
        request([{"stein": {"kernel": "KERNEL_GAUSSIAN", "blur": 1}}], {"source": measure([[x], [y]])}),
        value,
        1e-12,
        {"stein": {"value": value, "tolerance": 1e-12}},
    )


def bad_cases():
    contract = "The contract: proto/kantor/v1/loss.proto"
    pair = {"source": measure([[0.0], [2.0]]), "target": measure([[1.0], [4.0]])}
    normal = {"prior": {"standardNormal": {}}}

    def case(name, loss, term, field, inputs=pair, **rest):
        refused("bad_" + name, contract, request([{loss: term}], inputs, **rest), f"objective.terms[0].{loss}.{field}")

    case("mmd_kernel", "mmd", {"kernel": 9}, "kernel")
    case("mmd_statistic", "mmd", {"statistic": 9}, "statistic")
    case("mmd_convention", "mmd", {"convention": 9}, "convention")
    case("mmd_blur_of_energy", "mmd", {"blur": 1}, "blur")
    case("mmd_blur_zero", "mmd", {"kernel": "KERNEL_IMQ", "blur": 0}, "blur")
    case("mmd_closed_form_measure", "mmd", {"closedForm": True}, "target")
    case("mmd_closed_form_cube", "mmd", {"closedForm": True}, "target", {**pair, "target": {"prior": {"uniformCube": {}}}})
    case("mmd_closed_form_source", "mmd", {"closedForm": True}, "source", {"source": normal, "target": normal})
    case("mmd_closed_form_laplacian", "mmd", {"closedForm": True, "kernel": "KERNEL_LAPLACIAN"}, "closed_form", {**pair, "target": normal})
    case("mmd_one_point", "mmd", {}, "source", {**pair, "source": measure([[0.0]])})
    case("mmd_one_weight", "mmd", {}, "target", {**pair, "target": measure([[0.0], [1.0]], [1.0, 0.0])})
    case("mmd_masses", "mmd", {}, "target", {**pair, "target": measure([[0.0], [1.0]], [1.0, 1.0])})
    case("mmd_priors", "mmd", {}, "target", {"source": normal, "target": normal})
    source = {"source": pair["source"]}
    case("stein_kernel", "stein", {"kernel": "KERNEL_ENERGY"}, "kernel", source)
    case("stein_blur", "stein", {"blur": -1}, "blur", source)
    case("stein_prior", "stein", {}, "source", {"source": normal})
    case("stein_one_point", "stein", {}, "source", {"source": measure([[0.0]])})
