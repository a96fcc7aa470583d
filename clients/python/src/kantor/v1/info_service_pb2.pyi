from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetServerInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetServerInfoResponse(_message.Message):
    __slots__ = ("build", "limits", "losses", "threads", "diagnostics")
    BUILD_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    LOSSES_FIELD_NUMBER: _ClassVar[int]
    THREADS_FIELD_NUMBER: _ClassVar[int]
    DIAGNOSTICS_FIELD_NUMBER: _ClassVar[int]
    build: Build
    limits: Limits
    losses: _containers.RepeatedScalarFieldContainer[str]
    threads: int
    diagnostics: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, build: _Optional[_Union[Build, _Mapping]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., losses: _Optional[_Iterable[str]] = ..., threads: _Optional[int] = ..., diagnostics: _Optional[_Iterable[str]] = ...) -> None: ...

class Build(_message.Message):
    __slots__ = ("version", "kernel", "pair_memory_bytes")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    KERNEL_FIELD_NUMBER: _ClassVar[int]
    PAIR_MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    version: str
    kernel: str
    pair_memory_bytes: int
    def __init__(self, version: _Optional[str] = ..., kernel: _Optional[str] = ..., pair_memory_bytes: _Optional[int] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("message_bytes", "points", "dimension", "terms", "window", "problems", "memory_bytes", "queue", "running_small", "running_large", "queue_wait", "stream_idle")
    MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    DIMENSION_FIELD_NUMBER: _ClassVar[int]
    TERMS_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    RUNNING_SMALL_FIELD_NUMBER: _ClassVar[int]
    RUNNING_LARGE_FIELD_NUMBER: _ClassVar[int]
    QUEUE_WAIT_FIELD_NUMBER: _ClassVar[int]
    STREAM_IDLE_FIELD_NUMBER: _ClassVar[int]
    message_bytes: int
    points: int
    dimension: int
    terms: int
    window: int
    problems: int
    memory_bytes: int
    queue: int
    running_small: int
    running_large: int
    queue_wait: _duration_pb2.Duration
    stream_idle: _duration_pb2.Duration
    def __init__(self, message_bytes: _Optional[int] = ..., points: _Optional[int] = ..., dimension: _Optional[int] = ..., terms: _Optional[int] = ..., window: _Optional[int] = ..., problems: _Optional[int] = ..., memory_bytes: _Optional[int] = ..., queue: _Optional[int] = ..., running_small: _Optional[int] = ..., running_large: _Optional[int] = ..., queue_wait: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., stream_idle: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...
