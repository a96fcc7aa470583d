"""Requests whose results are no good, kept for `kantor eval --request FILE`.

KANTOR_DUMP names the directory. A file is an EvaluateRequest in protobuf's JSON form, and the same build of kantor
computes the same bits from it. Writing it never fails a call.
"""

from __future__ import annotations

import datetime
import itertools
import logging
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from kantor._errors import (
    CancelledError,
    ClosedError,
    DeadlineError,
    InvalidArgumentError,
    KantorError,
    TooLargeError,
)
from kantor._results import Evaluation
from kantor.v1 import loss_pb2, loss_service_pb2

_MOST_FILES = 16  # in the directory; the first are the ones to look at

_log = logging.getLogger("kantor")
_numbers = itertools.count()


def watching(
    compute: Callable[[], Evaluation], request: Callable[[], loss_service_pb2.EvaluateRequest], step: int
) -> Evaluation:
    """Computes, and keeps the request if the result is no good and KANTOR_DUMP is set."""
    if not os.environ.get("KANTOR_DUMP"):
        return compute()
    try:
        result = compute()
    except (CancelledError, ClosedError, DeadlineError, TooLargeError):  # its numbers are not to blame
        raise
    except KantorError as error:
        # A request has no overrides: one that was refused is not in the file, which would compute without it.
        if not (isinstance(error, InvalidArgumentError) and error.field.startswith("overrides[")):
            _keep(request, "failure", step)
        raise
    why = _reason(result)
    if why:
        _keep(request, why, step)
    return result


def _reason(result: Evaluation) -> str:
    """What is no good about a result: `nan`, `unconverged`; empty: nothing."""
    if not math.isfinite(result.value) or not all(np.isfinite(g).all() for g in result.gradients.values()):
        return "nan"
    return "" if result.converged else "unconverged"


def _keep(request: Callable[[], loss_service_pb2.EvaluateRequest], why: str, step: int) -> None:
    """Writes a request, unless there are enough of them."""
    from google.protobuf import json_format

    try:
        directory = Path(os.environ["KANTOR_DUMP"])
        directory.mkdir(parents=True, exist_ok=True)
        if sum(1 for _ in directory.glob("kantor-*.json")) >= _MOST_FILES:
            return
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%S")
        file = directory / f"kantor-{now}-{os.getpid()}-{next(_numbers)}-step{step}-{why}.json"
        unfinished = file.with_suffix(".part")
        unfinished.write_text(json_format.MessageToJson(request(), indent=None))
        unfinished.replace(file)
        _log.warning("%s at step %d: `kantor eval --request %s` computes it again", why, step, file)
    except Exception as error:  # a full disk must not end a training
        _log.warning("KANTOR_DUMP=%s: %s", os.environ.get("KANTOR_DUMP"), error)


def whole(objective: loss_service_pb2.Objective, batch: loss_service_pb2.Batch) -> loss_service_pb2.EvaluateRequest:
    """Returns a batch of a stream as a request of its own."""
    request = loss_service_pb2.EvaluateRequest(objective=objective, seed=batch.seed)
    for name in batch.inputs:
        request.inputs[name].CopyFrom(batch.inputs[name])
    _override(request.objective, batch.overrides)
    return request


def _override(objective: loss_service_pb2.Objective, numbers: Mapping[str, float]) -> None:
    """Sets terms' numbers by `term.field`, as the server does. One that it would refuse is left out."""
    terms: dict[str, loss_pb2.Term] = {term.name or str(term.WhichOneof("loss")): term for term in objective.terms}
    for key, number in numbers.items():
        name, _, field = key.partition(".")
        term = terms.get(name)
        loss = term.WhichOneof("loss") if term is not None else None
        if term is None or loss is None:
            continue
        into = term if field == "weight" else getattr(term, loss)
        described = into.DESCRIPTOR.fields_by_name.get(field)
        if described is not None and described.cpp_type == described.CPPTYPE_DOUBLE:
            setattr(into, field, number)
        elif described is not None and described.cpp_type == described.CPPTYPE_INT32:
            setattr(into, field, int(number))
