from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Cost(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COST_UNSPECIFIED: _ClassVar[Cost]
    COST_HALF_SQUARED_EUCLIDEAN: _ClassVar[Cost]
    COST_SQUARED_EUCLIDEAN: _ClassVar[Cost]
    COST_EUCLIDEAN: _ClassVar[Cost]

class Debias(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DEBIAS_UNSPECIFIED: _ClassVar[Debias]
    DEBIAS_NONE: _ClassVar[Debias]
    DEBIAS_SELF: _ClassVar[Debias]
    DEBIAS_SPLIT: _ClassVar[Debias]

class Profile(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROFILE_UNSPECIFIED: _ClassVar[Profile]
    PROFILE_ACCURATE: _ClassVar[Profile]
    PROFILE_GEOMLOSS: _ClassVar[Profile]

class Method(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    METHOD_UNSPECIFIED: _ClassVar[Method]
    METHOD_AUTO: _ClassVar[Method]
    METHOD_EXACT: _ClassVar[Method]
    METHOD_ENTROPIC: _ClassVar[Method]

class Direction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DIRECTION_UNSPECIFIED: _ClassVar[Direction]
    DIRECTION_FORWARD: _ClassVar[Direction]
    DIRECTION_REVERSE: _ClassVar[Direction]
    DIRECTION_SYMMETRIC: _ClassVar[Direction]

class Estimator(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ESTIMATOR_UNSPECIFIED: _ClassVar[Estimator]
    ESTIMATOR_STRATIFIED: _ClassVar[Estimator]
    ESTIMATOR_WEIGHTED: _ClassVar[Estimator]
    ESTIMATOR_TRANSPORT: _ClassVar[Estimator]

class Moments(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MOMENTS_UNSPECIFIED: _ClassVar[Moments]
    MOMENTS_MEANS: _ClassVar[Moments]
    MOMENTS_CODES: _ClassVar[Moments]

class StressForm(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STRESS_FORM_UNSPECIFIED: _ClassVar[StressForm]
    STRESS_FORM_METRIC: _ClassVar[StressForm]
    STRESS_FORM_RANK: _ClassVar[StressForm]

class Metric(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    METRIC_UNSPECIFIED: _ClassVar[Metric]
    METRIC_EUCLIDEAN: _ClassVar[Metric]
    METRIC_MANHATTAN: _ClassVar[Metric]

class SliceAggregate(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SLICE_AGGREGATE_UNSPECIFIED: _ClassVar[SliceAggregate]
    SLICE_AGGREGATE_MEAN: _ClassVar[SliceAggregate]
    SLICE_AGGREGATE_MAX: _ClassVar[SliceAggregate]

class Kernel(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    KERNEL_UNSPECIFIED: _ClassVar[Kernel]
    KERNEL_ENERGY: _ClassVar[Kernel]
    KERNEL_GAUSSIAN: _ClassVar[Kernel]
    KERNEL_LAPLACIAN: _ClassVar[Kernel]
    KERNEL_IMQ: _ClassVar[Kernel]

class Statistic(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STATISTIC_UNSPECIFIED: _ClassVar[Statistic]
    STATISTIC_U: _ClassVar[Statistic]
    STATISTIC_V: _ClassVar[Statistic]

class Convention(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONVENTION_UNSPECIFIED: _ClassVar[Convention]
    CONVENTION_MMD2: _ClassVar[Convention]
    CONVENTION_HALF: _ClassVar[Convention]
COST_UNSPECIFIED: Cost
COST_HALF_SQUARED_EUCLIDEAN: Cost
COST_SQUARED_EUCLIDEAN: Cost
COST_EUCLIDEAN: Cost
DEBIAS_UNSPECIFIED: Debias
DEBIAS_NONE: Debias
DEBIAS_SELF: Debias
DEBIAS_SPLIT: Debias
PROFILE_UNSPECIFIED: Profile
PROFILE_ACCURATE: Profile
PROFILE_GEOMLOSS: Profile
METHOD_UNSPECIFIED: Method
METHOD_AUTO: Method
METHOD_EXACT: Method
METHOD_ENTROPIC: Method
DIRECTION_UNSPECIFIED: Direction
DIRECTION_FORWARD: Direction
DIRECTION_REVERSE: Direction
DIRECTION_SYMMETRIC: Direction
ESTIMATOR_UNSPECIFIED: Estimator
ESTIMATOR_STRATIFIED: Estimator
ESTIMATOR_WEIGHTED: Estimator
ESTIMATOR_TRANSPORT: Estimator
MOMENTS_UNSPECIFIED: Moments
MOMENTS_MEANS: Moments
MOMENTS_CODES: Moments
STRESS_FORM_UNSPECIFIED: StressForm
STRESS_FORM_METRIC: StressForm
STRESS_FORM_RANK: StressForm
METRIC_UNSPECIFIED: Metric
METRIC_EUCLIDEAN: Metric
METRIC_MANHATTAN: Metric
SLICE_AGGREGATE_UNSPECIFIED: SliceAggregate
SLICE_AGGREGATE_MEAN: SliceAggregate
SLICE_AGGREGATE_MAX: SliceAggregate
KERNEL_UNSPECIFIED: Kernel
KERNEL_ENERGY: Kernel
KERNEL_GAUSSIAN: Kernel
KERNEL_LAPLACIAN: Kernel
KERNEL_IMQ: Kernel
STATISTIC_UNSPECIFIED: Statistic
STATISTIC_U: Statistic
STATISTIC_V: Statistic
CONVENTION_UNSPECIFIED: Convention
CONVENTION_MMD2: Convention
CONVENTION_HALF: Convention

class Term(_message.Message):
    __slots__ = ("name", "weight", "sinkhorn", "kantorovich", "kl", "transport", "sliced", "bures", "mmd", "stein", "cone_critic", "categorical_kl", "bernoulli_kl", "von_mises_fisher_kl", "discrete_kl", "jensen_shannon", "total_correlation", "dip", "stress")
    NAME_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    SINKHORN_FIELD_NUMBER: _ClassVar[int]
    KANTOROVICH_FIELD_NUMBER: _ClassVar[int]
    KL_FIELD_NUMBER: _ClassVar[int]
    TRANSPORT_FIELD_NUMBER: _ClassVar[int]
    SLICED_FIELD_NUMBER: _ClassVar[int]
    BURES_FIELD_NUMBER: _ClassVar[int]
    MMD_FIELD_NUMBER: _ClassVar[int]
    STEIN_FIELD_NUMBER: _ClassVar[int]
    CONE_CRITIC_FIELD_NUMBER: _ClassVar[int]
    CATEGORICAL_KL_FIELD_NUMBER: _ClassVar[int]
    BERNOULLI_KL_FIELD_NUMBER: _ClassVar[int]
    VON_MISES_FISHER_KL_FIELD_NUMBER: _ClassVar[int]
    DISCRETE_KL_FIELD_NUMBER: _ClassVar[int]
    JENSEN_SHANNON_FIELD_NUMBER: _ClassVar[int]
    TOTAL_CORRELATION_FIELD_NUMBER: _ClassVar[int]
    DIP_FIELD_NUMBER: _ClassVar[int]
    STRESS_FIELD_NUMBER: _ClassVar[int]
    name: str
    weight: float
    sinkhorn: SinkhornDivergence
    kantorovich: KantorovichDual
    kl: GaussianKl
    transport: Transport
    sliced: SlicedTransport
    bures: BuresWasserstein
    mmd: MaximumMeanDiscrepancy
    stein: SteinDiscrepancy
    cone_critic: ConeCritic
    categorical_kl: CategoricalKl
    bernoulli_kl: BernoulliKl
    von_mises_fisher_kl: VonMisesFisherKl
    discrete_kl: DiscreteKl
    jensen_shannon: JensenShannon
    total_correlation: TotalCorrelation
    dip: DisentangledInferredPrior
    stress: Stress
    def __init__(self, name: _Optional[str] = ..., weight: _Optional[float] = ..., sinkhorn: _Optional[_Union[SinkhornDivergence, _Mapping]] = ..., kantorovich: _Optional[_Union[KantorovichDual, _Mapping]] = ..., kl: _Optional[_Union[GaussianKl, _Mapping]] = ..., transport: _Optional[_Union[Transport, _Mapping]] = ..., sliced: _Optional[_Union[SlicedTransport, _Mapping]] = ..., bures: _Optional[_Union[BuresWasserstein, _Mapping]] = ..., mmd: _Optional[_Union[MaximumMeanDiscrepancy, _Mapping]] = ..., stein: _Optional[_Union[SteinDiscrepancy, _Mapping]] = ..., cone_critic: _Optional[_Union[ConeCritic, _Mapping]] = ..., categorical_kl: _Optional[_Union[CategoricalKl, _Mapping]] = ..., bernoulli_kl: _Optional[_Union[BernoulliKl, _Mapping]] = ..., von_mises_fisher_kl: _Optional[_Union[VonMisesFisherKl, _Mapping]] = ..., discrete_kl: _Optional[_Union[DiscreteKl, _Mapping]] = ..., jensen_shannon: _Optional[_Union[JensenShannon, _Mapping]] = ..., total_correlation: _Optional[_Union[TotalCorrelation, _Mapping]] = ..., dip: _Optional[_Union[DisentangledInferredPrior, _Mapping]] = ..., stress: _Optional[_Union[Stress, _Mapping]] = ...) -> None: ...

class SinkhornDivergence(_message.Message):
    __slots__ = ("source", "target", "cost", "blur", "epsilon", "debias", "tolerance", "gap", "max_iterations", "reach", "rho", "profile", "scaling", "diameter", "without_interval", "second_source", "second_target")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    BLUR_FIELD_NUMBER: _ClassVar[int]
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    DEBIAS_FIELD_NUMBER: _ClassVar[int]
    TOLERANCE_FIELD_NUMBER: _ClassVar[int]
    GAP_FIELD_NUMBER: _ClassVar[int]
    MAX_ITERATIONS_FIELD_NUMBER: _ClassVar[int]
    REACH_FIELD_NUMBER: _ClassVar[int]
    RHO_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    SCALING_FIELD_NUMBER: _ClassVar[int]
    DIAMETER_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    SECOND_SOURCE_FIELD_NUMBER: _ClassVar[int]
    SECOND_TARGET_FIELD_NUMBER: _ClassVar[int]
    source: str
    target: str
    cost: Cost
    blur: float
    epsilon: float
    debias: Debias
    tolerance: float
    gap: float
    max_iterations: int
    reach: float
    rho: float
    profile: Profile
    scaling: float
    diameter: float
    without_interval: bool
    second_source: str
    second_target: str
    def __init__(self, source: _Optional[str] = ..., target: _Optional[str] = ..., cost: _Optional[_Union[Cost, str]] = ..., blur: _Optional[float] = ..., epsilon: _Optional[float] = ..., debias: _Optional[_Union[Debias, str]] = ..., tolerance: _Optional[float] = ..., gap: _Optional[float] = ..., max_iterations: _Optional[int] = ..., reach: _Optional[float] = ..., rho: _Optional[float] = ..., profile: _Optional[_Union[Profile, str]] = ..., scaling: _Optional[float] = ..., diameter: _Optional[float] = ..., without_interval: bool = ..., second_source: _Optional[str] = ..., second_target: _Optional[str] = ...) -> None: ...

class KantorovichDual(_message.Message):
    __slots__ = ("source", "target", "gap", "max_iterations", "method", "fresh_source", "fresh_target", "at")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    GAP_FIELD_NUMBER: _ClassVar[int]
    MAX_ITERATIONS_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    FRESH_SOURCE_FIELD_NUMBER: _ClassVar[int]
    FRESH_TARGET_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    source: str
    target: str
    gap: float
    max_iterations: int
    method: Method
    fresh_source: str
    fresh_target: str
    at: str
    def __init__(self, source: _Optional[str] = ..., target: _Optional[str] = ..., gap: _Optional[float] = ..., max_iterations: _Optional[int] = ..., method: _Optional[_Union[Method, str]] = ..., fresh_source: _Optional[str] = ..., fresh_target: _Optional[str] = ..., at: _Optional[str] = ...) -> None: ...

class GaussianKl(_message.Message):
    __slots__ = ("posterior", "prior", "direction", "free_bits", "capacity")
    POSTERIOR_FIELD_NUMBER: _ClassVar[int]
    PRIOR_FIELD_NUMBER: _ClassVar[int]
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    FREE_BITS_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    posterior: str
    prior: str
    direction: Direction
    free_bits: float
    capacity: float
    def __init__(self, posterior: _Optional[str] = ..., prior: _Optional[str] = ..., direction: _Optional[_Union[Direction, str]] = ..., free_bits: _Optional[float] = ..., capacity: _Optional[float] = ...) -> None: ...

class CategoricalKl(_message.Message):
    __slots__ = ("posterior", "prior", "direction", "free_bits", "capacity")
    POSTERIOR_FIELD_NUMBER: _ClassVar[int]
    PRIOR_FIELD_NUMBER: _ClassVar[int]
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    FREE_BITS_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    posterior: str
    prior: str
    direction: Direction
    free_bits: float
    capacity: float
    def __init__(self, posterior: _Optional[str] = ..., prior: _Optional[str] = ..., direction: _Optional[_Union[Direction, str]] = ..., free_bits: _Optional[float] = ..., capacity: _Optional[float] = ...) -> None: ...

class BernoulliKl(_message.Message):
    __slots__ = ("posterior", "prior", "direction", "free_bits", "capacity")
    POSTERIOR_FIELD_NUMBER: _ClassVar[int]
    PRIOR_FIELD_NUMBER: _ClassVar[int]
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    FREE_BITS_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    posterior: str
    prior: str
    direction: Direction
    free_bits: float
    capacity: float
    def __init__(self, posterior: _Optional[str] = ..., prior: _Optional[str] = ..., direction: _Optional[_Union[Direction, str]] = ..., free_bits: _Optional[float] = ..., capacity: _Optional[float] = ...) -> None: ...

class VonMisesFisherKl(_message.Message):
    __slots__ = ("posterior", "free_bits", "capacity")
    POSTERIOR_FIELD_NUMBER: _ClassVar[int]
    FREE_BITS_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    posterior: str
    free_bits: float
    capacity: float
    def __init__(self, posterior: _Optional[str] = ..., free_bits: _Optional[float] = ..., capacity: _Optional[float] = ...) -> None: ...

class DiscreteKl(_message.Message):
    __slots__ = ("source", "target", "direction")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    source: str
    target: str
    direction: Direction
    def __init__(self, source: _Optional[str] = ..., target: _Optional[str] = ..., direction: _Optional[_Union[Direction, str]] = ...) -> None: ...

class JensenShannon(_message.Message):
    __slots__ = ("source", "target")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    source: str
    target: str
    def __init__(self, source: _Optional[str] = ..., target: _Optional[str] = ...) -> None: ...

class TotalCorrelation(_message.Message):
    __slots__ = ("codes", "posterior", "estimator", "dataset_size", "mutual_information", "correlation", "dimension_wise_kl", "blur", "debias", "tolerance")
    CODES_FIELD_NUMBER: _ClassVar[int]
    POSTERIOR_FIELD_NUMBER: _ClassVar[int]
    ESTIMATOR_FIELD_NUMBER: _ClassVar[int]
    DATASET_SIZE_FIELD_NUMBER: _ClassVar[int]
    MUTUAL_INFORMATION_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_FIELD_NUMBER: _ClassVar[int]
    DIMENSION_WISE_KL_FIELD_NUMBER: _ClassVar[int]
    BLUR_FIELD_NUMBER: _ClassVar[int]
    DEBIAS_FIELD_NUMBER: _ClassVar[int]
    TOLERANCE_FIELD_NUMBER: _ClassVar[int]
    codes: str
    posterior: str
    estimator: Estimator
    dataset_size: int
    mutual_information: float
    correlation: float
    dimension_wise_kl: float
    blur: float
    debias: Debias
    tolerance: float
    def __init__(self, codes: _Optional[str] = ..., posterior: _Optional[str] = ..., estimator: _Optional[_Union[Estimator, str]] = ..., dataset_size: _Optional[int] = ..., mutual_information: _Optional[float] = ..., correlation: _Optional[float] = ..., dimension_wise_kl: _Optional[float] = ..., blur: _Optional[float] = ..., debias: _Optional[_Union[Debias, str]] = ..., tolerance: _Optional[float] = ...) -> None: ...

class DisentangledInferredPrior(_message.Message):
    __slots__ = ("posterior", "moments", "off_diagonal", "diagonal")
    POSTERIOR_FIELD_NUMBER: _ClassVar[int]
    MOMENTS_FIELD_NUMBER: _ClassVar[int]
    OFF_DIAGONAL_FIELD_NUMBER: _ClassVar[int]
    DIAGONAL_FIELD_NUMBER: _ClassVar[int]
    posterior: str
    moments: Moments
    off_diagonal: float
    diagonal: float
    def __init__(self, posterior: _Optional[str] = ..., moments: _Optional[_Union[Moments, str]] = ..., off_diagonal: _Optional[float] = ..., diagonal: _Optional[float] = ...) -> None: ...

class Stress(_message.Message):
    __slots__ = ("codes", "data", "form", "code_metric", "data_metric", "scale")
    CODES_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    FORM_FIELD_NUMBER: _ClassVar[int]
    CODE_METRIC_FIELD_NUMBER: _ClassVar[int]
    DATA_METRIC_FIELD_NUMBER: _ClassVar[int]
    SCALE_FIELD_NUMBER: _ClassVar[int]
    codes: str
    data: str
    form: StressForm
    code_metric: Metric
    data_metric: Metric
    scale: float
    def __init__(self, codes: _Optional[str] = ..., data: _Optional[str] = ..., form: _Optional[_Union[StressForm, str]] = ..., code_metric: _Optional[_Union[Metric, str]] = ..., data_metric: _Optional[_Union[Metric, str]] = ..., scale: _Optional[float] = ...) -> None: ...

class Transport(_message.Message):
    __slots__ = ("source", "target", "cost", "p", "debias", "time", "second_source", "second_target")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    P_FIELD_NUMBER: _ClassVar[int]
    DEBIAS_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    SECOND_SOURCE_FIELD_NUMBER: _ClassVar[int]
    SECOND_TARGET_FIELD_NUMBER: _ClassVar[int]
    source: str
    target: str
    cost: Cost
    p: float
    debias: Debias
    time: float
    second_source: str
    second_target: str
    def __init__(self, source: _Optional[str] = ..., target: _Optional[str] = ..., cost: _Optional[_Union[Cost, str]] = ..., p: _Optional[float] = ..., debias: _Optional[_Union[Debias, str]] = ..., time: _Optional[float] = ..., second_source: _Optional[str] = ..., second_target: _Optional[str] = ...) -> None: ...

class SlicedTransport(_message.Message):
    __slots__ = ("source", "target", "p", "directions", "aggregate", "max_iterations")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    P_FIELD_NUMBER: _ClassVar[int]
    DIRECTIONS_FIELD_NUMBER: _ClassVar[int]
    AGGREGATE_FIELD_NUMBER: _ClassVar[int]
    MAX_ITERATIONS_FIELD_NUMBER: _ClassVar[int]
    source: str
    target: str
    p: float
    directions: int
    aggregate: SliceAggregate
    max_iterations: int
    def __init__(self, source: _Optional[str] = ..., target: _Optional[str] = ..., p: _Optional[float] = ..., directions: _Optional[int] = ..., aggregate: _Optional[_Union[SliceAggregate, str]] = ..., max_iterations: _Optional[int] = ...) -> None: ...

class BuresWasserstein(_message.Message):
    __slots__ = ("posterior", "prior")
    POSTERIOR_FIELD_NUMBER: _ClassVar[int]
    PRIOR_FIELD_NUMBER: _ClassVar[int]
    posterior: str
    prior: str
    def __init__(self, posterior: _Optional[str] = ..., prior: _Optional[str] = ...) -> None: ...

class MaximumMeanDiscrepancy(_message.Message):
    __slots__ = ("source", "target", "kernel", "blur", "statistic", "convention", "closed_form")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    KERNEL_FIELD_NUMBER: _ClassVar[int]
    BLUR_FIELD_NUMBER: _ClassVar[int]
    STATISTIC_FIELD_NUMBER: _ClassVar[int]
    CONVENTION_FIELD_NUMBER: _ClassVar[int]
    CLOSED_FORM_FIELD_NUMBER: _ClassVar[int]
    source: str
    target: str
    kernel: Kernel
    blur: float
    statistic: Statistic
    convention: Convention
    closed_form: bool
    def __init__(self, source: _Optional[str] = ..., target: _Optional[str] = ..., kernel: _Optional[_Union[Kernel, str]] = ..., blur: _Optional[float] = ..., statistic: _Optional[_Union[Statistic, str]] = ..., convention: _Optional[_Union[Convention, str]] = ..., closed_form: bool = ...) -> None: ...

class SteinDiscrepancy(_message.Message):
    __slots__ = ("source", "kernel", "blur", "statistic")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    KERNEL_FIELD_NUMBER: _ClassVar[int]
    BLUR_FIELD_NUMBER: _ClassVar[int]
    STATISTIC_FIELD_NUMBER: _ClassVar[int]
    source: str
    kernel: Kernel
    blur: float
    statistic: Statistic
    def __init__(self, source: _Optional[str] = ..., kernel: _Optional[_Union[Kernel, str]] = ..., blur: _Optional[float] = ..., statistic: _Optional[_Union[Statistic, str]] = ...) -> None: ...

class ConeCritic(_message.Message):
    __slots__ = ("source", "target", "state", "cones", "learning_rate", "steps", "at")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CONES_FIELD_NUMBER: _ClassVar[int]
    LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    source: str
    target: str
    state: str
    cones: int
    learning_rate: float
    steps: int
    at: str
    def __init__(self, source: _Optional[str] = ..., target: _Optional[str] = ..., state: _Optional[str] = ..., cones: _Optional[int] = ..., learning_rate: _Optional[float] = ..., steps: _Optional[int] = ..., at: _Optional[str] = ...) -> None: ...
