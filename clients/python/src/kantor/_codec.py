"""Between numpy and the messages of kantor.v1, without I/O.

An attribute of a term, an input or a result has the name of its field in the message, so that a new one needs nothing
here.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from google.protobuf import duration_pb2
from google.protobuf.descriptor import FieldDescriptor

from kantor._diagnostics import Diagnostic, Diagnostics
from kantor._errors import InvalidArgumentError
from kantor._inputs import Bernoulli, Categorical, ConeCriticState, Gaussian, Input, Measure, Prior, VonMisesFisher
from kantor._objective import Term, Terms, terms_of
from kantor._results import (
    Build,
    DiagnosticResult,
    Evaluation,
    Interval,
    Limits,
    Outcome,
    Plan,
    Potentials,
    ServerInfo,
    Solve,
    TermResult,
    TermWarning,
    Timing,
)
from kantor._version import tell_mismatch
from kantor.v1 import diagnostic_service_pb2, info_service_pb2, input_pb2, loss_pb2, loss_service_pb2, tensor_pb2

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from kantor._results import Array, Extra

_R = TypeVar("_R", bound="DataclassInstance")

_DTYPES = {np.dtype("<f4"): tensor_pb2.DTYPE_FLOAT32, np.dtype("<f8"): tensor_pb2.DTYPE_FLOAT64}
_FORMATS: dict[int, Any] = {dtype: numpy for numpy, dtype in _DTYPES.items()}
_INTEGERS = (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64)
# What an input is in the contract; a prior, which is of a family, and what is points alone apart.
_INPUTS: dict[type, str] = {
    Measure: "measure",
    Gaussian: "gaussian",
    ConeCriticState: "cone_critic",
    Categorical: "categorical",
    Bernoulli: "bernoulli",
    VonMisesFisher: "von_mises_fisher",
}
# What a message is read as, by its name.
_KINDS: dict[str, Any] = {
    kind.__name__: kind for kind in (Build, ConeCriticState, Interval, Limits, Measure, Plan, Potentials, Solve)
}


def array(value: Any, path: str) -> Array:
    """Returns value as the wire has it: float32 or float64, little-endian, C-contiguous.

    Nothing is converted from another number format, because what an int or a float16 should become is the caller's to
    say.

    Raises:
        InvalidArgumentError: with path, if it is no array or has another number format.
    """
    try:
        given = np.asarray(value)
    except Exception as error:  # whatever an array library of the caller's raises
        hint = "; kantor.torch takes tensors" if type(value).__module__.partition(".")[0] == "torch" else ""
        raise InvalidArgumentError(path, f"is no array: {error}{hint}") from error
    little = given.dtype.newbyteorder("<")
    if little not in _DTYPES:
        reason = f"is {given.dtype}, want float32 or float64: convert it, as with .astype(np.float32)"
        raise InvalidArgumentError(path, reason)
    return np.asarray(given, dtype=little, order="C")


def write_tensor(into: tensor_pb2.Tensor, value: Any, path: str) -> int:
    """Fills a tensor message with an array, and returns the bytes of its elements."""
    numbers = array(value, path)
    into.dtype = _DTYPES[numbers.dtype]
    into.shape.extend(numbers.shape)
    into.data = numbers.tobytes()
    return numbers.nbytes


def integers(value: Any, path: str) -> list[int]:
    """Returns a vector of integers.

    Raises:
        InvalidArgumentError: with path, if it is something else, or empty, which the wire could not tell from absent.
    """
    try:
        given = np.asarray(value)
    except Exception as error:
        raise InvalidArgumentError(path, f"is no array: {error}") from error
    if given.dtype.kind not in "iu" or given.ndim != 1 or not given.size:
        raise InvalidArgumentError(path, f"is {given.dtype} of shape {given.shape}, want one integer per problem")
    return [int(number) for number in given]


def read_tensor(tensor: tensor_pb2.Tensor) -> Array:
    """Returns a tensor's elements as a new array."""
    flat: Array = np.frombuffer(tensor.data, _FORMATS[tensor.dtype])
    numbers: Array = flat.reshape(tuple(tensor.shape)).copy()
    return numbers


def merge(inputs: Mapping[str, Input] | None, named: Mapping[str, Input]) -> dict[str, Input]:
    """Returns the arguments by name, given as a mapping, as keywords or as both."""
    if not inputs:
        return dict(named)
    for name in inputs:
        if name in named:
            raise InvalidArgumentError(f'inputs["{name}"]', "is given twice, in the mapping and as a keyword")
    return {**inputs, **named}


def seed(value: int) -> int:
    """Returns a seed that fits the wire: an unsigned integer of 64 bits."""
    if not 0 <= value < 1 << 64:
        raise InvalidArgumentError("seed", f"is {value}, want 0 to 2^64-1")
    return value


def write_inputs(into: MutableMapping[str, input_pb2.Input], inputs: Mapping[str, Input]) -> int:
    """Fills a request's map of inputs, and returns the bytes of their arrays: nearly all that the request has."""
    size = 0
    for name, value in inputs.items():
        if not isinstance(name, str):
            raise InvalidArgumentError("inputs", f"has the name {name!r}, want a string")
        size += _write_input(into[name], value, f'inputs["{name}"]')
    return size


def _write_input(into: input_pb2.Input, value: Input, path: str) -> int:
    kind = _INPUTS.get(type(value))
    if kind is not None:
        return _write(getattr(into, kind), value, path)
    if isinstance(value, Prior):
        if not value._family:
            raise InvalidArgumentError(path, f"is {value!r}, want a distribution, such as StandardNormal()")
        size = _write(into.prior, value, f"{path}.prior")
        return size + _write(getattr(into.prior, value._family), value, f"{path}.prior.{value._family}")
    return _write(into.measure, Measure(value), path)


def objective(
    terms: Terms, gradients: Iterable[str] = (), extras: Iterable[str] = (), *, gradients_per_term: bool = False
) -> loss_service_pb2.Objective:
    """Returns what to compute. A string alone stands for one gradient or extra."""
    out = loss_service_pb2.Objective(
        gradients=strings(gradients), extras=strings(extras), gradients_per_term=gradients_per_term
    )
    for i, term in enumerate(terms_of(terms)):
        _write_term(out.terms.add(), term, f"objective.terms[{i}]")
    return out


def request(
    terms: Terms,
    inputs: Mapping[str, Input],
    *,
    gradients: Iterable[str],
    extras: Iterable[str],
    gradients_per_term: bool,
    seed: int,
) -> tuple[loss_service_pb2.EvaluateRequest, int]:
    """Returns a call of its own, and the bytes of its arrays."""
    out = loss_service_pb2.EvaluateRequest(
        objective=objective(terms, gradients, extras, gradients_per_term=gradients_per_term), seed=seed
    )
    return out, write_inputs(out.inputs, inputs)


def batch(
    number: int, inputs: Mapping[str, Input], overrides: Mapping[str, float] | None, seed: int
) -> tuple[loss_service_pb2.EvaluateStreamRequest, int]:
    """Returns a batch of a stream, and the bytes of its arrays."""
    # Filled where it will be sent from: a batch that became part of a request later would be copied.
    out = loss_service_pb2.EvaluateStreamRequest()
    out.batch.id, out.batch.seed = number, seed
    for name, value in (overrides or {}).items():
        out.batch.overrides[name] = value
    return out, write_inputs(out.batch.inputs, inputs)


def strings(names: Iterable[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def _write_term(into: loss_pb2.Term, term: Term, path: str) -> None:
    if not isinstance(term, Term) or not term._loss:
        raise InvalidArgumentError(path, f"is {term!r}, want a loss, such as Sinkhorn()")
    _write(into, term, path)
    _write(getattr(into, term._loss), term, f"{path}.{term._loss}")


class _Field(NamedTuple):
    """An attribute of a dataclass that is a field of a message."""

    name: str
    descriptor: Any
    optional: bool  # it may be None, which leaves the field out
    repeated: bool


@functools.cache
def _fields_of(kind: type[DataclassInstance], message: Any) -> tuple[_Field, ...]:
    """Returns the attributes of a dataclass that a kind of message, by its descriptor, has fields for."""
    described = message.fields_by_name
    return tuple(
        # What protobuf calls the default of a repeated field is a list.
        _Field(a.name, described[a.name], a.default is None, isinstance(described[a.name].default_value, list))
        for a in fields(kind)
        if a.name in described
    )


@functools.cache
def _choices_of(kind: type[DataclassInstance], message: Any) -> tuple[list[str], ...]:
    """Returns the names of the attributes of which a kind of message holds one."""
    names = {a.name for a in fields(kind)}
    oneofs = ([f.name for f in oneof.fields if f.name in names] for oneof in message.oneofs)
    return tuple(choice for choice in oneofs if len(choice) > 1)


def _write(into: Any, given: DataclassInstance, path: str) -> int:
    """Writes the attributes of a dataclass that the message has fields for; one of None that may be is left out.

    Returns:
        The bytes of the arrays that were written.
    """
    size = 0
    into.SetInParent()  # of a message without fields nothing else would be sent
    for choice in _choices_of(type(given), into.DESCRIPTOR):
        one, *others = [name for name in choice if getattr(given, name) is not None] or [""]
        if others:
            # The wire holds one of them, so that the server could not tell.
            raise InvalidArgumentError(f"{path}.{one}", f"is given together with {others[0]}, want one of them")
    for field in _fields_of(type(given), into.DESCRIPTOR):
        value = getattr(given, field.name)
        if value is None and field.optional:
            continue
        where = f"{path}.{field.name}"
        if field.descriptor.message_type is not None:
            size += write_tensor(getattr(into, field.name), value, where)
        elif field.repeated:
            getattr(into, field.name).extend(integers(value, where))
        else:
            _write_scalar(into, field, value, where)
    return size


def _write_scalar(into: Any, field: _Field, value: Any, path: str) -> None:
    descriptor = field.descriptor
    if descriptor.enum_type is not None:
        value = _number(descriptor.enum_type, value, path)
    try:
        setattr(into, field.name, value)
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(path, f"is {value!r}: {error}") from error
    if field.optional and descriptor.cpp_type in _INTEGERS and not descriptor.has_presence and value < 1:
        # 0 is None on the wire: one that was meant must not become the default.
        raise InvalidArgumentError(path, f"is {value}, want at least 1, or None")


@functools.cache
def _words(enum: Any) -> dict[str, int]:
    """Returns the words of an enum, COST_EUCLIDEAN as euclidean, without the one for "not given"."""
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return {value.name.removeprefix(prefix).lower(): value.number for value in enum.values if value.number}


def _number(enum: Any, word: str, path: str) -> int:
    words = _words(enum)
    if word not in words:
        raise InvalidArgumentError(path, f"is {word!r}, want one of {', '.join(words)}")
    return words[word]


def _read(kind: type[_R], message: Any) -> _R:
    """Returns a dataclass with what the message has in the fields of its attributes' names; None is absent."""
    return kind(**{field.name: _read_field(message, field) for field in _fields_of(kind, message.DESCRIPTOR)})


def _read_field(message: Any, field: _Field) -> Any:
    value, descriptor = getattr(message, field.name), field.descriptor
    if field.repeated:
        if descriptor.cpp_type not in _INTEGERS:
            return tuple(value)
        return np.array(value, np.int64) if value or not field.optional else None
    if descriptor.message_type is not None:
        if not message.HasField(field.name):
            return None
        if isinstance(value, tensor_pb2.Tensor):
            return read_tensor(value)
        if isinstance(value, duration_pb2.Duration):
            return _seconds(value)
        return _read(_KINDS[descriptor.message_type.name], value)
    if descriptor.enum_type is not None:
        return next((word for word, number in _words(descriptor.enum_type).items() if number == value), None)
    return None if field.optional and descriptor.has_presence and not message.HasField(field.name) else value


def evaluation(response: loss_service_pb2.EvaluateResponse) -> Evaluation:
    """Returns a response in numpy's terms."""
    tell_mismatch(response.build.version)
    return Evaluation(
        value=response.value,
        terms={term.name: _term_result(term) for term in response.terms},
        gradients=_gradients(response.gradients),
        timing=Timing(*map(_seconds, (response.timing.decode, response.timing.compute, response.timing.queue))),
        build=_read(Build, response.build),
    )


def _gradients(gradients: Mapping[str, input_pb2.Input]) -> dict[str, Array]:
    """Flattens the inputs that hold gradients: every tensor in them under "input.field"."""
    out = {}
    for name in sorted(gradients):  # a map has no order on the wire
        kind = gradients[name].WhichOneof("kind")
        for field, tensor in getattr(gradients[name], str(kind)).ListFields():
            out[f"{name}.{field.name}"] = read_tensor(tensor)
    return out


def _term_result(term: loss_service_pb2.TermResult) -> TermResult:
    warnings: Any = term.warnings  # mypy takes the message Warning for Python's own
    return TermResult(
        name=term.name,
        outcomes=tuple(_read(Outcome, outcome) for outcome in term.outcomes),
        warnings=tuple(_read(TermWarning, warning) for warning in warnings),
        extras={name: _extra(term.extras[name]) for name in sorted(term.extras)},
        gradients=_gradients(term.gradients),
    )


def diagnose_request(
    diagnostics: Diagnostics, inputs: Mapping[str, Input], *, seed: int
) -> tuple[diagnostic_service_pb2.DiagnoseRequest, int]:
    """Returns a request for diagnostics, and the bytes of its arrays."""
    out = diagnostic_service_pb2.DiagnoseRequest(seed=seed)
    write_diagnostics(out.diagnostics, diagnostics)
    return out, write_inputs(out.inputs, inputs)


def write_diagnostics(into: Any, diagnostics: Diagnostics) -> None:
    """Fills a request's list of diagnostics."""
    several = (diagnostics,) if isinstance(diagnostics, Diagnostic) else diagnostics
    for i, diagnostic in enumerate(several):
        path = f"diagnostics[{i}]"
        if not isinstance(diagnostic, Diagnostic) or not diagnostic._kind:
            raise InvalidArgumentError(path, f"is {diagnostic!r}, want a diagnostic, such as ActiveUnits()")
        message = into.add()
        _write(message, diagnostic, path)
        _write(getattr(message, diagnostic._kind), diagnostic, f"{path}.{diagnostic._kind}")


def diagnosis(response: diagnostic_service_pb2.DiagnoseResponse) -> dict[str, DiagnosticResult]:
    """Returns what a response says, by the names of the diagnostics."""
    tell_mismatch(response.build.version)
    return {result.name: _diagnostic_result(result) for result in response.diagnostics}


def _diagnostic_result(result: diagnostic_service_pb2.DiagnosticResult) -> DiagnosticResult:
    warnings: Any = result.warnings
    return DiagnosticResult(
        name=result.name,
        values=tuple(result.values),
        details={name: read_tensor(result.details[name]) for name in sorted(result.details)},
        warnings=tuple(_read(TermWarning, warning) for warning in warnings),
    )


def _extra(extra: loss_service_pb2.Extra) -> Extra:
    value: Any = getattr(extra, str(extra.WhichOneof("kind")))
    if isinstance(value, tensor_pb2.Tensor):
        return read_tensor(value)
    out: Extra = _read(_KINDS[value.DESCRIPTOR.name], value)
    return out


def _seconds(duration: Any) -> float:
    return float(duration.seconds) + float(duration.nanos) * 1e-9


def server_info(response: info_service_pb2.GetServerInfoResponse) -> ServerInfo:
    """Returns what a server says of itself."""
    tell_mismatch(response.build.version)
    return _read(ServerInfo, response)
