"""Objectives are sums of weighted terms."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

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
    dual = _codec.objective(kantor.Kantorovich("x", "y", gap=0.1, max_iterations=9)).terms[0].kantorovich
    assert dual == loss_pb2.KantorovichDual(source="x", target="y", gap=0.1, max_iterations=9)
    kl = _codec.objective(kantor.GaussianKl("q", "p")).terms[0].kl
    assert kl == loss_pb2.GaussianKl(posterior="q", prior="p")


def test_every_field_of_every_loss_has_a_parameter() -> None:
    classes = {"sinkhorn": kantor.Sinkhorn, "kantorovich": kantor.Kantorovich, "kl": kantor.GaussianKl}
    losses = loss_pb2.Term.DESCRIPTOR.oneofs_by_name["loss"].fields
    assert {loss.name for loss in losses} == set(classes)
    for loss in losses:
        assert loss.message_type is not None
        fields = set(loss.message_type.fields_by_name)
        assert fields | {"weight", "name"} == {field.name for field in dataclasses.fields(classes[loss.name])}


@pytest.mark.parametrize(
    ("term", "argument", "reason"),
    [
        (kantor.Sinkhorn(cost="manhattan"), "terms[0].cost", "'manhattan', want one of half_squared_euclidean"),  # type: ignore[arg-type]
        (kantor.Sinkhorn(debias="split"), "terms[0].debias", "'split', want one of none, self"),  # type: ignore[arg-type]
        (kantor.Sinkhorn(blur=1, epsilon=1), "terms[0].blur", "together with epsilon"),
        (kantor.Sinkhorn(reach=1, rho=1), "terms[0].reach", "together with rho"),
        (kantor.Sinkhorn(tolerance=1, gap=1), "terms[0].tolerance", "together with gap"),
        (kantor.Sinkhorn(max_iterations=0), "terms[0].max_iterations", "is 0, want at least 1"),
        (kantor.Term(), "terms[0]", "want Sinkhorn, Kantorovich or GaussianKl"),
    ],
)
def test_what_the_wire_could_not_say_is_refused_here(term: kantor.Term, argument: str, reason: str) -> None:
    with pytest.raises(kantor.InvalidArgumentError) as caught:
        _codec.objective(term)
    assert caught.value.argument == argument
    assert reason in caught.value.reason
