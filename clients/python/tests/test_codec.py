"""Arrays and messages, without a server."""

from __future__ import annotations

import dataclasses
import pickle
from typing import Any

import numpy as np
import pytest

import kantor
from kantor import _codec
from kantor.v1 import info_service_pb2, input_pb2, loss_service_pb2, tensor_pb2


def round_trip(value: Any) -> Any:
    tensor = tensor_pb2.Tensor()
    _codec.write_tensor(tensor, value, "x")
    return _codec.read_tensor(tensor_pb2.Tensor.FromString(tensor.SerializeToString()))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (1,), (3,), (4, 5), (2, 3, 4), (0, 3)])
def test_arrays_come_back_bit_for_bit(dtype: Any, shape: tuple[int, ...], rng: np.random.Generator) -> None:
    numbers = np.asarray(rng.standard_normal(shape), dtype)
    back = round_trip(numbers)
    assert back.dtype == dtype
    assert back.shape == shape
    assert back.tobytes() == numbers.tobytes()


def test_special_numbers_come_back() -> None:
    numbers = np.array([np.nan, np.inf, -np.inf, -0.0, 5e-324, 1.7976931348623157e308])
    assert round_trip(numbers).tobytes() == numbers.tobytes()


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a.T,
        lambda a: a[::2, ::-1],
        lambda a: np.asfortranarray(a),
        lambda a: a.astype(">f8"),
        lambda a: a.tolist(),
        lambda a: np.broadcast_to(a[0], (3, 4)),
    ],
)
def test_any_layout_is_sent_in_row_major_order(view: Any, rng: np.random.Generator) -> None:
    given = view(rng.standard_normal((6, 4)))
    back = round_trip(given)
    assert back.dtype == np.dtype("<f8")
    np.testing.assert_array_equal(back, np.asarray(given))


def test_the_wire_is_little_endian() -> None:
    tensor = tensor_pb2.Tensor()
    _codec.write_tensor(tensor, np.array([1.0], ">f4"), "x")
    assert tensor.data == b"\x00\x00\x80\x3f"
    assert tensor.dtype == tensor_pb2.DTYPE_FLOAT32
    assert list(tensor.shape) == [1]


def test_what_comes_back_is_the_callers_to_change() -> None:
    back = round_trip(np.zeros(3))
    back += 1
    np.testing.assert_array_equal(back, np.ones(3))


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (np.zeros((2, 2), np.float16), "float16"),
        (np.zeros((2, 2), np.int64), "int64"),
        ([[1, 2]], "int64"),
        (np.zeros((2, 2), bool), "bool"),
        (np.zeros((2, 2), np.complex128), "complex128"),
        (np.array([["a"]]), "<U1"),
        (np.array([[None]]), "object"),
        (None, "object"),
        ("text", "<U4"),
    ],
)
def test_other_number_formats_are_refused_by_name(value: Any, name: str) -> None:
    with pytest.raises(kantor.InvalidArgumentError) as caught:
        _codec.write_inputs(loss_service_pb2.EvaluateRequest().inputs, {"source": value})
    assert caught.value.field == 'inputs["source"].points'
    assert caught.value.argument == "source.points"
    assert caught.value.reason.startswith(f"is {name}, want float32 or float64")


def test_what_is_no_array_is_refused() -> None:
    with pytest.raises(kantor.InvalidArgumentError, match=r"^q.mean: is no array: "):
        _codec.write_inputs(
            loss_service_pb2.EvaluateRequest().inputs, {"q": kantor.Gaussian([[1.0], [1.0, 2.0]], np.zeros((1, 1)))}
        )


def test_inputs_of_every_kind() -> None:
    request = loss_service_pb2.EvaluateRequest()
    points, weights = np.ones((3, 2), np.float32), np.ones(3)
    _codec.write_inputs(
        request.inputs,
        {
            "bare": points,
            "weighed": kantor.Measure(points, weights),
            "q": kantor.Gaussian(points, points),
            "prior": kantor.StandardNormal(),
            "large": kantor.StandardNormal(size=500),
            "ragged": kantor.Measure(np.ones((2, 3, 2)), sizes=np.array([3, 1], np.uint8)),
        },
    )
    assert list(request.inputs["ragged"].measure.sizes) == [3, 1]
    assert not request.inputs["bare"].measure.sizes
    assert not request.inputs["bare"].measure.HasField("weights")
    assert request.inputs["weighed"].measure.weights.dtype == tensor_pb2.DTYPE_FLOAT64
    assert request.inputs["q"].gaussian.WhichOneof("spread") == "log_variance"
    assert request.inputs["prior"].prior.WhichOneof("family") == "standard_normal"
    assert request.inputs["prior"].prior.size == 0
    assert request.inputs["large"].prior.size == 500


@pytest.mark.parametrize(
    ("sizes", "name"),
    [
        ([], r"float64 of shape \(0,\)"),  # the wire would say that there are none
        ([1.0], "float64"),
        ([[1]], r"int64 of shape \(1, 1\)"),
        (3, r"int64 of shape \(\)"),
        ([True], "bool"),
        ("text", "<U4"),
    ],
)
def test_sizes_are_a_vector_of_integers(sizes: Any, name: str) -> None:
    with pytest.raises(kantor.InvalidArgumentError, match=rf"^x.sizes: is {name}.*want one integer per problem"):
        _codec.write_inputs(
            loss_service_pb2.EvaluateRequest().inputs, {"x": kantor.Measure(np.ones((1, 1, 1)), sizes=sizes)}
        )


@pytest.mark.parametrize("size", [0, -1])
def test_a_prior_of_no_samples_is_refused(size: int) -> None:
    with pytest.raises(kantor.InvalidArgumentError, match=r"^p.size: is -?\d, want at least 1"):
        _codec.write_inputs(loss_service_pb2.EvaluateRequest().inputs, {"p": kantor.StandardNormal(size)})


@pytest.mark.parametrize("seed", [-1, 1 << 64])
def test_a_seed_that_does_not_fit_is_refused(seed: int) -> None:
    with pytest.raises(kantor.InvalidArgumentError, match=r"^seed: is "):
        _codec.seed(seed)


def test_an_input_given_twice_is_refused() -> None:
    with pytest.raises(kantor.InvalidArgumentError, match=r"^source: is given twice"):
        _codec.merge({"source": 1}, {"source": 2})


def written(value: Any) -> input_pb2.Input:
    request = loss_service_pb2.EvaluateRequest()
    _codec.write_inputs(request.inputs, {"x": value})
    return request.inputs["x"]


def tensor(value: Any) -> tensor_pb2.Tensor:
    out = tensor_pb2.Tensor()
    _codec.write_tensor(out, value, "")
    return out


def test_a_covariance_is_in_the_place_of_a_log_variance() -> None:
    mean, covariance = np.zeros((3, 2)), np.tile(np.eye(2), (3, 1, 1))
    gaussian = written(kantor.Gaussian(mean, covariance=covariance)).gaussian
    assert gaussian == input_pb2.Gaussian(mean=tensor(mean), covariance=tensor(covariance))
    with pytest.raises(kantor.InvalidArgumentError, match=r"^x.log_variance: is given together with covariance"):
        written(kantor.Gaussian(mean, mean, covariance))


MEANS, WEIGHTS = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]), np.array([1.0, 2.0, 1.0], np.float32)

PRIORS = [
    (kantor.UniformCube(), input_pb2.Prior(uniform_cube=input_pb2.UniformCube())),
    (kantor.UniformCube(0, 2, 7), input_pb2.Prior(uniform_cube=input_pb2.UniformCube(lower=0, upper=2), size=7)),
    (kantor.UniformSphere(), input_pb2.Prior(uniform_sphere=input_pb2.UniformSphere())),
    (kantor.UniformSphere(3, 7), input_pb2.Prior(uniform_sphere=input_pb2.UniformSphere(radius=3), size=7)),
    (
        kantor.GaussianMixture(MEANS),
        input_pb2.Prior(gaussian_mixture=input_pb2.GaussianMixture(means=tensor(MEANS))),
    ),
    (
        kantor.GaussianMixture(MEANS, -MEANS, WEIGHTS, 7),
        input_pb2.Prior(
            gaussian_mixture=input_pb2.GaussianMixture(
                means=tensor(MEANS), log_variance=tensor(-MEANS), weights=tensor(WEIGHTS)
            ),
            size=7,
        ),
    ),
]


@pytest.mark.parametrize(("prior", "message"), PRIORS, ids=lambda one: type(one).__name__)
def test_a_prior_is_its_message(prior: kantor.Prior, message: input_pb2.Prior) -> None:
    assert written(prior).prior == message


@pytest.mark.parametrize(
    ("value", "argument", "reason"),
    [
        (kantor.Prior(), "x", "want a distribution"),
        (kantor.UniformCube(size=0), "x.size", "is 0, want at least 1"),
        (kantor.UniformCube(lower="low"), "x.lower", "is 'low': "),  # type: ignore[arg-type]
        (kantor.GaussianMixture([[1]]), "x.means", "is int64, want float32 or float64"),
        (kantor.GaussianMixture(MEANS, weights=[1, 2]), "x.weights", "is int64, want float32 or float64"),
        (kantor.Gaussian(None, MEANS), "x.mean", "is object, want float32 or float64"),
    ],
)
def test_what_is_wrong_with_an_input_names_its_attribute(value: Any, argument: str, reason: str) -> None:
    with pytest.raises(kantor.InvalidArgumentError) as caught:
        written(value)
    assert caught.value.argument == argument
    assert reason in caught.value.reason


@pytest.mark.parametrize(
    ("field", "argument"),
    [
        ('inputs["p"].prior', "p.prior"),
        ('inputs["p"].prior.size', "p.size"),
        ('inputs["p"].prior.uniform_sphere.radius', "p.radius"),
        ('inputs["p"].points', "p.points"),
        ('batch.inputs["prior"].prior.gaussian_mixture.means', "prior.means"),
        ("objective.terms[1].cone_critic.steps", "terms[1].steps"),
        ("objective.terms[1].cone_critic", "terms[1].cone_critic"),
    ],
)
def test_a_field_in_the_words_of_the_call(field: str, argument: str) -> None:
    assert kantor.InvalidArgumentError(field, "").argument == argument


def state(rng: np.random.Generator) -> kantor.ConeCriticState:
    a, b, c, d, e = map(rng.standard_normal, [(2, 3, 4), (2, 3), (2, 2, 3, 4), (2, 2, 3), (2,)])
    return kantor.ConeCriticState(a, b, c, d, e, step=0)


def test_a_critics_state_comes_back_and_goes_out_unchanged(rng: np.random.Generator) -> None:
    given = state(rng)
    response = loss_service_pb2.EvaluateResponse()
    extra = response.terms.add(name="t").extras["state"]
    extra.cone_critic.CopyFrom(written(given).cone_critic)
    back = _codec.evaluation(response).terms["t"].extras["state"]
    assert isinstance(back, kantor.ConeCriticState)
    for name, value in vars(given).items():
        np.testing.assert_array_equal(getattr(back, name), value)
    assert written(pickle.loads(pickle.dumps(back))) == written(given)


def test_gradients_come_under_the_names_that_were_asked_for() -> None:
    response = loss_service_pb2.EvaluateResponse()
    _codec.write_tensor(response.gradients["b"].gaussian.log_variance, np.ones((1, 2)), "")
    _codec.write_tensor(response.gradients["b"].gaussian.mean, np.zeros((1, 2)), "")
    _codec.write_tensor(response.gradients["a"].measure.weights, np.ones(3, np.float32), "")
    gradients = _codec.evaluation(response).gradients
    assert list(gradients) == ["a.weights", "b.mean", "b.log_variance"]
    assert gradients["a.weights"].dtype == np.float32


def test_a_response_keeps_what_is_absent_apart_from_what_is_zero() -> None:
    response = loss_service_pb2.EvaluateResponse(value=1.5)
    response.timing.compute.FromNanoseconds(1_500_000_000)
    response.build.version = "v"
    closed = response.terms.add(name="kl")
    closed.outcomes.add(value=1.0)
    solved = response.terms.add(name="sinkhorn")
    outcome = solved.outcomes.add(value=0.0)
    outcome.interval.SetInParent()
    outcome.solve.epsilon = 0.25
    outcome.solve.strategy = "float32 kernel, stored"
    solved.warnings.add(code="NOT_CONVERGED", message="m")
    potentials = solved.extras["potentials"].potentials
    potentials.gauge = loss_service_pb2.GAUGE_EQUAL_MEANS
    _codec.write_tensor(potentials.source, np.zeros(2), "")
    _codec.write_tensor(potentials.target, np.ones(3), "")

    response.timing.queue.FromMilliseconds(250)
    result = _codec.evaluation(response)
    assert result.timing == kantor.Timing(decode=0, compute=1.5, queue=0.25)
    assert result.terms["kl"].interval is None
    assert result.terms["kl"].solve is None
    assert result.terms["kl"].converged
    term = result.terms["sinkhorn"]
    assert term.interval == kantor.Interval(0, 0)
    assert term.solve == kantor.Solve(
        converged=False, iterations=0, marginal_error=0, epsilon=0.25, strategy="float32 kernel, stored"
    )
    assert not term.converged
    assert not result.converged
    assert term.warnings == (kantor.TermWarning("NOT_CONVERGED", "m"),)
    extra = term.extras["potentials"]
    assert isinstance(extra, kantor.Potentials)
    assert extra.gauge == "equal_means"
    np.testing.assert_array_equal(extra.target, np.ones(3))
    assert extra.source_self is None


def test_the_value_of_several_problems_is_not_guessed() -> None:
    term = kantor.TermResult("t", (kantor.Outcome(1, None, None), kantor.Outcome(2, None, None)), (), {})
    with pytest.raises(ValueError, match="2 outcomes"):
        _ = term.value
    assert term.values == (1, 2)


def extra_of(message: Any) -> Any:
    """What a client reads of an extra."""
    response = loss_service_pb2.EvaluateResponse()
    response.terms.add(name="t").extras["e"].CopyFrom(message)
    return _codec.evaluation(response).terms["t"].extras["e"]


def test_a_plan_is_dense_on_request() -> None:
    message = loss_service_pb2.Plan(source=[0, 1, 1], target=[2, 0, 2], mass=tensor(np.array([0.5, 0.25, 0.125])))
    plan = extra_of(loss_service_pb2.Extra(plan=message))
    assert isinstance(plan, kantor.Plan)
    assert plan.sizes is None
    np.testing.assert_array_equal(plan.dense(2, 3), [[0, 0, 0.5], [0.25, 0, 0.125]])
    # As scipy.sparse.coo_array takes them.
    assert plan.source.dtype == plan.target.dtype == np.int64
    message.sizes.extend([1, 2])
    batch = extra_of(loss_service_pb2.Extra(plan=message))
    np.testing.assert_array_equal(batch.dense(2, 3), [[[0, 0, 0.5], [0, 0, 0]], [[0, 0, 0], [0.25, 0, 0.125]]])
    assert [one.mass.tolist() for one in batch.problems()] == [[0.5], [0.25, 0.125]]


def test_a_measure_comes_back_as_what_can_be_sent() -> None:
    points, weights = np.ones((3, 2)), np.ones(3)
    message = input_pb2.Measure(points=tensor(points), weights=tensor(weights))
    measure = extra_of(loss_service_pb2.Extra(measure=message))
    assert isinstance(measure, kantor.Measure)
    assert measure.sizes is None
    assert written(measure).measure == message
    message.sizes.extend([3, 1])
    assert written(extra_of(loss_service_pb2.Extra(measure=message))).measure == message


def test_what_a_value_is_a_number_of() -> None:
    response = loss_service_pb2.EvaluateResponse()
    outcomes = response.terms.add(name="t").outcomes
    outcomes.add(value=1)
    outcomes.add(estimand=loss_service_pb2.ESTIMAND_EMPIRICAL)
    outcomes.add(estimand=loss_service_pb2.ESTIMAND_POPULATION_LOWER_BOUND, standard_error=0)
    assert _codec.evaluation(response).terms["t"].outcomes == (
        kantor.Outcome(1, None, None),
        kantor.Outcome(0, None, None, "empirical", None),
        kantor.Outcome(0, None, None, "population_lower_bound", 0),
    )


def test_gradients_of_a_term_are_apart_from_those_of_the_total() -> None:
    response = loss_service_pb2.EvaluateResponse()
    term = response.terms.add(name="t")
    _codec.write_tensor(term.gradients["a"].measure.points, np.ones((1, 2)), "")
    result = _codec.evaluation(response)
    assert result.gradients == {}
    assert list(result.terms["t"].gradients) == ["a.points"]
    assert not loss_service_pb2.Objective().gradients_per_term
    assert _codec.objective(kantor.Sinkhorn(), gradients_per_term=True).gradients_per_term


def test_a_class_for_every_kind_in_the_contract() -> None:
    """And in it an attribute for each field, so that nothing that comes is dropped."""
    kinds = {field.name for field in input_pb2.Input.DESCRIPTOR.oneofs_by_name["kind"].fields}
    assert kinds == {*_codec._INPUTS.values(), "prior"}
    families: Any = input_pb2.Prior.DESCRIPTOR.oneofs_by_name["family"].fields
    priors: Any = kantor.Prior.__subclasses__()
    assert {family.name for family in families} == {prior._family for prior in priors}
    of = {prior._family: prior for prior in priors}
    for family in families:
        own = set(family.message_type.fields_by_name)
        assert own | {"size"} == {field.name for field in dataclasses.fields(of[family.name])}
    extras: Any = loss_service_pb2.Extra.DESCRIPTOR.oneofs_by_name["kind"].fields
    assert {extra.message_type.name for extra in extras} <= {"Tensor", *_codec._KINDS}
    for name in (*_codec._KINDS, "Outcome", "Gaussian"):
        own = {field.name for field in dataclasses.fields(getattr(kantor, name))}
        assert own == set(message_of(name).DESCRIPTOR.fields_by_name)


def test_limits_are_read_in_seconds() -> None:
    response = info_service_pb2.GetServerInfoResponse()
    response.limits.queue = 7
    response.limits.queue_wait.FromMilliseconds(1500)
    limits = _codec.server_info(response).limits
    assert (limits.queue, limits.queue_wait, limits.stream_idle) == (7, 1.5, None)


def message_of(name: str) -> Any:
    modules = (loss_service_pb2, input_pb2, info_service_pb2)
    return next(getattr(module, name) for module in modules if hasattr(module, name))
