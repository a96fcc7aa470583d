"""What results and inputs print: what one looks at, and never the numbers of an array."""

from __future__ import annotations

import dataclasses

import numpy as np

import kantor
from kantor import _show


def test_an_evaluation_prints_its_terms_and_the_shapes_of_its_arrays(
    client: kantor.Client, rng: np.random.Generator
) -> None:
    x, y = rng.standard_normal((2, 300, 2))
    objective = kantor.Sinkhorn(blur=0.5, name="near") + kantor.Sinkhorn(blur=0.01, max_iterations=2, name="sharp")
    result = client.evaluate(
        objective, source=x, target=y, gradients=["source.points"], extras=["near.potentials"], gradients_per_term=True
    )
    near, sharp = result.terms.values()
    assert near.interval is not None
    assert near.solve is not None
    first, *lines = repr(result).splitlines()
    assert first == f"Evaluation(value={result.value:.9g}, NOT CONVERGED)"
    shown = f"{near.value:.9g} in [{near.interval.lower:.9g}, {near.interval.upper:.9g}]"
    assert lines[0] == f"  near   {shown}, {near.solve.iterations} iterations"
    assert lines[1].startswith(f"  sharp  {sharp.value:.9g} in [")
    assert "], NOT CONVERGED in 2 iterations, marginal error " in lines[1]
    assert lines[2] == (
        "  near.potentials: Potentials(gauge='equal_means', source=float64[300], target=float64[300], "
        "source_self=float64[300], target_self=float64[300])"
    )
    assert f"  sharp.NOT_CONVERGED: {sharp.warnings[0].message}" in lines
    assert lines[-1] == "  gradient source.points: float64[300, 2]"
    own = repr(near).splitlines()
    assert own[0] == f"TermResult('near', {shown}, {near.solve.iterations} iterations)"
    assert own[-1] == "  gradient source.points: float64[300, 2]"


def test_a_batch_prints_one_line_for_all_its_problems(client: kantor.Client, rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((50, 6, 2)), rng.standard_normal((6, 2))
    result = client.evaluate(kantor.Sinkhorn(blur=0.01, max_iterations=1), source=x, target=y)
    (term,) = result.terms.values()
    failed = sum(outcome.solve is not None and not outcome.solve.converged for outcome in term.outcomes)
    assert failed > 0
    span = f"{min(term.values):.6g} to {max(term.values):.6g}"
    assert repr(result).splitlines()[1] == f"  sinkhorn  50 problems, {span}, {failed} NOT CONVERGED"


def test_a_bound_says_what_of_and_how_sure(client: kantor.Client, rng: np.random.Generator) -> None:
    x, y, fresh_x, fresh_y = rng.standard_normal((4, 40, 2))
    result = client.evaluate(
        kantor.Kantorovich(fresh_source="x2", fresh_target="y2"), source=x, target=y, x2=fresh_x, y2=fresh_y
    )
    (outcome,) = result.terms["kantorovich"].outcomes
    assert outcome.standard_error is not None
    line = repr(result).splitlines()[1]
    assert line.startswith(f"  kantorovich  {outcome.value:.9g} ± {outcome.standard_error:.2g}")
    assert "a lower bound for the populations" in line


def test_what_has_arrays_prints_none_of_their_numbers() -> None:
    x = np.full((500, 3), 7.25, np.float32)
    plan = kantor.Plan(np.arange(500), np.arange(500), x[:, 0])
    assert repr(kantor.Measure(x)) == "Measure(points=float32[500, 3])"
    assert repr(kantor.Measure(x.tolist(), [1, 2])) == "Measure(points=list of 500, weights=[1, 2])"
    assert repr(kantor.Gaussian(x, covariance=x)) == "Gaussian(mean=float32[500, 3], covariance=float32[500, 3])"
    assert repr(kantor.GaussianMixture(x, size=3)) == "GaussianMixture(means=float32[500, 3], size=3)"
    assert repr(plan) == "Plan(source=int64[500], target=int64[500], mass=float32[500])"
    assert _show.brief({"a": x, "b": 1}) == "{a: float32[500, 3], b: 1}"


def test_every_public_class_with_arrays_is_brief() -> None:
    """A class whose instances compare by identity has arrays; its own or the brief repr, not the dataclass's."""
    classes = [value for name in kantor.__all__ if isinstance(value := getattr(kantor, name), type)]
    arrays = [one for one in classes if dataclasses.is_dataclass(one) and one.__eq__ is object.__eq__]
    assert len(arrays) > 6
    for one in arrays:
        assert not hasattr(one.__repr__, "__wrapped__"), one  # what dataclasses writes is wrapped against recursion
