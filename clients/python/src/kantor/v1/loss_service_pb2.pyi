from google.protobuf import duration_pb2 as _duration_pb2
from google.rpc import status_pb2 as _status_pb2
from kantor.v1 import info_service_pb2 as _info_service_pb2
from kantor.v1 import input_pb2 as _input_pb2
from kantor.v1 import loss_pb2 as _loss_pb2
from kantor.v1 import tensor_pb2 as _tensor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Estimand(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ESTIMAND_UNSPECIFIED: _ClassVar[Estimand]
    ESTIMAND_EMPIRICAL: _ClassVar[Estimand]
    ESTIMAND_POPULATION_LOWER_BOUND: _ClassVar[Estimand]

class Gauge(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GAUGE_UNSPECIFIED: _ClassVar[Gauge]
    GAUGE_EQUAL_MEANS: _ClassVar[Gauge]
    GAUGE_ZERO_TARGET_MEAN: _ClassVar[Gauge]
    GAUGE_NONE: _ClassVar[Gauge]
ESTIMAND_UNSPECIFIED: Estimand
ESTIMAND_EMPIRICAL: Estimand
ESTIMAND_POPULATION_LOWER_BOUND: Estimand
GAUGE_UNSPECIFIED: Gauge
GAUGE_EQUAL_MEANS: Gauge
GAUGE_ZERO_TARGET_MEAN: Gauge
GAUGE_NONE: Gauge

class Objective(_message.Message):
    __slots__ = ("terms", "gradients", "extras", "gradients_per_term")
    TERMS_FIELD_NUMBER: _ClassVar[int]
    GRADIENTS_FIELD_NUMBER: _ClassVar[int]
    EXTRAS_FIELD_NUMBER: _ClassVar[int]
    GRADIENTS_PER_TERM_FIELD_NUMBER: _ClassVar[int]
    terms: _containers.RepeatedCompositeFieldContainer[_loss_pb2.Term]
    gradients: _containers.RepeatedScalarFieldContainer[str]
    extras: _containers.RepeatedScalarFieldContainer[str]
    gradients_per_term: bool
    def __init__(self, terms: _Optional[_Iterable[_Union[_loss_pb2.Term, _Mapping]]] = ..., gradients: _Optional[_Iterable[str]] = ..., extras: _Optional[_Iterable[str]] = ..., gradients_per_term: bool = ...) -> None: ...

class EvaluateRequest(_message.Message):
    __slots__ = ("objective", "inputs", "seed")
    class InputsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _input_pb2.Input
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_input_pb2.Input, _Mapping]] = ...) -> None: ...
    OBJECTIVE_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    objective: Objective
    inputs: _containers.MessageMap[str, _input_pb2.Input]
    seed: int
    def __init__(self, objective: _Optional[_Union[Objective, _Mapping]] = ..., inputs: _Optional[_Mapping[str, _input_pb2.Input]] = ..., seed: _Optional[int] = ...) -> None: ...

class EvaluateResponse(_message.Message):
    __slots__ = ("value", "terms", "gradients", "timing", "build")
    class GradientsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _input_pb2.Input
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_input_pb2.Input, _Mapping]] = ...) -> None: ...
    VALUE_FIELD_NUMBER: _ClassVar[int]
    TERMS_FIELD_NUMBER: _ClassVar[int]
    GRADIENTS_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    BUILD_FIELD_NUMBER: _ClassVar[int]
    value: float
    terms: _containers.RepeatedCompositeFieldContainer[TermResult]
    gradients: _containers.MessageMap[str, _input_pb2.Input]
    timing: Timing
    build: _info_service_pb2.Build
    def __init__(self, value: _Optional[float] = ..., terms: _Optional[_Iterable[_Union[TermResult, _Mapping]]] = ..., gradients: _Optional[_Mapping[str, _input_pb2.Input]] = ..., timing: _Optional[_Union[Timing, _Mapping]] = ..., build: _Optional[_Union[_info_service_pb2.Build, _Mapping]] = ...) -> None: ...

class TermResult(_message.Message):
    __slots__ = ("name", "outcomes", "warnings", "extras", "gradients")
    class ExtrasEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Extra
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Extra, _Mapping]] = ...) -> None: ...
    class GradientsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _input_pb2.Input
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_input_pb2.Input, _Mapping]] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    EXTRAS_FIELD_NUMBER: _ClassVar[int]
    GRADIENTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    outcomes: _containers.RepeatedCompositeFieldContainer[Outcome]
    warnings: _containers.RepeatedCompositeFieldContainer[Warning]
    extras: _containers.MessageMap[str, Extra]
    gradients: _containers.MessageMap[str, _input_pb2.Input]
    def __init__(self, name: _Optional[str] = ..., outcomes: _Optional[_Iterable[_Union[Outcome, _Mapping]]] = ..., warnings: _Optional[_Iterable[_Union[Warning, _Mapping]]] = ..., extras: _Optional[_Mapping[str, Extra]] = ..., gradients: _Optional[_Mapping[str, _input_pb2.Input]] = ...) -> None: ...

class Outcome(_message.Message):
    __slots__ = ("value", "interval", "solve", "estimand", "standard_error")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_FIELD_NUMBER: _ClassVar[int]
    SOLVE_FIELD_NUMBER: _ClassVar[int]
    ESTIMAND_FIELD_NUMBER: _ClassVar[int]
    STANDARD_ERROR_FIELD_NUMBER: _ClassVar[int]
    value: float
    interval: Interval
    solve: Solve
    estimand: Estimand
    standard_error: float
    def __init__(self, value: _Optional[float] = ..., interval: _Optional[_Union[Interval, _Mapping]] = ..., solve: _Optional[_Union[Solve, _Mapping]] = ..., estimand: _Optional[_Union[Estimand, str]] = ..., standard_error: _Optional[float] = ...) -> None: ...

class Extra(_message.Message):
    __slots__ = ("tensor", "potentials", "plan", "measure", "cone_critic")
    TENSOR_FIELD_NUMBER: _ClassVar[int]
    POTENTIALS_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    MEASURE_FIELD_NUMBER: _ClassVar[int]
    CONE_CRITIC_FIELD_NUMBER: _ClassVar[int]
    tensor: _tensor_pb2.Tensor
    potentials: Potentials
    plan: Plan
    measure: _input_pb2.Measure
    cone_critic: _input_pb2.ConeCriticState
    def __init__(self, tensor: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., potentials: _Optional[_Union[Potentials, _Mapping]] = ..., plan: _Optional[_Union[Plan, _Mapping]] = ..., measure: _Optional[_Union[_input_pb2.Measure, _Mapping]] = ..., cone_critic: _Optional[_Union[_input_pb2.ConeCriticState, _Mapping]] = ...) -> None: ...

class Plan(_message.Message):
    __slots__ = ("source", "target", "mass", "sizes")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    MASS_FIELD_NUMBER: _ClassVar[int]
    SIZES_FIELD_NUMBER: _ClassVar[int]
    source: _containers.RepeatedScalarFieldContainer[int]
    target: _containers.RepeatedScalarFieldContainer[int]
    mass: _tensor_pb2.Tensor
    sizes: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, source: _Optional[_Iterable[int]] = ..., target: _Optional[_Iterable[int]] = ..., mass: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., sizes: _Optional[_Iterable[int]] = ...) -> None: ...

class Potentials(_message.Message):
    __slots__ = ("gauge", "source", "target", "source_self", "target_self")
    GAUGE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    SOURCE_SELF_FIELD_NUMBER: _ClassVar[int]
    TARGET_SELF_FIELD_NUMBER: _ClassVar[int]
    gauge: Gauge
    source: _tensor_pb2.Tensor
    target: _tensor_pb2.Tensor
    source_self: _tensor_pb2.Tensor
    target_self: _tensor_pb2.Tensor
    def __init__(self, gauge: _Optional[_Union[Gauge, str]] = ..., source: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., target: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., source_self: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., target_self: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ...) -> None: ...

class Interval(_message.Message):
    __slots__ = ("lower", "upper")
    LOWER_FIELD_NUMBER: _ClassVar[int]
    UPPER_FIELD_NUMBER: _ClassVar[int]
    lower: float
    upper: float
    def __init__(self, lower: _Optional[float] = ..., upper: _Optional[float] = ...) -> None: ...

class Solve(_message.Message):
    __slots__ = ("converged", "iterations", "marginal_error", "epsilon", "strategy")
    CONVERGED_FIELD_NUMBER: _ClassVar[int]
    ITERATIONS_FIELD_NUMBER: _ClassVar[int]
    MARGINAL_ERROR_FIELD_NUMBER: _ClassVar[int]
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    converged: bool
    iterations: int
    marginal_error: float
    epsilon: float
    strategy: str
    def __init__(self, converged: bool = ..., iterations: _Optional[int] = ..., marginal_error: _Optional[float] = ..., epsilon: _Optional[float] = ..., strategy: _Optional[str] = ...) -> None: ...

class Warning(_message.Message):
    __slots__ = ("code", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class Timing(_message.Message):
    __slots__ = ("decode", "compute", "queue")
    DECODE_FIELD_NUMBER: _ClassVar[int]
    COMPUTE_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    decode: _duration_pb2.Duration
    compute: _duration_pb2.Duration
    queue: _duration_pb2.Duration
    def __init__(self, decode: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., compute: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., queue: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class EvaluateStreamRequest(_message.Message):
    __slots__ = ("open", "batch")
    OPEN_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    open: Open
    batch: Batch
    def __init__(self, open: _Optional[_Union[Open, _Mapping]] = ..., batch: _Optional[_Union[Batch, _Mapping]] = ...) -> None: ...

class Open(_message.Message):
    __slots__ = ("objective", "unordered")
    OBJECTIVE_FIELD_NUMBER: _ClassVar[int]
    UNORDERED_FIELD_NUMBER: _ClassVar[int]
    objective: Objective
    unordered: bool
    def __init__(self, objective: _Optional[_Union[Objective, _Mapping]] = ..., unordered: bool = ...) -> None: ...

class Batch(_message.Message):
    __slots__ = ("id", "inputs", "overrides", "seed")
    class InputsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _input_pb2.Input
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_input_pb2.Input, _Mapping]] = ...) -> None: ...
    class OverridesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OVERRIDES_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    id: int
    inputs: _containers.MessageMap[str, _input_pb2.Input]
    overrides: _containers.ScalarMap[str, float]
    seed: int
    def __init__(self, id: _Optional[int] = ..., inputs: _Optional[_Mapping[str, _input_pb2.Input]] = ..., overrides: _Optional[_Mapping[str, float]] = ..., seed: _Optional[int] = ...) -> None: ...

class EvaluateStreamResponse(_message.Message):
    __slots__ = ("opened", "result", "failure", "draining")
    OPENED_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    opened: Opened
    result: Result
    failure: Failure
    draining: Draining
    def __init__(self, opened: _Optional[_Union[Opened, _Mapping]] = ..., result: _Optional[_Union[Result, _Mapping]] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ..., draining: _Optional[_Union[Draining, _Mapping]] = ...) -> None: ...

class Opened(_message.Message):
    __slots__ = ("window",)
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    window: int
    def __init__(self, window: _Optional[int] = ...) -> None: ...

class Result(_message.Message):
    __slots__ = ("id", "response")
    ID_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    id: int
    response: EvaluateResponse
    def __init__(self, id: _Optional[int] = ..., response: _Optional[_Union[EvaluateResponse, _Mapping]] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("id", "status")
    ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    id: int
    status: _status_pb2.Status
    def __init__(self, id: _Optional[int] = ..., status: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class Draining(_message.Message):
    __slots__ = ("grace",)
    GRACE_FIELD_NUMBER: _ClassVar[int]
    grace: _duration_pb2.Duration
    def __init__(self, grace: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...
