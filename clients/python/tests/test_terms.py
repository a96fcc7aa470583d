"""Objectives are sums of weighted terms."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import Message

import kantor
from kantor import _codec
from kantor.v1 import loss_pb2


def test_a_number_times_a_term_is_its_weight() -> None:
    assert (4 * kantor.GaussianKl()).weight == 4
    assert (kantor.GaussianKl(weight=2) * 3).weight == 6
    assert (np.float64(0.5) * kantor.Sinkhorn()).weight == 0.5


def test_terms_add_up_in_their_order() -> None:
    kl, near, far = kantor.GaussianKl(), kantor.Sinkhorn(name="near"), kantor.Sinkhorn(name="far")
    assert (kl + near).terms == (kl, near)
    assert (kl + near + far).terms == (kl, near, far)
    assert (kl + (near + far)).terms == (kl, near, far)
    assert (2 * (kl + near)).terms == (2 * kl, 2 * near)


def test_what_is_not_given_is_left_to_the_server() -> None:
    message = _codec.objective(kantor.Sinkhorn()).terms[0].sinkhorn
    assert {field.name for field, _ in message.ListFields()} == {"source", "target"}
    dual = _codec.objective(kantor.Kantorovich()).terms[0].kantorovich
    assert {field.name for field, _ in dual.ListFields()} == {"source", "target"}


def test_every_parameter_reaches_the_wire() -> None:
    term = kantor.Sinkhorn(
        "x", "y", cost="euclidean", blur=0.5, debias="none", tolerance=1e-4, max_iterations=7, weight=2, name="near"
    )
    assert _codec.objective(term).terms[0] == loss_pb2.Term(
        name="near",
        weight=2,
        sinkhorn=loss_pb2.SinkhornDivergence(
            source="x",
            target="y",
            cost=loss_pb2.COST_EUCLIDEAN,
            blur=0.5,
            debias=loss_pb2.DEBIAS_NONE,
            tolerance=1e-4,
            max_iterations=7,
        ),
    )
    assert _codec.objective(kantor.Sinkhorn(epsilon=0.25)).terms[0].sinkhorn.epsilon == 0.25
    more = kantor.Sinkhorn(reach=2, profile="geomloss", scaling=0.8, gap=0.1, without_interval=True)
    assert _codec.objective(more).terms[0].sinkhorn == loss_pb2.SinkhornDivergence(
        source="source",
        target="target",
        reach=2,
        profile=loss_pb2.PROFILE_GEOMLOSS,
        scaling=0.8,
        gap=0.1,
        without_interval=True,
    )
    assert _codec.objective(kantor.Sinkhorn(rho=4)).terms[0].sinkhorn.rho == 4
    halves = kantor.Sinkhorn(debias="split", second_source="x2", second_target="y2")
    assert _codec.objective(halves).terms[0].sinkhorn == loss_pb2.SinkhornDivergence(
        source="source",
        target="target",
        debias=loss_pb2.DEBIAS_SPLIT,
        second_source="x2",
        second_target="y2",
    )


# Each loss with every parameter, and its message.
WHOLE: list[tuple[kantor.Term, Message]] = [
    (
        kantor.Kantorovich(
            "x", "y", method="exact", gap=0.1, max_iterations=9, fresh_source="x2", fresh_target="y2", at="z"
        ),
        loss_pb2.KantorovichDual(
            source="x",
            target="y",
            method=loss_pb2.METHOD_EXACT,
            gap=0.1,
            max_iterations=9,
            fresh_source="x2",
            fresh_target="y2",
            at="z",
        ),
    ),
    (
        kantor.Transport("x", "y", p=1.5, debias="split", time=0.25, second_source="x2", second_target="y2"),
        loss_pb2.Transport(
            source="x",
            target="y",
            p=1.5,
            debias=loss_pb2.DEBIAS_SPLIT,
            time=0.25,
            second_source="x2",
            second_target="y2",
        ),
    ),
    (
        kantor.Transport("x", "y", cost="half_squared_euclidean", time=0),
        loss_pb2.Transport(source="x", target="y", cost=loss_pb2.COST_HALF_SQUARED_EUCLIDEAN, time=0),
    ),
    (
        kantor.Sliced("x", "y", p=1, directions=7, aggregate="max", max_iterations=9),
        loss_pb2.SlicedTransport(
            source="x", target="y", p=1, directions=7, aggregate=loss_pb2.SLICE_AGGREGATE_MAX, max_iterations=9
        ),
    ),
    (
        kantor.Mmd("x", "y", kernel="imq", blur=2, statistic="v", convention="half", closed_form=True),
        loss_pb2.MaximumMeanDiscrepancy(
            source="x",
            target="y",
            kernel=loss_pb2.KERNEL_IMQ,
            blur=2,
            statistic=loss_pb2.STATISTIC_V,
            convention=loss_pb2.CONVENTION_HALF,
            closed_form=True,
        ),
    ),
    (
        kantor.Stein("x", kernel="gaussian", blur=2, statistic="u"),
        loss_pb2.SteinDiscrepancy(source="x", kernel=loss_pb2.KERNEL_GAUSSIAN, blur=2, statistic=loss_pb2.STATISTIC_U),
    ),
    (
        kantor.ConeCritic("x", "y", state="s", cones=7, learning_rate=0.1, steps=0, at="z"),
        loss_pb2.ConeCritic(source="x", target="y", state="s", cones=7, learning_rate=0.1, steps=0, at="z"),
    ),
    (kantor.GaussianKl("q", "p"), loss_pb2.GaussianKl(posterior="q", prior="p")),
    (kantor.Bures("q", "p"), loss_pb2.BuresWasserstein(posterior="q", prior="p")),
    (kantor.Mmd(), loss_pb2.MaximumMeanDiscrepancy(source="source", target="target")),
    (kantor.Stein(), loss_pb2.SteinDiscrepancy(source="source")),
    (kantor.ConeCritic(), loss_pb2.ConeCritic(source="source", target="target")),
    (kantor.Bures(), loss_pb2.BuresWasserstein(posterior="posterior")),
]


@pytest.mark.parametrize(("term", "message"), WHOLE, ids=lambda one: type(one).__name__)
def test_a_term_is_its_message(term: kantor.Term, message: Message) -> None:
    written = _codec.objective(3 * term).terms[0]
    assert getattr(written, term._loss) == message
    assert written.weight == 3
    assert not written.name


LOSSES = {
    loss._loss: loss
    for name in kantor.__all__
    if isinstance(loss := getattr(kantor, name), type) and issubclass(loss, kantor.Term) and loss._loss
}


def test_every_field_of_every_loss_has_a_parameter() -> None:
    losses: Any = loss_pb2.Term.DESCRIPTOR.oneofs_by_name["loss"].fields
    assert {loss.name for loss in losses} == set(LOSSES)
    for loss in losses:
        own = set(loss.message_type.fields_by_name)
        assert own | {"weight", "name"} == {field.name for field in dataclasses.fields(LOSSES[loss.name])}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_the_words_of_a_parameter_are_the_contracts(loss: Any) -> None:
    """A type checker accepts what the wire can say, and nothing else."""
    hints = typing.get_type_hints(loss)
    fields: Any = getattr(loss_pb2.Term(), loss._loss).DESCRIPTOR.fields
    for field in fields:
        if field.enum_type is not None:
            literal, nothing = typing.get_args(hints[field.name])
            assert nothing is type(None)
            assert set(typing.get_args(literal)) == set(_codec._words(field.enum_type))


@pytest.mark.parametrize(
    ("term", "argument", "reason"),
    [
        (kantor.Sinkhorn(cost="manhattan"), "terms[0].cost", "'manhattan', want one of half_squared_euclidean"),  # type: ignore[arg-type]
        (kantor.Sinkhorn(debias="half"), "terms[0].debias", "'half', want one of none, self, split"),  # type: ignore[arg-type]
        (kantor.Sliced(aggregate="min"), "terms[0].aggregate", "'min', want one of mean, max"),  # type: ignore[arg-type]
        (kantor.Sinkhorn(blur=1, epsilon=1), "terms[0].blur", "together with epsilon"),
        (kantor.Sinkhorn(reach=1, rho=1), "terms[0].reach", "together with rho"),
        (kantor.Sinkhorn(tolerance=1, gap=1), "terms[0].tolerance", "together with gap"),
        (kantor.Sinkhorn(max_iterations=0), "terms[0].max_iterations", "is 0, want at least 1"),
        (kantor.Sliced(directions=0), "terms[0].directions", "is 0, want at least 1"),
        (kantor.ConeCritic(cones=-1), "terms[0].cones", "is -1, want at least 1"),
        (kantor.ConeCritic(steps=1 << 40), "terms[0].steps", "is 1099511627776: "),
        (kantor.Transport(cost="euclidean", p=1), "terms[0].cost", "together with p"),
        (kantor.Transport(time="late"), "terms[0].time", "is 'late': "),  # type: ignore[arg-type]
        (kantor.Term(), "terms[0]", "want a loss"),
        ("sinkhorn", "terms[0]", "is 'sinkhorn', want a loss"),
    ],
)
def test_what_the_wire_could_not_say_is_refused_here(term: kantor.Term, argument: str, reason: str) -> None:
    with pytest.raises(kantor.InvalidArgumentError) as caught:
        _codec.objective([term])
    assert caught.value.argument == argument
    assert reason in caught.value.reason
