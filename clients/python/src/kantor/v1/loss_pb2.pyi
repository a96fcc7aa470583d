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

class Profile(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROFILE_UNSPECIFIED: _ClassVar[Profile]
    PROFILE_ACCURATE: _ClassVar[Profile]
    PROFILE_GEOMLOSS: _ClassVar[Profile]
COST_UNSPECIFIED: Cost
COST_HALF_SQUARED_EUCLIDEAN: Cost
COST_SQUARED_EUCLIDEAN: Cost
COST_EUCLIDEAN: Cost
DEBIAS_UNSPECIFIED: Debias
DEBIAS_NONE: Debias
DEBIAS_SELF: Debias
PROFILE_UNSPECIFIED: Profile
PROFILE_ACCURATE: Profile
PROFILE_GEOMLOSS: Profile

class Term(_message.Message):
    __slots__ = ("name", "weight", "sinkhorn", "kantorovich", "kl")
    NAME_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    SINKHORN_FIELD_NUMBER: _ClassVar[int]
    KANTOROVICH_FIELD_NUMBER: _ClassVar[int]
    KL_FIELD_NUMBER: _ClassVar[int]
    name: str
    weight: float
    sinkhorn: SinkhornDivergence
    kantorovich: KantorovichDual
    kl: GaussianKl
    def __init__(self, name: _Optional[str] = ..., weight: _Optional[float] = ..., sinkhorn: _Optional[_Union[SinkhornDivergence, _Mapping]] = ..., kantorovich: _Optional[_Union[KantorovichDual, _Mapping]] = ..., kl: _Optional[_Union[GaussianKl, _Mapping]] = ...) -> None: ...

class SinkhornDivergence(_message.Message):
    __slots__ = ("source", "target", "cost", "blur", "epsilon", "debias", "tolerance", "gap", "max_iterations", "reach", "rho", "profile", "scaling", "without_interval")
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
    WITHOUT_INTERVAL_FIELD_NUMBER: _ClassVar[int]
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
    without_interval: bool
    def __init__(self, source: _Optional[str] = ..., target: _Optional[str] = ..., cost: _Optional[_Union[Cost, str]] = ..., blur: _Optional[float] = ..., epsilon: _Optional[float] = ..., debias: _Optional[_Union[Debias, str]] = ..., tolerance: _Optional[float] = ..., gap: _Optional[float] = ..., max_iterations: _Optional[int] = ..., reach: _Optional[float] = ..., rho: _Optional[float] = ..., profile: _Optional[_Union[Profile, str]] = ..., scaling: _Optional[float] = ..., without_interval: bool = ...) -> None: ...

class KantorovichDual(_message.Message):
    __slots__ = ("source", "target", "gap", "max_iterations")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    GAP_FIELD_NUMBER: _ClassVar[int]
    MAX_ITERATIONS_FIELD_NUMBER: _ClassVar[int]
    source: str
    target: str
    gap: float
    max_iterations: int
    def __init__(self, source: _Optional[str] = ..., target: _Optional[str] = ..., gap: _Optional[float] = ..., max_iterations: _Optional[int] = ...) -> None: ...

class GaussianKl(_message.Message):
    __slots__ = ("posterior", "prior")
    POSTERIOR_FIELD_NUMBER: _ClassVar[int]
    PRIOR_FIELD_NUMBER: _ClassVar[int]
    posterior: str
    prior: str
    def __init__(self, posterior: _Optional[str] = ..., prior: _Optional[str] = ...) -> None: ...
