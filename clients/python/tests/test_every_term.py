"""Every loss against a live server: its gradients, batches, overrides and torch. Its values are in test_values.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

import kantor
from conftest import Floats, bits

Inputs = dict[str, Any]
WITH_ROWS = (kantor.Measure, kantor.Gaussian, kantor.Categorical, kantor.Bernoulli, kantor.VonMisesFisher)


def clouds(rng: np.random.Generator) -> Inputs:
    """Two weighted clouds of six points."""
    a, b = rng.uniform(0.5, 1.5, (2, 6))
    x, y = rng.standard_normal((2, 6, 2))
    return {"source": kantor.Measure(x, a / a.sum()), "target": kantor.Measure(y + 0.5, b / b.sum())}


def plain(rng: np.random.Generator) -> Inputs:
    """Two clouds of six points without weights, which is what split debiasing takes."""
    x, y = rng.standard_normal((2, 6, 2))
    return {"source": kantor.Measure(x), "target": kantor.Measure(y + 0.5)}


def fresh(rng: np.random.Generator) -> Inputs:
    return {**clouds(rng), "x2": kantor.Measure(rng.standard_normal((5, 2))), "y2": kantor.StandardNormal(7)}


def one(rng: np.random.Generator) -> Inputs:
    return {"source": clouds(rng)["source"]}


def gaussians(rng: np.random.Generator) -> Inputs:
    mean, log_variance = rng.standard_normal((2, 3, 2))
    return {"posterior": kantor.Gaussian(mean, log_variance)}


def coded(rng: np.random.Generator) -> Inputs:
    """Posteriors, and a code near each mean."""
    inputs = gaussians(rng)
    return {**inputs, "codes": kantor.Measure(inputs["posterior"].mean + 0.5 * rng.standard_normal((3, 2)))}


def codes(rng: np.random.Generator) -> Inputs:
    return {"codes": plain(rng)["source"]}


def two_covariances(rng: np.random.Generator) -> Inputs:
    return {"posterior": full_gaussians(rng)["posterior"], "prior": full_gaussians(rng)["posterior"]}


def choices(rng: np.random.Generator) -> Inputs:
    """Choices among four classes, from logits, and what is likely among them, from probabilities."""
    likely = rng.uniform(0.5, 1.5, (1, 4))
    return {"posterior": kantor.Categorical(rng.standard_normal((3, 4))), "prior": kantor.Categorical(None, likely)}


def bits_of_rows(rng: np.random.Generator) -> Inputs:
    likely = rng.uniform(0.2, 0.8, (3, 4))
    return {"posterior": kantor.Bernoulli(rng.standard_normal((3, 4))), "prior": kantor.Bernoulli(None, likely)}


def directions(rng: np.random.Generator) -> Inputs:
    mean = rng.standard_normal((3, 4))
    mean /= np.linalg.norm(mean, axis=1, keepdims=True)
    return {"posterior": kantor.VonMisesFisher(mean, rng.uniform(1, 20, 3))}


def common(rng: np.random.Generator) -> Inputs:
    """Two measures on the same six points, in another order."""
    inputs, order = clouds(rng), rng.permutation(6)
    return {**inputs, "target": kantor.Measure(inputs["source"].points[order], inputs["target"].weights)}


def paired(rng: np.random.Generator) -> Inputs:
    """Codes with the data that they belong to."""
    codes, data = rng.standard_normal((5, 2)), rng.standard_normal((5, 3))
    return {"codes": kantor.Measure(codes), "data": kantor.Measure(data)}


def posteriors(rng: np.random.Generator) -> Inputs:
    """Posteriors with the data that they belong to."""
    return {**gaussians(rng), "data": kantor.Measure(rng.standard_normal((3, 3)))}


def full_gaussians(rng: np.random.Generator) -> Inputs:
    mean, roots = rng.standard_normal((3, 2)), rng.standard_normal((3, 2, 2))
    covariance = roots @ roots.transpose(0, 2, 1) + np.eye(2)
    return {"posterior": kantor.Gaussian(mean, covariance=covariance), "prior": clouds(rng)["source"]}


def critic(rng: np.random.Generator) -> Inputs:
    """Clouds, and a critic of three cones that have no kink at their points."""
    tips, heights = rng.standard_normal((2, 3, 2)), rng.standard_normal((2, 3))
    tip_moments, height_moments = (np.stack([0.1 * np.ones_like(a), 0.02 * np.ones_like(a)]) for a in (tips, heights))
    averages = np.array([0.1, 0.2])
    state = kantor.ConeCriticState(tips, heights, tip_moments, height_moments, averages, step=4)
    return {**clouds(rng), "critic": state, "z": kantor.Measure(tips[0] + 0.1)}


@dataclass(frozen=True)
class Case:
    """A term, its inputs, the argument whose gradient is tested, a number of it that a stream overrides.

    And how far a difference quotient may be off.
    """

    term: kantor.Term
    inputs: Callable[[np.random.Generator], Inputs]
    argument: str
    override: tuple[str, float]
    extras: tuple[str, ...] = ()
    batches: bool = True
    error: float = 1e-7


CASES = {
    "sinkhorn": Case(
        kantor.Sinkhorn(blur=0.7, tolerance=1e-9), clouds, "source.points", ("blur", 0.9), ("potentials",)
    ),
    "sinkhorn split": Case(
        kantor.Sinkhorn(blur=0.7, debias="split", tolerance=1e-9), plain, "target.points", ("blur", 0.9)
    ),
    "kantorovich": Case(kantor.Kantorovich(method="exact"), clouds, "target.points", ("gap", 0.5), ("potentials",)),
    "kantorovich fresh": Case(
        kantor.Kantorovich(method="exact", fresh_source="x2", fresh_target="y2", at="x2"),
        fresh,
        "x2.points",
        ("weight", 2),
        ("critic", "critic_gradient"),
    ),
    "transport": Case(
        kantor.Transport(time=0.25),
        clouds,
        "source.points",
        ("time", 0.75),
        ("potentials", "plan", "map", "interpolation"),
    ),
    "transport split": Case(kantor.Transport(p=1, debias="split"), plain, "source.points", ("p", 2)),
    "sliced": Case(kantor.Sliced(directions=5), clouds, "target.points", ("directions", 7), ("directions",)),
    # The ascent ends where a step gains less than 1e-9 of the value: over a step of 1e-4 several 1e-5.
    "sliced max": Case(
        kantor.Sliced(aggregate="max"), clouds, "source.points", ("max_iterations", 1), ("directions",), error=2e-4
    ),
    "mmd energy": Case(kantor.Mmd(), clouds, "source.weights", ("weight", 2), ("witness",)),
    "mmd gaussian": Case(kantor.Mmd(kernel="gaussian", blur=1.5), clouds, "target.points", ("blur", 2)),
    "mmd laplacian": Case(
        kantor.Mmd(kernel="laplacian", blur=1.5, statistic="v"), clouds, "source.points", ("blur", 2)
    ),
    "mmd imq": Case(kantor.Mmd(kernel="imq", convention="half"), clouds, "target.points", ("blur", 2)),
    "stein": Case(kantor.Stein(), one, "source.points", ("blur", 2)),
    "stein gaussian": Case(kantor.Stein(kernel="gaussian", statistic="v"), one, "source.weights", ("blur", 2)),
    "bures": Case(kantor.Bures(), gaussians, "posterior.log_variance", ("weight", 2), ("per_row", "map")),
    "bures covariance": Case(
        kantor.Bures(prior="prior"), full_gaussians, "posterior.covariance", ("weight", 2), ("per_row", "map")
    ),
    "bures measure": Case(kantor.Bures(prior="prior"), full_gaussians, "prior.points", ("weight", 2)),
    "kl": Case(kantor.GaussianKl(), gaussians, "posterior.mean", ("weight", 2), ("per_dimension",)),
    "kl covariance": Case(
        kantor.GaussianKl(prior="prior", direction="symmetric"),
        two_covariances,
        "prior.covariance",
        ("capacity", 50),
        ("per_row",),
    ),
    "kl free bits": Case(
        kantor.GaussianKl(direction="reverse", free_bits=0.3),
        gaussians,
        "posterior.log_variance",
        ("free_bits", 2),
        ("per_row", "per_dimension"),
    ),
    "categorical kl": Case(
        kantor.CategoricalKl(prior="prior"), choices, "posterior.logits", ("capacity", 2), ("per_row",)
    ),
    "bernoulli kl": Case(
        kantor.BernoulliKl(prior="prior", direction="symmetric"),
        bits_of_rows,
        "prior.probabilities",
        ("free_bits", 3),
        ("per_row", "per_dimension"),
    ),
    "von mises-fisher kl": Case(
        kantor.VonMisesFisherKl(), directions, "posterior.concentration", ("capacity", 1), ("per_row",)
    ),
    "discrete kl": Case(kantor.DiscreteKl(direction="symmetric"), common, "target.weights", ("weight", 2)),
    "jensen-shannon": Case(
        kantor.JensenShannon("posterior", "prior"), choices, "prior.probabilities", ("weight", 2), ("per_row",)
    ),
    "jensen-shannon of measures": Case(kantor.JensenShannon(), common, "source.weights", ("weight", 2)),
    "total correlation": Case(
        kantor.TotalCorrelation(dataset_size=100, correlation=6),
        coded,
        "codes.points",
        ("dimension_wise_kl", 2),
        ("mutual_information", "total_correlation", "dimension_wise_kl", "per_dimension"),
    ),
    "total correlation by transport": Case(
        kantor.TotalCorrelation(estimator="transport", blur=0.7, tolerance=1e-9), codes, "codes.points", ("blur", 0.9)
    ),
    "dip": Case(kantor.Dip(moments="codes"), gaussians, "posterior.log_variance", ("diagonal", 2), ("covariance",)),
    "stress": Case(kantor.Stress(), paired, "data.points", ("scale", 2), ("correlation", "scale")),
    "stress of Gaussians": Case(
        kantor.Stress("posterior"), posteriors, "posterior.log_variance", ("scale", 2), ("correlation", "scale")
    ),
    "stress by rank": Case(kantor.Stress(form="rank"), paired, "codes.points", ("weight", 2), ("correlation",)),
    "cone critic": Case(
        kantor.ConeCritic(state="critic", at="z"),
        critic,
        "source.points",
        ("learning_rate", 0.5),
        ("state", "critic", "critic_gradient"),
        batches=False,
    ),
}

each = pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))


def test_there_is_a_case_for_every_loss_of_the_server(client: kantor.Client) -> None:
    assert {case.term._loss for case in CASES.values()} == set(client.info().losses)


def evaluate(client: kantor.Client, case: Case, inputs: Mapping[str, Any]) -> kantor.Evaluation:
    extras = [f"{case.term._loss}.{extra}" for extra in case.extras]
    return client.evaluate(case.term, inputs, gradients=case.argument, extras=extras, seed=3)


def array_of(inputs: Mapping[str, Any], argument: str) -> Floats:
    name, field = argument.split(".")
    array: Floats = getattr(inputs[name], field)
    return array


def with_array(inputs: Mapping[str, Any], argument: str, array: Any) -> Inputs:
    name, field = argument.split(".")
    return {**inputs, name: replace(inputs[name], **{field: array})}


def direction_of(inputs: Mapping[str, Any], argument: str, rng: np.random.Generator) -> Floats:
    """Where an argument may go: weights to the same mass, covariances to symmetric ones."""
    array = array_of(inputs, argument)
    direction: Floats = rng.standard_normal(array.shape)
    if argument.endswith(".weights"):
        direction = array * (direction - (array * direction).sum())
    if argument.endswith(".covariance"):
        direction = direction + direction.swapaxes(-1, -2)
    return direction


@each
def test_a_gradient_is_the_slope_of_the_value(client: kantor.Client, rng: np.random.Generator, case: Case) -> None:
    inputs = case.inputs(rng)
    (gradient,) = evaluate(client, case, inputs).gradients.values()
    array, step = array_of(inputs, case.argument), 1e-4
    assert gradient.shape == array.shape
    for _ in range(3):
        direction = direction_of(inputs, case.argument, rng)
        ahead, behind = (
            evaluate(client, case, with_array(inputs, case.argument, array + h * direction)).value
            for h in (step, -step)
        )
        # A central difference errs by h²/6 · |third derivative|, of order 1e-8 times what the kernels have: at lengths
        # of about 1 it is of order 10 along directions of length 4.
        np.testing.assert_allclose(
            (gradient * direction).sum(), (ahead - behind) / (2 * step), rtol=1e-6, atol=case.error
        )


def stacked(problems: list[Inputs], name: str) -> Any:
    """The batch of an input of several problems; one that has no arrays is shared."""
    first: Any = problems[0][name]
    if not isinstance(first, WITH_ROWS):
        return first
    arrays = {field: [getattr(inputs[name], field) for inputs in problems] for field in vars(first)}
    batch: dict[str, Any] = {field: np.stack(parts) for field, parts in arrays.items() if parts[0] is not None}
    return replace(first, **batch)


@each
def test_a_batch_is_its_problems(client: kantor.Client, rng: np.random.Generator, case: Case) -> None:
    problems = [case.inputs(rng) for _ in range(3)]
    batch = {name: stacked(problems, name) for name in problems[0]}
    if not case.batches:
        with pytest.raises(kantor.InvalidArgumentError, match="batch"):
            evaluate(client, case, batch)
        return
    together = evaluate(client, case, batch)
    alone = [evaluate(client, case, inputs) for inputs in problems]
    assert together.terms[case.term._loss].outcomes == tuple(
        result.terms[case.term._loss].outcomes[0] for result in alone
    )
    np.testing.assert_array_equal(
        together.gradients[case.argument], np.stack([result.gradients[case.argument] for result in alone])
    )
    for extra in case.extras:
        whole: Any = together.terms[case.term._loss].extras[extra]
        parts: list[Any] = [result.terms[case.term._loss].extras[extra] for result in alone]
        if isinstance(whole, np.ndarray):
            np.testing.assert_array_equal(whole, np.stack(parts))
        elif isinstance(whole, kantor.Plan):
            np.testing.assert_array_equal(whole.dense(6, 6), np.stack([plan.dense(6, 6) for plan in parts]))


@each
def test_a_stream_with_an_override_is_a_call_with_another_term(
    client: kantor.Client, rng: np.random.Generator, case: Case
) -> None:
    inputs, (number, value) = case.inputs(rng), case.override
    extras = [f"{case.term._loss}.{extra}" for extra in case.extras]
    other: Any = {number: value}
    with client.stream(case.term, gradients=case.argument, extras=extras) as stream:
        before = stream.evaluate(inputs, seed=3)
        after = stream.evaluate(inputs, seed=3, overrides={f"{case.term._loss}.{number}": value})
    assert bits(before) == bits(evaluate(client, case, inputs))
    assert bits(after) == bits(evaluate(client, replace(case, term=replace(case.term, **other)), inputs))


@pytest.mark.needs("torch")
@each
def test_torch_can_differentiate_it(client: kantor.Client, rng: np.random.Generator, case: Case) -> None:
    import torch

    import kantor.torch

    inputs = case.inputs(rng)
    criterion = kantor.torch.Loss(case.term, client)
    start, along = (torch.from_numpy(direction_of(inputs, case.argument, rng)) for _ in range(2))
    array = torch.from_numpy(array_of(inputs, case.argument))

    def value(t: torch.Tensor) -> torch.Tensor:
        tensors = with_array(inputs, case.argument, array + 0.01 * start + t * along)
        out: torch.Tensor = criterion(tensors, seed=3)
        return 1.5 * out

    # In one number, so that weights keep their mass.
    assert torch.autograd.gradcheck(value, torch.zeros((), dtype=torch.float64, requires_grad=True), eps=1e-5)
