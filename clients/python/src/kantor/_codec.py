"""Between numpy and the messages of kantor.v1, without I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from kantor._errors import InvalidArgumentError
from kantor._inputs import Gaussian, Input, Measure, StandardNormal
from kantor._results import (
    Build,
    Evaluation,
    Interval,
    Limits,
    Outcome,
    Potentials,
    ServerInfo,
    Solve,
    TermResult,
    TermWarning,
    Timing,
)
from kantor._terms import GaussianKl, Kantorovich, Sinkhorn, Term, Terms, terms_of
from kantor.v1 import info_service_pb2, input_pb2, loss_pb2, loss_service_pb2, tensor_pb2

if TYPE_CHECKING:
    from kantor._results import Array

_DTYPES = {np.dtype("<f4"): tensor_pb2.DTYPE_FLOAT32, np.dtype("<f8"): tensor_pb2.DTYPE_FLOAT64}
_FORMATS: dict[int, Any] = {dtype: numpy for numpy, dtype in _DTYPES.items()}


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


def write_tensor(into: tensor_pb2.Tensor, value: Any, path: str) -> None:
    """Fills a tensor message with an array."""
    numbers = array(value, path)
    into.dtype = _DTYPES[numbers.dtype]
    into.shape.extend(numbers.shape)
    into.data = numbers.tobytes()


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
    inputs = inputs or {}
    for name in inputs:
        if name in named:
            raise InvalidArgumentError(f'inputs["{name}"]', "is given twice, in the mapping and as a keyword")
    return {**inputs, **named}


def seed(value: int) -> int:
    """Returns a seed that fits the wire: an unsigned integer of 64 bits."""
    if not 0 <= value < 1 << 64:
        raise InvalidArgumentError("seed", f"is {value}, want 0 to 2^64-1")
    return value


def write_inputs(into: MutableMapping[str, input_pb2.Input], inputs: Mapping[str, Input]) -> None:
    """Fills a request's map of inputs."""
    for name, value in inputs.items():
        if not isinstance(name, str):
            raise InvalidArgumentError("inputs", f"has the name {name!r}, want a string")
        _write_input(into[name], value, f'inputs["{name}"]')


def _write_input(into: input_pb2.Input, value: Input, path: str) -> None:
    if isinstance(value, Gaussian):
        write_tensor(into.gaussian.mean, value.mean, f"{path}.mean")
        write_tensor(into.gaussian.log_variance, value.log_variance, f"{path}.log_variance")
    elif isinstance(value, StandardNormal):
        into.prior.standard_normal.SetInParent()
        into.prior.size = _integer(value.size, f"{path}.size")
    else:
        measure = value if isinstance(value, Measure) else Measure(value)
        write_tensor(into.measure.points, measure.points, f"{path}.points")
        if measure.weights is not None:
            write_tensor(into.measure.weights, measure.weights, f"{path}.weights")
        if measure.sizes is not None:
            into.measure.sizes.extend(integers(measure.sizes, f"{path}.sizes"))


def objective(terms: Terms, gradients: Iterable[str] = (), extras: Iterable[str] = ()) -> loss_service_pb2.Objective:
    """Returns what to compute. A string alone stands for one gradient or extra."""
    out = loss_service_pb2.Objective(gradients=strings(gradients), extras=strings(extras))
    for i, term in enumerate(terms_of(terms)):
        _write_term(out.terms.add(), term, f"objective.terms[{i}]")
    return out


def strings(names: Iterable[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def _write_term(into: loss_pb2.Term, term: Term, path: str) -> None:
    into.name = term.name or ""
    into.weight = term.weight
    if isinstance(term, Sinkhorn):
        _write_sinkhorn(into.sinkhorn, term, f"{path}.sinkhorn")
    elif isinstance(term, Kantorovich):
        into.kantorovich.source = term.source
        into.kantorovich.target = term.target
        into.kantorovich.max_iterations = _integer(term.max_iterations, f"{path}.kantorovich.max_iterations")
        if term.gap is not None:
            into.kantorovich.gap = term.gap
    elif isinstance(term, GaussianKl):
        into.kl.posterior = term.posterior
        into.kl.prior = term.prior or ""
    else:
        raise InvalidArgumentError(path, f"is {term!r}, want Sinkhorn, Kantorovich or GaussianKl")


def _write_sinkhorn(into: loss_pb2.SinkhornDivergence, term: Sinkhorn, path: str) -> None:
    for one, other in (("blur", "epsilon"), ("reach", "rho"), ("tolerance", "gap")):
        if getattr(term, one) is not None and getattr(term, other) is not None:
            # The wire holds one of the two, so that the server could not tell.
            raise InvalidArgumentError(f"{path}.{one}", f"is given together with {other}, want one of them")
    into.source = term.source
    into.target = term.target
    into.cost = _enum(loss_pb2.Cost, "COST", term.cost, f"{path}.cost")
    into.debias = _enum(loss_pb2.Debias, "DEBIAS", term.debias, f"{path}.debias")
    into.without_interval = term.without_interval
    into.profile = _enum(loss_pb2.Profile, "PROFILE", term.profile, f"{path}.profile")
    into.max_iterations = _integer(term.max_iterations, f"{path}.max_iterations")
    for number in ("blur", "epsilon", "reach", "rho", "scaling", "tolerance", "gap"):
        if getattr(term, number) is not None:
            setattr(into, number, getattr(term, number))


def _integer(value: int | None, path: str) -> int:
    """Returns a count for the wire, on which 0 is None: a 0 that was meant must not become the default."""
    if value is None:
        return 0
    if value < 1:
        raise InvalidArgumentError(path, f"is {value}, want at least 1, or None")
    return value


def _enum(kind: Any, prefix: str, word: str | None, path: str) -> Any:
    if word is None:
        return 0
    names = {name.removeprefix(f"{prefix}_").lower(): number for name, number in kind.items() if number}
    if word not in names:
        raise InvalidArgumentError(path, f"is {word!r}, want one of {', '.join(names)}")
    return names[word]


def evaluation(response: loss_service_pb2.EvaluateResponse) -> Evaluation:
    """Returns a response in numpy's terms."""
    return Evaluation(
        value=response.value,
        terms={term.name: _term_result(term) for term in response.terms},
        gradients=_gradients(response.gradients),
        timing=Timing(_seconds(response.timing.decode), _seconds(response.timing.compute)),
        build=_build(response.build),
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
        outcomes=tuple(map(_outcome, term.outcomes)),
        warnings=tuple(TermWarning(warning.code, warning.message) for warning in warnings),
        extras={name: _extra(term.extras[name]) for name in sorted(term.extras)},
    )


def _outcome(outcome: loss_service_pb2.Outcome) -> Outcome:
    interval, solve = outcome.interval, outcome.solve
    return Outcome(
        value=outcome.value,
        interval=Interval(interval.lower, interval.upper) if outcome.HasField("interval") else None,
        solve=Solve(solve.converged, solve.iterations, solve.marginal_error, solve.epsilon, solve.strategy)
        if outcome.HasField("solve")
        else None,
    )


_GAUGES: dict[int, Literal["equal_means", "zero_target_mean", "none"]] = {
    loss_service_pb2.GAUGE_EQUAL_MEANS: "equal_means",
    loss_service_pb2.GAUGE_ZERO_TARGET_MEAN: "zero_target_mean",
    loss_service_pb2.GAUGE_NONE: "none",
}


def _extra(extra: loss_service_pb2.Extra) -> Array | Potentials:
    if extra.WhichOneof("kind") == "tensor":
        return read_tensor(extra.tensor)
    potentials = extra.potentials
    return Potentials(
        gauge=_GAUGES[potentials.gauge],
        source=read_tensor(potentials.source),
        target=read_tensor(potentials.target),
        source_self=read_tensor(potentials.source_self) if potentials.HasField("source_self") else None,
        target_self=read_tensor(potentials.target_self) if potentials.HasField("target_self") else None,
    )


def _seconds(duration: Any) -> float:
    return float(duration.seconds) + float(duration.nanos) * 1e-9


def _build(build: info_service_pb2.Build) -> Build:
    return Build(version=build.version, kernel=build.kernel, pair_memory_bytes=build.pair_memory_bytes)


def server_info(response: info_service_pb2.GetServerInfoResponse) -> ServerInfo:
    """Returns what a server says of itself."""
    limits = response.limits
    return ServerInfo(
        build=_build(response.build),
        limits=Limits(
            message_bytes=limits.message_bytes,
            points=limits.points,
            dimension=limits.dimension,
            terms=limits.terms,
            window=limits.window,
            problems=limits.problems,
        ),
        losses=tuple(response.losses),
    )
