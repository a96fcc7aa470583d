from kantor.v1 import tensor_pb2 as _tensor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Input(_message.Message):
    __slots__ = ("measure", "gaussian", "prior")
    MEASURE_FIELD_NUMBER: _ClassVar[int]
    GAUSSIAN_FIELD_NUMBER: _ClassVar[int]
    PRIOR_FIELD_NUMBER: _ClassVar[int]
    measure: Measure
    gaussian: Gaussian
    prior: Prior
    def __init__(self, measure: _Optional[_Union[Measure, _Mapping]] = ..., gaussian: _Optional[_Union[Gaussian, _Mapping]] = ..., prior: _Optional[_Union[Prior, _Mapping]] = ...) -> None: ...

class Measure(_message.Message):
    __slots__ = ("points", "weights", "sizes")
    POINTS_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    SIZES_FIELD_NUMBER: _ClassVar[int]
    points: _tensor_pb2.Tensor
    weights: _tensor_pb2.Tensor
    sizes: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, points: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., weights: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., sizes: _Optional[_Iterable[int]] = ...) -> None: ...

class Prior(_message.Message):
    __slots__ = ("standard_normal", "size")
    STANDARD_NORMAL_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    standard_normal: StandardNormal
    size: int
    def __init__(self, standard_normal: _Optional[_Union[StandardNormal, _Mapping]] = ..., size: _Optional[int] = ...) -> None: ...

class StandardNormal(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Gaussian(_message.Message):
    __slots__ = ("mean", "log_variance")
    MEAN_FIELD_NUMBER: _ClassVar[int]
    LOG_VARIANCE_FIELD_NUMBER: _ClassVar[int]
    mean: _tensor_pb2.Tensor
    log_variance: _tensor_pb2.Tensor
    def __init__(self, mean: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., log_variance: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ...) -> None: ...
