"""What is refused of priors, covariances and critics' states."""

from common import measure, refused, request, tensor

CONTRACT = "The contract: proto/kantor/v1/input.proto"


def bad_prior_cases():
    def case(name, prior, field):
        refused("bad_prior_" + name, CONTRACT, request([{"sinkhorn": {}}], {"source": measure([[0.0]]), "target": {"prior": prior}}), field)

    path = 'inputs["target"].prior.'
    case("cube", {"uniformCube": {"lower": 1, "upper": 1}}, path + "uniform_cube")
    case("cube_default", {"uniformCube": {"lower": 2}}, path + "uniform_cube")
    case("radius", {"uniformSphere": {"radius": 0}}, path + "uniform_sphere.radius")
    case("means_absent", {"gaussianMixture": {}}, path + "gaussian_mixture.means")
    case("means_batch", {"gaussianMixture": {"means": tensor([1, 1, 1], [0.0])}}, path + "gaussian_mixture.means")
    mixture = {"means": tensor([2, 1], [0.0, 1.0])}
    case("mixture_weights", {"gaussianMixture": {**mixture, "weights": tensor([2], [1.0, -1.0])}}, path + "gaussian_mixture.weights")
    case("mixture_variance", {"gaussianMixture": {**mixture, "logVariance": tensor([1, 2], [0.0, 0.0])}}, path + "gaussian_mixture.log_variance")
    case("mixture_dimension", {"gaussianMixture": {"means": tensor([1, 2], [0.0, 1.0])}}, "objective.terms[0].sinkhorn.target")


def bad_covariance_cases():
    def case(name, covariance):
        posterior = {"gaussian": {"mean": tensor([1, 2], [0.0, 0.0]), "covariance": covariance}}
        refused("bad_covariance_" + name, CONTRACT, request([{"kl": {}}], {"posterior": posterior}), 'inputs["posterior"].covariance')

    case("shape", tensor([2, 2], [1.0, 0.0, 0.0, 1.0]))
    case("asymmetric", tensor([1, 2, 2], [1.0, 0.5, 0.0, 1.0]))


def bad_critic_state_cases():
    state = {
        "tips": tensor([2, 1, 1], [0.0] * 2),
        "heights": tensor([2, 1], [0.0] * 2),
        "tipMoments": tensor([2, 2, 1, 1], [0.0] * 4),
        "heightMoments": tensor([2, 2, 1], [0.0] * 4),
        "averages": tensor([2], [0.0] * 2),
    }

    def case(name, change, field):
        inputs = {"source": measure([[0.0]]), "target": measure([[1.0]]), "critic": {"coneCritic": {**state, **change}}}
        refused("bad_critic_" + name, CONTRACT, request([{"coneCritic": {"state": "critic"}}], inputs), f'inputs["critic"].{field}')

    case("tips", {"tips": tensor([1, 2, 1], [0.0] * 2)}, "tips")
    case("heights", {"heights": tensor([2], [0.0] * 2)}, "heights")
    case("averages_absent", {"averages": None}, "averages")
    case("step", {"step": "-1"}, "step")
