from kantor.v1 import info_service_pb2 as _info_service_pb2
from kantor.v1 import input_pb2 as _input_pb2
from kantor.v1 import loss_pb2 as _loss_pb2
from kantor.v1 import loss_service_pb2 as _loss_service_pb2
from kantor.v1 import tensor_pb2 as _tensor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DiagnoseRequest(_message.Message):
    __slots__ = ("diagnostics", "inputs", "seed")
    class InputsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _input_pb2.Input
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_input_pb2.Input, _Mapping]] = ...) -> None: ...
    DIAGNOSTICS_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    diagnostics: _containers.RepeatedCompositeFieldContainer[Diagnostic]
    inputs: _containers.MessageMap[str, _input_pb2.Input]
    seed: int
    def __init__(self, diagnostics: _Optional[_Iterable[_Union[Diagnostic, _Mapping]]] = ..., inputs: _Optional[_Mapping[str, _input_pb2.Input]] = ..., seed: _Optional[int] = ...) -> None: ...

class DiagnoseResponse(_message.Message):
    __slots__ = ("diagnostics", "timing", "build")
    DIAGNOSTICS_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    BUILD_FIELD_NUMBER: _ClassVar[int]
    diagnostics: _containers.RepeatedCompositeFieldContainer[DiagnosticResult]
    timing: _loss_service_pb2.Timing
    build: _info_service_pb2.Build
    def __init__(self, diagnostics: _Optional[_Iterable[_Union[DiagnosticResult, _Mapping]]] = ..., timing: _Optional[_Union[_loss_service_pb2.Timing, _Mapping]] = ..., build: _Optional[_Union[_info_service_pb2.Build, _Mapping]] = ...) -> None: ...

class Diagnostic(_message.Message):
    __slots__ = ("name", "active_units", "nearest_neighbour_kl", "entropy", "permutation_test", "effective_scale", "expected_shrink")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_UNITS_FIELD_NUMBER: _ClassVar[int]
    NEAREST_NEIGHBOUR_KL_FIELD_NUMBER: _ClassVar[int]
    ENTROPY_FIELD_NUMBER: _ClassVar[int]
    PERMUTATION_TEST_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_SCALE_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_SHRINK_FIELD_NUMBER: _ClassVar[int]
    name: str
    active_units: ActiveUnits
    nearest_neighbour_kl: NearestNeighbourKl
    entropy: Entropy
    permutation_test: PermutationTest
    effective_scale: EffectiveScale
    expected_shrink: ExpectedShrink
    def __init__(self, name: _Optional[str] = ..., active_units: _Optional[_Union[ActiveUnits, _Mapping]] = ..., nearest_neighbour_kl: _Optional[_Union[NearestNeighbourKl, _Mapping]] = ..., entropy: _Optional[_Union[Entropy, _Mapping]] = ..., permutation_test: _Optional[_Union[PermutationTest, _Mapping]] = ..., effective_scale: _Optional[_Union[EffectiveScale, _Mapping]] = ..., expected_shrink: _Optional[_Union[ExpectedShrink, _Mapping]] = ...) -> None: ...

class DiagnosticResult(_message.Message):
    __slots__ = ("name", "values", "details", "warnings")
    class DetailsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _tensor_pb2.Tensor
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    name: str
    values: _containers.RepeatedScalarFieldContainer[float]
    details: _containers.MessageMap[str, _tensor_pb2.Tensor]
    warnings: _containers.RepeatedCompositeFieldContainer[_loss_service_pb2.Warning]
    def __init__(self, name: _Optional[str] = ..., values: _Optional[_Iterable[float]] = ..., details: _Optional[_Mapping[str, _tensor_pb2.Tensor]] = ..., warnings: _Optional[_Iterable[_Union[_loss_service_pb2.Warning, _Mapping]]] = ...) -> None: ...

class ActiveUnits(_message.Message):
    __slots__ = ("posterior", "threshold")
    POSTERIOR_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    posterior: str
    threshold: float
    def __init__(self, posterior: _Optional[str] = ..., threshold: _Optional[float] = ...) -> None: ...

class NearestNeighbourKl(_message.Message):
    __slots__ = ("source", "target", "neighbours")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    NEIGHBOURS_FIELD_NUMBER: _ClassVar[int]
    source: str
    target: str
    neighbours: int
    def __init__(self, source: _Optional[str] = ..., target: _Optional[str] = ..., neighbours: _Optional[int] = ...) -> None: ...

class Entropy(_message.Message):
    __slots__ = ("source", "neighbours")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    NEIGHBOURS_FIELD_NUMBER: _ClassVar[int]
    source: str
    neighbours: int
    def __init__(self, source: _Optional[str] = ..., neighbours: _Optional[int] = ...) -> None: ...

class PermutationTest(_message.Message):
    __slots__ = ("source", "target", "kernel", "blur", "permutations")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    KERNEL_FIELD_NUMBER: _ClassVar[int]
    BLUR_FIELD_NUMBER: _ClassVar[int]
    PERMUTATIONS_FIELD_NUMBER: _ClassVar[int]
    source: str
    target: str
    kernel: _loss_pb2.Kernel
    blur: float
    permutations: int
    def __init__(self, source: _Optional[str] = ..., target: _Optional[str] = ..., kernel: _Optional[_Union[_loss_pb2.Kernel, str]] = ..., blur: _Optional[float] = ..., permutations: _Optional[int] = ...) -> None: ...

class EffectiveScale(_message.Message):
    __slots__ = ("source", "target")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    source: str
    target: str
    def __init__(self, source: _Optional[str] = ..., target: _Optional[str] = ...) -> None: ...

class ExpectedShrink(_message.Message):
    __slots__ = ("source", "target", "blur", "epsilon", "debias")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    BLUR_FIELD_NUMBER: _ClassVar[int]
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    DEBIAS_FIELD_NUMBER: _ClassVar[int]
    source: str
    target: str
    blur: float
    epsilon: float
    debias: _loss_pb2.Debias
    def __init__(self, source: _Optional[str] = ..., target: _Optional[str] = ..., blur: _Optional[float] = ..., epsilon: _Optional[float] = ..., debias: _Optional[_Union[_loss_pb2.Debias, str]] = ...) -> None: ...
