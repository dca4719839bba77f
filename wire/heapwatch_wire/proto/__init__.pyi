"""Message classes of pprof and of the Pyroscope API, written by heapwatch_wire.proto.compile."""

from collections import abc
from typing import Any

from google.protobuf.internal.containers import RepeatedCompositeFieldContainer, RepeatedScalarFieldContainer
from google.protobuf.message import Message

PROFILE_FORMAT_FLAMEGRAPH: int  # 1
PROFILE_FORMAT_TREE: int  # 2
PROFILE_FORMAT_UNSPECIFIED: int  # 0
TIME_SERIES_AGGREGATION_TYPE_AVERAGE: int  # 1
TIME_SERIES_AGGREGATION_TYPE_SUM: int  # 0

class CallSite(Message):
    name: str
    def __init__(
        self,
        *,
        name: str | None = ...,
    ) -> None: ...

class DiffRequest(Message):
    @property
    def left(self) -> SelectMergeStacktracesRequest: ...
    @property
    def right(self) -> SelectMergeStacktracesRequest: ...
    def __init__(
        self,
        *,
        left: SelectMergeStacktracesRequest | abc.Mapping[str, Any] | None = ...,
        right: SelectMergeStacktracesRequest | abc.Mapping[str, Any] | None = ...,
    ) -> None: ...

class DiffResponse(Message):
    @property
    def flamegraph(self) -> FlameGraphDiff: ...
    def __init__(
        self,
        *,
        flamegraph: FlameGraphDiff | abc.Mapping[str, Any] | None = ...,
    ) -> None: ...

class FlameGraph(Message):
    @property
    def names(self) -> RepeatedScalarFieldContainer[str]: ...
    @property
    def levels(self) -> RepeatedCompositeFieldContainer[Level]: ...
    total: int
    max_self: int
    def __init__(
        self,
        *,
        names: abc.Iterable[str] | None = ...,
        levels: abc.Iterable[Level | abc.Mapping[str, Any]] | None = ...,
        total: int | None = ...,
        max_self: int | None = ...,
    ) -> None: ...

class FlameGraphDiff(Message):
    @property
    def names(self) -> RepeatedScalarFieldContainer[str]: ...
    @property
    def levels(self) -> RepeatedCompositeFieldContainer[Level]: ...
    total: int
    max_self: int
    leftTicks: int
    rightTicks: int
    def __init__(
        self,
        *,
        names: abc.Iterable[str] | None = ...,
        levels: abc.Iterable[Level | abc.Mapping[str, Any]] | None = ...,
        total: int | None = ...,
        max_self: int | None = ...,
        leftTicks: int | None = ...,
        rightTicks: int | None = ...,
    ) -> None: ...

class Function(Message):
    id: int
    name: int
    system_name: int
    filename: int
    start_line: int
    def __init__(
        self,
        *,
        id: int | None = ...,
        name: int | None = ...,
        system_name: int | None = ...,
        filename: int | None = ...,
        start_line: int | None = ...,
    ) -> None: ...

class Label(Message):
    key: int
    str: int
    num: int
    num_unit: int
    def __init__(
        self,
        *,
        key: int | None = ...,
        str: int | None = ...,
        num: int | None = ...,
        num_unit: int | None = ...,
    ) -> None: ...

class LabelNamesRequest(Message):
    @property
    def matchers(self) -> RepeatedScalarFieldContainer[str]: ...
    start: int
    end: int
    def __init__(
        self,
        *,
        matchers: abc.Iterable[str] | None = ...,
        start: int | None = ...,
        end: int | None = ...,
    ) -> None: ...

class LabelNamesResponse(Message):
    @property
    def names(self) -> RepeatedScalarFieldContainer[str]: ...
    def __init__(
        self,
        *,
        names: abc.Iterable[str] | None = ...,
    ) -> None: ...

class LabelPair(Message):
    name: str
    value: str
    def __init__(
        self,
        *,
        name: str | None = ...,
        value: str | None = ...,
    ) -> None: ...

class LabelValuesRequest(Message):
    name: str
    @property
    def matchers(self) -> RepeatedScalarFieldContainer[str]: ...
    start: int
    end: int
    def __init__(
        self,
        *,
        name: str | None = ...,
        matchers: abc.Iterable[str] | None = ...,
        start: int | None = ...,
        end: int | None = ...,
    ) -> None: ...

class LabelValuesResponse(Message):
    @property
    def names(self) -> RepeatedScalarFieldContainer[str]: ...
    def __init__(
        self,
        *,
        names: abc.Iterable[str] | None = ...,
    ) -> None: ...

class Labels(Message):
    @property
    def labels(self) -> RepeatedCompositeFieldContainer[LabelPair]: ...
    def __init__(
        self,
        *,
        labels: abc.Iterable[LabelPair | abc.Mapping[str, Any]] | None = ...,
    ) -> None: ...

class Level(Message):
    @property
    def values(self) -> RepeatedScalarFieldContainer[int]: ...
    def __init__(
        self,
        *,
        values: abc.Iterable[int] | None = ...,
    ) -> None: ...

class Line(Message):
    function_id: int
    line: int
    def __init__(
        self,
        *,
        function_id: int | None = ...,
        line: int | None = ...,
    ) -> None: ...

class Location(Message):
    id: int
    mapping_id: int
    address: int
    @property
    def line(self) -> RepeatedCompositeFieldContainer[Line]: ...
    is_folded: bool
    def __init__(
        self,
        *,
        id: int | None = ...,
        mapping_id: int | None = ...,
        address: int | None = ...,
        line: abc.Iterable[Line | abc.Mapping[str, Any]] | None = ...,
        is_folded: bool | None = ...,
    ) -> None: ...

class Mapping(Message):
    id: int
    memory_start: int
    memory_limit: int
    file_offset: int
    filename: int
    build_id: int
    has_functions: bool
    has_filenames: bool
    has_line_numbers: bool
    has_inline_frames: bool
    def __init__(
        self,
        *,
        id: int | None = ...,
        memory_start: int | None = ...,
        memory_limit: int | None = ...,
        file_offset: int | None = ...,
        filename: int | None = ...,
        build_id: int | None = ...,
        has_functions: bool | None = ...,
        has_filenames: bool | None = ...,
        has_line_numbers: bool | None = ...,
        has_inline_frames: bool | None = ...,
    ) -> None: ...

class Point(Message):
    value: float
    timestamp: int
    def __init__(
        self,
        *,
        value: float | None = ...,
        timestamp: int | None = ...,
    ) -> None: ...

class Profile(Message):
    @property
    def sample_type(self) -> RepeatedCompositeFieldContainer[ValueType]: ...
    @property
    def sample(self) -> RepeatedCompositeFieldContainer[Sample]: ...
    @property
    def mapping(self) -> RepeatedCompositeFieldContainer[Mapping]: ...
    @property
    def location(self) -> RepeatedCompositeFieldContainer[Location]: ...
    @property
    def function(self) -> RepeatedCompositeFieldContainer[Function]: ...
    @property
    def string_table(self) -> RepeatedScalarFieldContainer[str]: ...
    drop_frames: int
    keep_frames: int
    time_nanos: int
    duration_nanos: int
    @property
    def period_type(self) -> ValueType: ...
    period: int
    @property
    def comment(self) -> RepeatedScalarFieldContainer[int]: ...
    default_sample_type: int
    def __init__(
        self,
        *,
        sample_type: abc.Iterable[ValueType | abc.Mapping[str, Any]] | None = ...,
        sample: abc.Iterable[Sample | abc.Mapping[str, Any]] | None = ...,
        mapping: abc.Iterable[Mapping | abc.Mapping[str, Any]] | None = ...,
        location: abc.Iterable[Location | abc.Mapping[str, Any]] | None = ...,
        function: abc.Iterable[Function | abc.Mapping[str, Any]] | None = ...,
        string_table: abc.Iterable[str] | None = ...,
        drop_frames: int | None = ...,
        keep_frames: int | None = ...,
        time_nanos: int | None = ...,
        duration_nanos: int | None = ...,
        period_type: ValueType | abc.Mapping[str, Any] | None = ...,
        period: int | None = ...,
        comment: abc.Iterable[int] | None = ...,
        default_sample_type: int | None = ...,
    ) -> None: ...

class ProfileType(Message):
    ID: str
    name: str
    sample_type: str
    sample_unit: str
    period_type: str
    period_unit: str
    def __init__(
        self,
        *,
        ID: str | None = ...,
        name: str | None = ...,
        sample_type: str | None = ...,
        sample_unit: str | None = ...,
        period_type: str | None = ...,
        period_unit: str | None = ...,
    ) -> None: ...

class ProfileTypesRequest(Message):
    start: int
    end: int
    def __init__(
        self,
        *,
        start: int | None = ...,
        end: int | None = ...,
    ) -> None: ...

class ProfileTypesResponse(Message):
    @property
    def profile_types(self) -> RepeatedCompositeFieldContainer[ProfileType]: ...
    def __init__(
        self,
        *,
        profile_types: abc.Iterable[ProfileType | abc.Mapping[str, Any]] | None = ...,
    ) -> None: ...

class PushRequest(Message):
    @property
    def series(self) -> RepeatedCompositeFieldContainer[RawProfileSeries]: ...
    def __init__(
        self,
        *,
        series: abc.Iterable[RawProfileSeries | abc.Mapping[str, Any]] | None = ...,
    ) -> None: ...

class PushResponse(Message): ...

class RawProfileSeries(Message):
    @property
    def labels(self) -> RepeatedCompositeFieldContainer[LabelPair]: ...
    @property
    def samples(self) -> RepeatedCompositeFieldContainer[RawSample]: ...
    def __init__(
        self,
        *,
        labels: abc.Iterable[LabelPair | abc.Mapping[str, Any]] | None = ...,
        samples: abc.Iterable[RawSample | abc.Mapping[str, Any]] | None = ...,
    ) -> None: ...

class RawSample(Message):
    raw_profile: bytes
    ID: str
    def __init__(
        self,
        *,
        raw_profile: bytes | None = ...,
        ID: str | None = ...,
    ) -> None: ...

class Sample(Message):
    @property
    def location_id(self) -> RepeatedScalarFieldContainer[int]: ...
    @property
    def value(self) -> RepeatedScalarFieldContainer[int]: ...
    @property
    def label(self) -> RepeatedCompositeFieldContainer[Label]: ...
    def __init__(
        self,
        *,
        location_id: abc.Iterable[int] | None = ...,
        value: abc.Iterable[int] | None = ...,
        label: abc.Iterable[Label | abc.Mapping[str, Any]] | None = ...,
    ) -> None: ...

class SelectMergeProfileRequest(Message):
    profile_typeID: str
    label_selector: str
    start: int
    end: int
    max_nodes: int
    @property
    def stack_trace_selector(self) -> StackTraceSelector: ...
    @property
    def profile_id_selector(self) -> RepeatedScalarFieldContainer[str]: ...
    def __init__(
        self,
        *,
        profile_typeID: str | None = ...,
        label_selector: str | None = ...,
        start: int | None = ...,
        end: int | None = ...,
        max_nodes: int | None = ...,
        stack_trace_selector: StackTraceSelector | abc.Mapping[str, Any] | None = ...,
        profile_id_selector: abc.Iterable[str] | None = ...,
    ) -> None: ...

class SelectMergeSpanProfileRequest(Message):
    profile_typeID: str
    label_selector: str
    @property
    def span_selector(self) -> RepeatedScalarFieldContainer[str]: ...
    start: int
    end: int
    max_nodes: int
    format: int
    def __init__(
        self,
        *,
        profile_typeID: str | None = ...,
        label_selector: str | None = ...,
        span_selector: abc.Iterable[str] | None = ...,
        start: int | None = ...,
        end: int | None = ...,
        max_nodes: int | None = ...,
        format: int | None = ...,
    ) -> None: ...

class SelectMergeSpanProfileResponse(Message):
    @property
    def flamegraph(self) -> FlameGraph: ...
    tree: bytes
    def __init__(
        self,
        *,
        flamegraph: FlameGraph | abc.Mapping[str, Any] | None = ...,
        tree: bytes | None = ...,
    ) -> None: ...

class SelectMergeStacktracesRequest(Message):
    profile_typeID: str
    label_selector: str
    start: int
    end: int
    max_nodes: int
    format: int
    @property
    def stack_trace_selector(self) -> StackTraceSelector: ...
    @property
    def profile_id_selector(self) -> RepeatedScalarFieldContainer[str]: ...
    def __init__(
        self,
        *,
        profile_typeID: str | None = ...,
        label_selector: str | None = ...,
        start: int | None = ...,
        end: int | None = ...,
        max_nodes: int | None = ...,
        format: int | None = ...,
        stack_trace_selector: StackTraceSelector | abc.Mapping[str, Any] | None = ...,
        profile_id_selector: abc.Iterable[str] | None = ...,
    ) -> None: ...

class SelectMergeStacktracesResponse(Message):
    @property
    def flamegraph(self) -> FlameGraph: ...
    tree: bytes
    def __init__(
        self,
        *,
        flamegraph: FlameGraph | abc.Mapping[str, Any] | None = ...,
        tree: bytes | None = ...,
    ) -> None: ...

class SelectSeriesRequest(Message):
    profile_typeID: str
    label_selector: str
    start: int
    end: int
    @property
    def group_by(self) -> RepeatedScalarFieldContainer[str]: ...
    step: float
    aggregation: int
    @property
    def stack_trace_selector(self) -> StackTraceSelector: ...
    limit: int
    def __init__(
        self,
        *,
        profile_typeID: str | None = ...,
        label_selector: str | None = ...,
        start: int | None = ...,
        end: int | None = ...,
        group_by: abc.Iterable[str] | None = ...,
        step: float | None = ...,
        aggregation: int | None = ...,
        stack_trace_selector: StackTraceSelector | abc.Mapping[str, Any] | None = ...,
        limit: int | None = ...,
    ) -> None: ...

class SelectSeriesResponse(Message):
    @property
    def series(self) -> RepeatedCompositeFieldContainer[Series]: ...
    def __init__(
        self,
        *,
        series: abc.Iterable[Series | abc.Mapping[str, Any]] | None = ...,
    ) -> None: ...

class Series(Message):
    @property
    def labels(self) -> RepeatedCompositeFieldContainer[LabelPair]: ...
    @property
    def points(self) -> RepeatedCompositeFieldContainer[Point]: ...
    def __init__(
        self,
        *,
        labels: abc.Iterable[LabelPair | abc.Mapping[str, Any]] | None = ...,
        points: abc.Iterable[Point | abc.Mapping[str, Any]] | None = ...,
    ) -> None: ...

class SeriesRequest(Message):
    @property
    def matchers(self) -> RepeatedScalarFieldContainer[str]: ...
    @property
    def label_names(self) -> RepeatedScalarFieldContainer[str]: ...
    start: int
    end: int
    def __init__(
        self,
        *,
        matchers: abc.Iterable[str] | None = ...,
        label_names: abc.Iterable[str] | None = ...,
        start: int | None = ...,
        end: int | None = ...,
    ) -> None: ...

class SeriesResponse(Message):
    @property
    def labels_set(self) -> RepeatedCompositeFieldContainer[Labels]: ...
    def __init__(
        self,
        *,
        labels_set: abc.Iterable[Labels | abc.Mapping[str, Any]] | None = ...,
    ) -> None: ...

class StackTraceSelector(Message):
    @property
    def call_site(self) -> RepeatedCompositeFieldContainer[CallSite]: ...
    def __init__(
        self,
        *,
        call_site: abc.Iterable[CallSite | abc.Mapping[str, Any]] | None = ...,
    ) -> None: ...

class ValueType(Message):
    type: int
    unit: int
    def __init__(
        self,
        *,
        type: int | None = ...,
        unit: int | None = ...,
    ) -> None: ...
