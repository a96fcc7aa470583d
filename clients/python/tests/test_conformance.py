"""The cases of testdata/conformance, which every client and server of kantor.v1 runs.

Its README.md says what the keys mean.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import json_format

import kantor
from conftest import ROOT
from kantor import _codec, _inputs, _retry, _stream
from kantor.v1 import diagnostic_service_pb2, input_pb2, loss_pb2, loss_service_pb2, tensor_pb2

CASES = sorted((ROOT / "testdata" / "conformance").glob("*.json"))
KEYS = {"name", "source", "request", "diagnose", "expect", "error"}

NAMES = [getattr(kantor, name) for name in kantor.__all__]
LOSSES: dict[str, Any] = {value._loss: value for value in NAMES if hasattr(value, "_loss")}
DIAGNOSTICS: dict[str, Any] = {value._kind: value for value in NAMES if getattr(value, "_kind", "")}
PRIORS: dict[str, Any] = {value._family: value for value in vars(_inputs).values() if hasattr(value, "_family")}


def case_of(path: Path) -> dict[str, Any]:
    case: dict[str, Any] = json.loads(path.read_text())
    assert set(case) <= KEYS
    assert ("expect" in case) != ("error" in case)
    assert ("request" in case) != ("diagnose" in case)
    return case


def request_of(case: dict[str, Any]) -> loss_service_pb2.EvaluateRequest:
    return json_format.ParseDict(case["request"], loss_service_pb2.EvaluateRequest())


def diagnose_request_of(case: dict[str, Any]) -> diagnostic_service_pb2.DiagnoseRequest:
    return json_format.ParseDict(case["diagnose"], diagnostic_service_pb2.DiagnoseRequest())


def case_ids(*keys: str) -> list[Any]:
    return [pytest.param(path, id=path.stem) for path in CASES if case_of(path).keys() >= set(keys)]


def test_there_are_cases_of_every_kind() -> None:
    for request in ("request", "diagnose"):
        assert case_ids(request, "expect")
        assert case_ids(request, "error")


def test_every_diagnostic_of_the_server_has_a_case(client: kantor.Client) -> None:
    asked = [diagnose_request_of(case_of(path.values[0])) for path in case_ids("diagnose", "expect")]
    kinds = {str(diagnostic.WhichOneof("kind")) for request in asked for diagnostic in request.diagnostics}
    assert kinds == set(client.info().diagnostics) == set(DIAGNOSTICS)


@pytest.mark.parametrize("path", case_ids("request", "expect"))
def test_a_good_request(path: Path, client: kantor.Client) -> None:
    """Said in the client's own words, so that what it writes is tested with what it reads."""
    expect = case_of(path)["expect"]
    request = request_of(case_of(path))
    terms = [term_of(term) for term in request.objective.terms]
    inputs = {name: input_of(request.inputs[name]) for name in request.inputs}
    objective = request.objective
    result = client.evaluate(terms, inputs, gradients=objective.gradients, extras=objective.extras, seed=request.seed)
    with client.stream(terms, gradients=objective.gradients, extras=objective.extras) as stream:
        check(stream.evaluate(inputs, seed=request.seed), expect)
    check(result, expect)


@pytest.mark.parametrize("path", case_ids("diagnose", "expect"))
def test_a_good_diagnosis(path: Path, client: kantor.Client) -> None:
    """In the client's own words."""
    expect = case_of(path)["expect"]
    request = diagnose_request_of(case_of(path))
    asked = [diagnostic_of(diagnostic) for diagnostic in request.diagnostics]
    inputs = {name: input_of(request.inputs[name]) for name in request.inputs}
    results = client.diagnose(asked, inputs, seed=request.seed)
    assert set(expect) == {"diagnostics"}
    assert set(results) == set(expect["diagnostics"])
    for name, want in expect["diagnostics"].items():
        check_diagnostic(results[name], want)


@pytest.mark.parametrize("path", case_ids("diagnose", "error"))
def test_a_bad_diagnosis(path: Path, client: kantor.Client) -> None:
    """Sent as it stands."""
    error = case_of(path)["error"]
    assert error["code"] == "INVALID_ARGUMENT"
    with pytest.raises(kantor.InvalidArgumentError) as caught:
        client._transport().diagnose(diagnose_request_of(case_of(path)), 60)
    assert caught.value.field == error["field"]


@pytest.mark.parametrize("path", case_ids("request", "error"))
def test_a_bad_request(path: Path, client: kantor.Client) -> None:
    """Sent as it stands: much of it the client would not say."""
    error = case_of(path)["error"]
    request = request_of(case_of(path))
    assert error["code"] == "INVALID_ARGUMENT"
    with pytest.raises(kantor.InvalidArgumentError) as caught:
        client._transport().evaluate(request, 60)
    assert caught.value.field == error["field"]
    batch = loss_service_pb2.EvaluateStreamRequest(batch={"id": 1, "inputs": request.inputs, "seed": request.seed})
    with pytest.raises(kantor.InvalidArgumentError) as caught:
        patience, deadline = _retry.Patience(), _retry.Deadline(60)
        stream = _stream.Stream(client._transport, request.objective, unordered=False, timeout=60, patience=patience)
        stream._session(deadline).send(batch, deadline).result(60)
    assert caught.value.field == error["field"]


def term_of(term: loss_pb2.Term) -> kantor.Term:
    options: dict[str, Any] = {"name": term.name or None}
    if term.HasField("weight"):
        options["weight"] = term.weight
    kind = str(term.WhichOneof("loss"))
    made: kantor.Term = LOSSES[kind](**options, **words_of(getattr(term, kind)))
    return made


def diagnostic_of(diagnostic: diagnostic_service_pb2.Diagnostic) -> kantor.Diagnostic:
    kind = str(diagnostic.WhichOneof("kind"))
    made: kantor.Diagnostic = DIAGNOSTICS[kind](name=diagnostic.name or None, **words_of(getattr(diagnostic, kind)))
    return made


def words_of(parameters: Any) -> dict[str, Any]:
    """A loss's parameters, or a diagnostic's, as the client's classes have them: enumerations are words."""
    options = {}
    for field, value in parameters.ListFields():
        if field.enum_type is not None:
            words = _codec._words(field.enum_type)
            value = next(word for word, number in words.items() if number == value)
        options[field.name] = value
    return options


def input_of(value: input_pb2.Input) -> Any:
    """In the client's words: a message's fields are the attributes of a class."""
    if value.WhichOneof("kind") == "prior":
        family = str(value.prior.WhichOneof("family"))
        options = attributes(getattr(value.prior, family))
        return PRIORS[family](size=value.prior.size or None, **options)
    kinds: dict[str, Any] = {kind: made for made, kind in _codec._INPUTS.items()}
    kind = str(value.WhichOneof("kind"))
    return kinds[kind](**attributes(getattr(value, kind)))


def attributes(message: Any) -> dict[str, Any]:
    return {
        field.name: _codec.read_tensor(value) if isinstance(value, tensor_pb2.Tensor) else value
        for field, value in message.ListFields()
    }


def check(result: kantor.Evaluation, expect: dict[str, Any]) -> None:
    assert set(expect) <= {"value", "tolerance", "terms", "gradients"}
    if "value" in expect:
        near(result.value, expect["value"], expect["tolerance"])
    for name, want in expect.get("terms", {}).items():
        check_term(result.terms[name], want)
    if "gradients" in expect:
        assert set(result.gradients) == set(expect["gradients"])
    for name, want in expect.get("gradients", {}).items():
        check_tensor(result.gradients[name], want)


def check_tensor(got: Any, want: dict[str, Any]) -> None:
    assert tensor_pb2.Dtype.Value(want["dtype"]) == _codec._DTYPES[got.dtype]
    assert list(got.shape) == want["shape"]
    for one, wanted in zip(got.ravel().tolist(), want["values"], strict=True):
        near(one, wanted, want["tolerance"])


def check_diagnostic(result: kantor.DiagnosticResult, want: dict[str, Any]) -> None:
    assert set(want) == {"values", "tolerance", "details", "warnings"}
    for got, wanted in zip(result.values, want["values"], strict=True):
        near(got, wanted, want["tolerance"])
    for name, detail in want["details"].items():
        check_tensor(result.details[name], detail)
    assert [warning.code for warning in result.warnings] == want["warnings"]


def check_term(term: kantor.TermResult, want: dict[str, Any]) -> None:
    assert set(want) <= {"value", "tolerance", "contains", "converged", "outcomes", "warnings"}
    for outcome, wanted in zip(term.outcomes, want.get("outcomes", [want]), strict=True):
        check_outcome(outcome, wanted)
    if "warnings" in want:
        assert [warning.code for warning in term.warnings] == want["warnings"]


def check_outcome(outcome: kantor.Outcome, want: dict[str, Any]) -> None:
    if "value" in want:
        near(outcome.value, want["value"], want["tolerance"])
    if "contains" in want:
        assert outcome.interval is not None
        assert float(want["contains"]) in outcome.interval
    if "converged" in want:
        assert outcome.solve is not None
        assert outcome.solve.converged == want["converged"]


def near(got: float, want: float | str, tolerance: float) -> None:
    """The cases' own rule: tolerance · max(1, |want|); infinities are written as text."""
    want = float(want)
    assert got == want or abs(got - want) <= tolerance * max(1, abs(want)), f"{got!r}, want {want!r} to {tolerance}"
    assert not np.isnan(got)
