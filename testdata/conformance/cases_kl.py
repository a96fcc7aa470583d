"""The divergences of Kullback and Leibler, and that of Jensen and Shannon."""

import math

from common import F32, F64, gaussian, good, gradient, measure, refused, request, tensor

CONTRACT = "The contract: proto/kantor/v1/loss.proto and input.proto"
FULL = "Cover and Thomas 2006, theorem 8.6.5 and after: KL(N(m,A), N(n,B)) = ½[tr(B⁻¹A) + δᵀB⁻¹δ - D + ln det B/det A]"
LEIBLER = "Cover and Thomas 2006, section 2.3: Σ q ln(q/p), whose gradient in logits is q_k (ln(q_k/p_k) - KL)"
LIN = "Lin 1991: JS(p,q) = H((p+q)/2) - ½H(p) - ½H(q), from 0 to ln 2"
SPHERE = "Davidson et al. 2018, equation 14; in dimension 3 it is κ coth κ - 1 - ln(sinh κ/κ)"
BURGESS = "Burgess et al. 2018, equation 8: |KL - C|, with the sign of KL - C on the gradient"
KINGMA = "Kingma et al. 2016, appendix C.8: Σ_j max(λ, mean over rows of KL_j)"
LN2 = math.log(2)


def full(mean, covariance, dtype=F64):
    """An Input that is a Gaussian with covariances; mean is rows, covariance matrices."""
    n, d = len(mean), len(mean[0])
    flat = [x for matrix in covariance for row in matrix for x in row]
    return {"gaussian": {"mean": tensor([n, d], [x for row in mean for x in row], dtype), "covariance": tensor([n, d, d], flat, dtype)}}


def rows(kind, field, values, dtype=F64):
    """An Input that is choices or bits; values are rows."""
    return {kind: {field: tensor([len(values), len(values[0])], [x for row in values for x in row], dtype)}}


def sphere(mean, concentration):
    return {"vonMisesFisher": {"mean": tensor([len(mean), len(mean[0])], [x for row in mean for x in row]), "concentration": tensor([len(mean)], concentration)}}


def entropy(*p):
    return -sum(x * math.log(x) for x in p if x > 0)


def kl_full_cases():
    # A = [[2,1],[1,2]] to N(0,I) from the mean (1,0): ½[4 + 1 - 2 - ln 3]; its inverse is [[2,-1],[-1,2]]/3.
    value = 0.5 * (3 - math.log(3))
    for name, dtype, tolerance in (("kl_covariance", F64, 1e-12), ("kl_covariance_float32", F32, 1e-6)):
        good(
            name,
            FULL + "; gradients δ and ½(B⁻¹ - A⁻¹)",
            request([{"kl": {}}], {"posterior": full([[1.0, 0.0]], [[[2.0, 1.0], [1.0, 2.0]]], dtype)}, ["posterior.mean", "posterior.covariance"], ["kl.per_row"]),
            value,
            tolerance,
            {"kl": {"value": value, "tolerance": tolerance}},
            {
                "posterior.mean": gradient([1, 2], [1.0, 0.0], tolerance, dtype),
                "posterior.covariance": gradient([1, 2, 2], [1 / 6, 1 / 6, 1 / 6, 1 / 6], tolerance, dtype),
            },
        )
    # N(0,I), then N((1,0),I), to B = [[2,1],[1,2]]: tr B⁻¹ = 4/3; the gradient in B is ½(B⁻¹ - B⁻¹B⁻¹) on average, less ¼(B⁻¹δ)(B⁻¹δ)ᵀ.
    first = 0.5 * (4 / 3 - 2 + math.log(3))
    g = [[0.5 * (2 / 3 - 5 / 9) - 0.25 * 4 / 9, 0.5 * (-1 / 3 + 4 / 9) + 0.25 * 2 / 9], [0, 0.5 * (2 / 3 - 5 / 9) - 0.25 / 9]]
    good(
        "kl_to_covariance",
        FULL + "; gradients in B: ½(B⁻¹ - B⁻¹(A + δδᵀ)B⁻¹), in the logarithm of a variance of A ½(A_jj (B⁻¹)_jj - 1)",
        request(
            [{"kl": {"prior": "p"}}],
            {"posterior": gaussian([[0.0, 0.0], [1.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]), "p": full([[0.0, 0.0]], [[[2.0, 1.0], [1.0, 2.0]]])},
            ["posterior.log_variance", "p.covariance"],
        ),
        first + 1 / 6,
        1e-12,
        {"kl": {"value": first + 1 / 6, "tolerance": 1e-12}},
        {
            "posterior.log_variance": gradient([2, 2], [-1 / 12] * 4, 1e-12),
            "p.covariance": gradient([1, 2, 2], [g[0][0], g[0][1], g[0][1], g[1][1]], 1e-12),
        },
    )
    good(
        "kl_covariance_singular",
        "The contract: a singular covariance has an infinite divergence, which has no direction of descent",
        request([{"kl": {"direction": "DIRECTION_REVERSE"}}], {"posterior": full([[1.0, 0.0]], [[[1.0, 1.0], [1.0, 1.0]]])}, ["posterior.mean", "posterior.covariance"]),
        math.inf,
        0,
        {"kl": {"value": "Infinity", "tolerance": 0, "warnings": ["INFINITE_VALUE"]}},
        {"posterior.mean": gradient([1, 2], [0.0, 0.0], 0), "posterior.covariance": gradient([1, 2, 2], [0.0] * 4, 0)},
    )


def kl_shaped_cases():
    forward, reverse = 0.5 * (0.25 - 1 + math.log(4)), 0.5 * (4 - 1 - math.log(4))
    for name, value, slope in (("reverse", reverse, 0.5 * (1 - 4)), ("symmetric", forward + reverse, 0.5 * (1 - 4) + 0.5 * (0.25 - 1))):
        good(
            "kl_" + name,
            f"KL(N(0,1), N(0,¼)) = ½(4 - 1 - ln 4), in the logarithm of a variance ½(1-4); {name}",
            request([{"kl": {"direction": "DIRECTION_" + name.upper()}}], {"posterior": gaussian([[0.0]], [[math.log(0.25)]])}, ["posterior.log_variance"]),
            value,
            1e-12,
            {"kl": {"value": value, "tolerance": 1e-12}},
            {"posterior.log_variance": gradient([1, 1], [slope], 1e-12)},
        )
    good(
        "kl_free_bits",
        KINGMA + ": dimensions of ½, 1/32 and 2 for λ = ¼; the one below has gradient 0",
        request([{"kl": {"freeBits": 0.25}}], {"posterior": gaussian([[1.0, 0.25, 2.0]], [[0.0] * 3])}, ["posterior.mean"], ["kl.per_dimension", "kl.per_row"]),
        2.75,
        1e-12,
        {"kl": {"value": 2.75, "tolerance": 1e-12}},
        {"posterior.mean": gradient([1, 3], [1.0, 0.0, 2.0], 1e-12)},
    )
    for name, capacity, value, slope in (("below", 3, 1.0, -2.0), ("above", 0.5, 1.5, 2.0), ("equal", 2, 0.0, 0.0)):
        good(
            "kl_capacity_" + name,
            BURGESS + ": KL = 2",
            request([{"kl": {"capacity": capacity}}], {"posterior": gaussian([[2.0]], [[0.0]])}, ["posterior.mean"]),
            value,
            1e-12,
            {"kl": {"value": value, "tolerance": 1e-12}},
            {"posterior.mean": gradient([1, 1], [slope], 1e-12)},
        )


def choice_cases():
    q, p = [0.5, 0.25, 0.25], [0.25, 0.25, 0.5]
    value = 0.25 * LN2  # ½ ln 2 - ¼ ln 2
    for name, dtype, tolerance in (("categorical_kl_logits", F64, 1e-12), ("categorical_kl_logits_float32", F32, 1e-6)):
        good(
            name,
            LEIBLER + ", in a prior's p_k - q_k",
            request(
                [{"categoricalKl": {"prior": "p"}}],
                {"posterior": rows("categorical", "logits", [[1 + math.log(x) for x in q]], dtype), "p": rows("categorical", "logits", [[math.log(x) for x in p]], dtype)},
                ["posterior.logits", "p.logits"],
                ["categorical_kl.per_row"],
            ),
            value,
            tolerance,
            {"categorical_kl": {"value": value, "tolerance": tolerance}},
            {
                "posterior.logits": gradient([1, 3], [a * (math.log(a / b) - value) for a, b in zip(q, p)], tolerance, dtype),
                "p.logits": gradient([1, 3], [b - a for a, b in zip(q, p)], tolerance, dtype),
            },
        )
    good(
        "categorical_kl_uniform",
        LEIBLER + "; rows of ln 4 and 0, probabilities of any sum, no slope where one is 0",
        request([{"categoricalKl": {}}], {"posterior": rows("categorical", "probabilities", [[0.0, 5.0, 0.0, 0.0], [2.0] * 4])}, ["posterior.probabilities"]),
        LN2,
        1e-12,
        {"categorical_kl": {"value": LN2, "tolerance": 1e-12}},
        {"posterior.probabilities": gradient([2, 4], [0.0] * 8, 1e-12)},
    )
    some, wide = rows("categorical", "probabilities", [[0.5, 0.5, 0.0]]), rows("categorical", "probabilities", [[0.25, 0.25, 0.5]])
    good(
        "categorical_kl_ln2",
        "KL([½,½,0], [¼,¼,½]) = ln 2",
        request([{"categoricalKl": {"prior": "p"}}], {"posterior": some, "p": wide}),
        LN2,
        1e-12,
        {"categorical_kl": {"value": LN2, "tolerance": 1e-12}},
    )
    good(
        "categorical_kl_infinite",
        "KL([¼,¼,½], [½,½,0]) = ∞, without a direction of descent",
        request([{"categoricalKl": {"prior": "p", "direction": "DIRECTION_REVERSE"}}], {"posterior": some, "p": wide}, ["posterior.probabilities"]),
        math.inf,
        0,
        {"categorical_kl": {"value": "Infinity", "tolerance": 0, "warnings": ["INFINITE_VALUE"]}},
        {"posterior.probabilities": gradient([1, 3], [0.0] * 3, 0)},
    )
    bit = 0.25 * math.log(0.5) + 0.75 * math.log(1.5)
    good(
        "bernoulli_kl",
        LEIBLER + ": a certain bit is ln 2 from a fair one, a bit of ¼ as its two values say; the logit's slope is q(1-q) times the logit",
        request(
            [{"bernoulliKl": {}}, {"name": "fixed", "bernoulliKl": {"posterior": "sure"}}],
            {"posterior": rows("bernoulli", "logits", [[-math.log(3), 0.0]]), "sure": rows("bernoulli", "probabilities", [[1.0, 0.0], [0.5, 0.25]])},
            ["posterior.logits", "sure.probabilities"],
            ["bernoulli_kl.per_row", "bernoulli_kl.per_dimension"],
        ),
        bit + (2 * LN2 + bit) / 2,
        1e-12,
        {"bernoulli_kl": {"value": bit, "tolerance": 1e-12}, "fixed": {"value": (2 * LN2 + bit) / 2, "tolerance": 1e-12}},
        {
            "posterior.logits": gradient([1, 2], [-3 / 16 * math.log(3), 0.0], 1e-12),
            "sure.probabilities": gradient([2, 2], [0.0, 0.0, 0.0, -math.log(3) / 2], 1e-12),
        },
    )


def sphere_cases():
    def value(kappa):
        return kappa / math.tanh(kappa) - 1 - math.log(math.sinh(kappa) / kappa)

    def slope(kappa):
        return 1 / kappa - kappa / math.sinh(kappa) ** 2

    total = (value(2.0) + value(300.0)) / 2
    good(
        "von_mises_fisher_kl",
        SPHERE + ", with the slope 1/κ - κ/sinh²κ; it does not depend on the means",
        request(
            [{"vonMisesFisherKl": {}}],
            {"posterior": sphere([[0.0, 0.6, 0.8], [1.0, 0.0, 0.0]], [2.0, 300.0])},
            ["posterior.mean", "posterior.concentration"],
            ["von_mises_fisher_kl.per_row"],
        ),
        total,
        1e-12,
        {"von_mises_fisher_kl": {"value": total, "tolerance": 1e-12}},
        {
            "posterior.mean": gradient([2, 3], [0.0] * 6, 0),
            "posterior.concentration": gradient([2], [slope(2.0) / 2, slope(300.0) / 2], 1e-12),
        },
    )
    good(
        "von_mises_fisher_kl_uniform",
        "A concentration of 0 is the uniform distribution, and the least",
        request([{"vonMisesFisherKl": {}}], {"posterior": sphere([[1.0, 0.0]], [0.0])}, ["posterior.concentration"]),
        0.0,
        0,
        {"von_mises_fisher_kl": {"value": 0.0, "tolerance": 0}},
        {"posterior.concentration": gradient([1], [0.0], 0)},
    )


def discrete_cases():
    source, target = measure([[1.0], [0.0], [1.0]], [0.5, 0.25, 0.25]), measure([[-0.0], [1.0]], [0.5, 0.5])
    value, g = 0.75 * math.log(1.5) + 0.25 * math.log(0.5), (math.log(1.5), math.log(0.5))
    mean = 0.75 * g[0] + 0.25 * g[1]
    good(
        "discrete_kl",
        LEIBLER + "; a point that is there twice counts once; in weights ln(a/b), centred, and -a/b, centred",
        request([{"discreteKl": {}}], {"source": source, "target": target}, ["source.weights", "target.weights", "source.points"]),
        value,
        1e-12,
        {"discrete_kl": {"value": value, "tolerance": 1e-12}},
        {
            "source.weights": gradient([3], [g[0] - mean, g[1] - mean, g[0] - mean], 1e-12),
            "target.weights": gradient([2], [0.5, -0.5], 1e-12),
            "source.points": gradient([3, 1], [0.0] * 3, 0),
        },
    )
    good(
        "discrete_kl_diracs",
        "Between two points KL is infinite, however near they are",
        request([{"discreteKl": {}}], {"source": measure([[0.0]]), "target": measure([[1e-9]])}, ["source.points", "source.weights"]),
        math.inf,
        0,
        {"discrete_kl": {"value": "Infinity", "tolerance": 0, "warnings": ["INFINITE_VALUE"]}},
        {"source.points": gradient([1, 1], [0.0], 0), "source.weights": gradient([1], [0.0], 0)},
    )


def shannon_cases():
    value = entropy(0.625, 0.375) - (entropy(0.5, 0.5) + entropy(0.75, 0.25)) / 2
    # ½ln(a/m) per class, centred; for logits times a.
    slopes = [0.5 * math.log(0.5 / 0.625), 0.5 * math.log(0.5 / 0.375)]
    good(
        "jensen_shannon_categorical",
        LIN + "; the gradient in probabilities is ½ln(a/m), centred",
        request(
            [{"jensenShannon": {}}],
            {"source": rows("categorical", "probabilities", [[0.5, 0.5]]), "target": rows("categorical", "logits", [[math.log(3), 0.0]])},
            ["source.probabilities"],
            ["jensen_shannon.per_row"],
        ),
        value,
        1e-12,
        {"jensen_shannon": {"value": value, "tolerance": 1e-12}},
        {"source.probabilities": gradient([1, 2], [(slopes[0] - slopes[1]) / 2, (slopes[1] - slopes[0]) / 2], 1e-12)},
    )
    good(
        "jensen_shannon_bernoulli",
        LIN + ": bits that exclude each other are ln 2 apart",
        request(
            [{"jensenShannon": {}}],
            {"source": rows("bernoulli", "probabilities", [[1.0, 0.0, 0.25]]), "target": rows("bernoulli", "probabilities", [[0.0, 1.0, 0.25]])},
            ["source.probabilities"],
        ),
        2 * LN2,
        1e-12,
        {"jensen_shannon": {"value": 2 * LN2, "tolerance": 1e-12, "warnings": []}},
        {"source.probabilities": gradient([1, 3], [0.0] * 3, 1e-12)},
    )
    good(
        "jensen_shannon_measures",
        LIN + ": of masses 3 on {0,1} and {1,2}, half of which agrees, 1½ ln 2; per_row is left out",
        request([{"jensenShannon": {}}], {"source": measure([[0.0], [1.0]], [1.5, 1.5]), "target": measure([[1.0], [2.0]], [1.5, 1.5])}, (), ["jensen_shannon.per_row"]),
        1.5 * LN2,
        1e-12,
        {"jensen_shannon": {"value": 1.5 * LN2, "tolerance": 1e-12, "warnings": ["EXTRA_UNAVAILABLE"]}},
    )


def kl_batch_cases():
    logits = {"categorical": {"logits": tensor([2, 1, 2], [LN2, 0.0, 0.0, 0.0])}}
    value = LN2 - entropy(2 / 3, 1 / 3)
    q = 2 / 9 * LN2
    good(
        "batch_categorical_kl",
        LEIBLER + "; each problem as if it were alone, the gradient of what they share is the sum",
        request([{"categoricalKl": {"prior": "p"}}], {"posterior": logits, "p": rows("categorical", "logits", [[0.0, 0.0]])}, ["posterior.logits", "p.logits"]),
        value,
        1e-12,
        {"categorical_kl": {"outcomes": [{"value": value, "tolerance": 1e-12}, {"value": 0.0, "tolerance": 1e-12}]}},
        {"posterior.logits": gradient([2, 1, 2], [q, -q, 0.0, 0.0], 1e-12), "p.logits": gradient([1, 2], [-1 / 6, 1 / 6], 1e-12)},
    )


def bad_kl_cases():
    normal, two = gaussian([[0.0]], [[0.0]]), gaussian([[0.0], [0.0]], [[0.0], [0.0]])
    classes, bits = rows("categorical", "logits", [[0.0, 0.0]]), rows("bernoulli", "logits", [[0.0, 0.0]])
    three, ball = rows("categorical", "logits", [[0.0, 0.0]] * 3), sphere([[1.0, 0.0]], [1.0])

    def case(name, loss, message, field, **inputs):
        path = field if "[" in field else f"objective.terms[0].{loss}.{field}"
        camel = "".join(word.capitalize() if i else word for i, word in enumerate(loss.split("_")))
        refused(f"bad_{loss}_{name}", CONTRACT, request([{camel: message}], inputs), path)

    for loss, posterior in (("kl", normal), ("categorical_kl", classes), ("bernoulli_kl", bits), ("von_mises_fisher_kl", ball)):
        case("free_bits", loss, {"freeBits": -1}, "free_bits", posterior=posterior)
        case("capacity", loss, {"capacity": "Infinity"}, "capacity", posterior=posterior)
        case("both", loss, {"capacity": 1, "freeBits": 1}, "capacity", posterior=posterior)
        case("kind", loss, {}, "posterior", posterior=measure([[0.0]]))
        if loss != "von_mises_fisher_kl":
            case("direction", loss, {"direction": 9}, "direction", posterior=posterior)
            case("prior_kind", loss, {"prior": "p"}, "prior", posterior=posterior, p=ball)
    case("free_bits_covariance", "kl", {"freeBits": 1}, "free_bits", posterior=full([[0.0]], [[[1.0]]]))
    case("covariance_indefinite", "kl", {}, "posterior", posterior=full([[0.0, 0.0]], [[[1.0, 2.0], [2.0, 1.0]]]))
    case("prior_indefinite", "kl", {"prior": "p"}, "prior", posterior=normal, p=full([[0.0]], [[[-1.0]]]))
    case("covariance_rows", "kl", {"prior": "p"}, "prior", posterior=full([[0.0]], [[[1.0]]]), p=two)
    case("prior_rows", "categorical_kl", {"prior": "p"}, "prior", posterior=classes, p=three)
    case("prior_classes", "categorical_kl", {"prior": "p"}, "prior", posterior=classes, p=rows("categorical", "logits", [[0.0] * 3]))
    case("prior_bits", "bernoulli_kl", {"prior": "p"}, "prior", posterior=bits, p=rows("bernoulli", "logits", [[0.0] * 3]))
    case("masses", "discrete_kl", {}, "target", source=measure([[0.0]]), target=measure([[0.0]], [2.0]))
    case("dimension", "discrete_kl", {}, "target", source=measure([[0.0]]), target=measure([[0.0, 0.0]]))
    case("direction", "discrete_kl", {"direction": 9}, "direction", source=measure([[0.0]]), target=measure([[0.0]]))
    case("prior", "discrete_kl", {}, "target", source=measure([[0.0]]), target={"prior": {"standardNormal": {}}})
    case("source_kind", "jensen_shannon", {}, "source", source=normal, target=classes)
    for name, source, target in (("bits", classes, bits), ("classes", bits, classes), ("cloud", measure([[0.0]]), classes), ("rows", classes, three)):
        case(name, "jensen_shannon", {}, "target", source=source, target=target)
    case("masses", "jensen_shannon", {}, "target", source=measure([[0.0]]), target=measure([[0.0]], [2.0]))


def bad_choice_cases():
    def case(name, loss, posterior, field):
        refused("bad_" + name, CONTRACT, request([{loss: {}}], {"posterior": posterior}), 'inputs["posterior"]' + field)

    case("categorical_neither", "categoricalKl", {"categorical": {}}, "")
    case("categorical_impossible", "categoricalKl", rows("categorical", "logits", [[-math.inf, -math.inf]]), ".logits")
    case("categorical_negative", "categoricalKl", rows("categorical", "probabilities", [[1.0, -1.0]]), ".probabilities")
    case("categorical_nan", "categoricalKl", rows("categorical", "logits", [[math.nan, 0.0]]), ".logits")
    case("bernoulli_neither", "bernoulliKl", {"bernoulli": {}}, "")
    case("bernoulli_above", "bernoulliKl", rows("bernoulli", "probabilities", [[1.5]]), ".probabilities")
    case("bernoulli_nan", "bernoulliKl", rows("bernoulli", "logits", [[math.nan]]), ".logits")
    case("von_mises_fisher_length", "vonMisesFisherKl", sphere([[1.0, 1.0]], [1.0]), ".mean")
    case("von_mises_fisher_line", "vonMisesFisherKl", sphere([[1.0]], [1.0]), ".mean")
    case("von_mises_fisher_negative", "vonMisesFisherKl", sphere([[1.0, 0.0]], [-1.0]), ".concentration")
    refused(
        "bad_categorical_gradient",
        CONTRACT,
        request([{"categoricalKl": {}}], {"posterior": rows("categorical", "logits", [[0.0, 0.0]])}, ["posterior.probabilities"]),
        "objective.gradients[0]",
    )
