from kantor.v1 import tensor_pb2 as _tensor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Input(_message.Message):
    __slots__ = ("measure", "gaussian", "prior", "cone_critic", "categorical", "bernoulli", "von_mises_fisher")
    MEASURE_FIELD_NUMBER: _ClassVar[int]
    GAUSSIAN_FIELD_NUMBER: _ClassVar[int]
    PRIOR_FIELD_NUMBER: _ClassVar[int]
    CONE_CRITIC_FIELD_NUMBER: _ClassVar[int]
    CATEGORICAL_FIELD_NUMBER: _ClassVar[int]
    BERNOULLI_FIELD_NUMBER: _ClassVar[int]
    VON_MISES_FISHER_FIELD_NUMBER: _ClassVar[int]
    measure: Measure
    gaussian: Gaussian
    prior: Prior
    cone_critic: ConeCriticState
    categorical: Categorical
    bernoulli: Bernoulli
    von_mises_fisher: VonMisesFisher
    def __init__(self, measure: _Optional[_Union[Measure, _Mapping]] = ..., gaussian: _Optional[_Union[Gaussian, _Mapping]] = ..., prior: _Optional[_Union[Prior, _Mapping]] = ..., cone_critic: _Optional[_Union[ConeCriticState, _Mapping]] = ..., categorical: _Optional[_Union[Categorical, _Mapping]] = ..., bernoulli: _Optional[_Union[Bernoulli, _Mapping]] = ..., von_mises_fisher: _Optional[_Union[VonMisesFisher, _Mapping]] = ...) -> None: ...

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
    __slots__ = ("standard_normal", "uniform_cube", "uniform_sphere", "gaussian_mixture", "size")
    STANDARD_NORMAL_FIELD_NUMBER: _ClassVar[int]
    UNIFORM_CUBE_FIELD_NUMBER: _ClassVar[int]
    UNIFORM_SPHERE_FIELD_NUMBER: _ClassVar[int]
    GAUSSIAN_MIXTURE_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    standard_normal: StandardNormal
    uniform_cube: UniformCube
    uniform_sphere: UniformSphere
    gaussian_mixture: GaussianMixture
    size: int
    def __init__(self, standard_normal: _Optional[_Union[StandardNormal, _Mapping]] = ..., uniform_cube: _Optional[_Union[UniformCube, _Mapping]] = ..., uniform_sphere: _Optional[_Union[UniformSphere, _Mapping]] = ..., gaussian_mixture: _Optional[_Union[GaussianMixture, _Mapping]] = ..., size: _Optional[int] = ...) -> None: ...

class StandardNormal(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class UniformCube(_message.Message):
    __slots__ = ("lower", "upper")
    LOWER_FIELD_NUMBER: _ClassVar[int]
    UPPER_FIELD_NUMBER: _ClassVar[int]
    lower: float
    upper: float
    def __init__(self, lower: _Optional[float] = ..., upper: _Optional[float] = ...) -> None: ...

class UniformSphere(_message.Message):
    __slots__ = ("radius",)
    RADIUS_FIELD_NUMBER: _ClassVar[int]
    radius: float
    def __init__(self, radius: _Optional[float] = ...) -> None: ...

class GaussianMixture(_message.Message):
    __slots__ = ("means", "log_variance", "weights")
    MEANS_FIELD_NUMBER: _ClassVar[int]
    LOG_VARIANCE_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    means: _tensor_pb2.Tensor
    log_variance: _tensor_pb2.Tensor
    weights: _tensor_pb2.Tensor
    def __init__(self, means: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., log_variance: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., weights: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ...) -> None: ...

class ConeCriticState(_message.Message):
    __slots__ = ("tips", "heights", "tip_moments", "height_moments", "averages", "step")
    TIPS_FIELD_NUMBER: _ClassVar[int]
    HEIGHTS_FIELD_NUMBER: _ClassVar[int]
    TIP_MOMENTS_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_MOMENTS_FIELD_NUMBER: _ClassVar[int]
    AVERAGES_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    tips: _tensor_pb2.Tensor
    heights: _tensor_pb2.Tensor
    tip_moments: _tensor_pb2.Tensor
    height_moments: _tensor_pb2.Tensor
    averages: _tensor_pb2.Tensor
    step: int
    def __init__(self, tips: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., heights: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., tip_moments: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., height_moments: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., averages: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., step: _Optional[int] = ...) -> None: ...

class Gaussian(_message.Message):
    __slots__ = ("mean", "log_variance", "covariance")
    MEAN_FIELD_NUMBER: _ClassVar[int]
    LOG_VARIANCE_FIELD_NUMBER: _ClassVar[int]
    COVARIANCE_FIELD_NUMBER: _ClassVar[int]
    mean: _tensor_pb2.Tensor
    log_variance: _tensor_pb2.Tensor
    covariance: _tensor_pb2.Tensor
    def __init__(self, mean: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., log_variance: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., covariance: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ...) -> None: ...

class Categorical(_message.Message):
    __slots__ = ("logits", "probabilities")
    LOGITS_FIELD_NUMBER: _ClassVar[int]
    PROBABILITIES_FIELD_NUMBER: _ClassVar[int]
    logits: _tensor_pb2.Tensor
    probabilities: _tensor_pb2.Tensor
    def __init__(self, logits: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., probabilities: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ...) -> None: ...

class Bernoulli(_message.Message):
    __slots__ = ("logits", "probabilities")
    LOGITS_FIELD_NUMBER: _ClassVar[int]
    PROBABILITIES_FIELD_NUMBER: _ClassVar[int]
    logits: _tensor_pb2.Tensor
    probabilities: _tensor_pb2.Tensor
    def __init__(self, logits: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., probabilities: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ...) -> None: ...

class VonMisesFisher(_message.Message):
    __slots__ = ("mean", "concentration")
    MEAN_FIELD_NUMBER: _ClassVar[int]
    CONCENTRATION_FIELD_NUMBER: _ClassVar[int]
    mean: _tensor_pb2.Tensor
    concentration: _tensor_pb2.Tensor
    def __init__(self, mean: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ..., concentration: _Optional[_Union[_tensor_pb2.Tensor, _Mapping]] = ...) -> None: ...
