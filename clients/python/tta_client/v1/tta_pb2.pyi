import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.rpc import status_pb2 as _status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OnDeadline(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ON_DEADLINE_UNSPECIFIED: _ClassVar[OnDeadline]
    ON_DEADLINE_DEGRADE: _ClassVar[OnDeadline]
    ON_DEADLINE_FAIL: _ClassVar[OnDeadline]

class Calibrate(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CALIBRATE_UNSPECIFIED: _ClassVar[Calibrate]
    CALIBRATE_NONE: _ClassVar[Calibrate]
    CALIBRATE_ZERO_SHOT_RANGE: _ClassVar[Calibrate]
    CALIBRATE_LESSONS: _ClassVar[Calibrate]

class Decision(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DECISION_UNSPECIFIED: _ClassVar[Decision]
    DECISION_ANSWER: _ClassVar[Decision]
    DECISION_DEFER: _ClassVar[Decision]
    DECISION_NONE_OF_THESE: _ClassVar[Decision]
ON_DEADLINE_UNSPECIFIED: OnDeadline
ON_DEADLINE_DEGRADE: OnDeadline
ON_DEADLINE_FAIL: OnDeadline
CALIBRATE_UNSPECIFIED: Calibrate
CALIBRATE_NONE: Calibrate
CALIBRATE_ZERO_SHOT_RANGE: Calibrate
CALIBRATE_LESSONS: Calibrate
DECISION_UNSPECIFIED: Decision
DECISION_ANSWER: Decision
DECISION_DEFER: Decision
DECISION_NONE_OF_THESE: Decision

class Image(_message.Message):
    __slots__ = ("encoded", "raw", "features")
    ENCODED_FIELD_NUMBER: _ClassVar[int]
    RAW_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    encoded: bytes
    raw: RawImage
    features: Features
    def __init__(self, encoded: _Optional[bytes] = ..., raw: _Optional[_Union[RawImage, _Mapping]] = ..., features: _Optional[_Union[Features, _Mapping]] = ...) -> None: ...

class RawImage(_message.Message):
    __slots__ = ("width", "height", "format", "pixels")
    class Format(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        FORMAT_UNSPECIFIED: _ClassVar[RawImage.Format]
        FORMAT_RGB24: _ClassVar[RawImage.Format]
        FORMAT_BGR24: _ClassVar[RawImage.Format]
        FORMAT_GRAY8: _ClassVar[RawImage.Format]
        FORMAT_NV12: _ClassVar[RawImage.Format]
    FORMAT_UNSPECIFIED: RawImage.Format
    FORMAT_RGB24: RawImage.Format
    FORMAT_BGR24: RawImage.Format
    FORMAT_GRAY8: RawImage.Format
    FORMAT_NV12: RawImage.Format
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    PIXELS_FIELD_NUMBER: _ClassVar[int]
    width: int
    height: int
    format: RawImage.Format
    pixels: bytes
    def __init__(self, width: _Optional[int] = ..., height: _Optional[int] = ..., format: _Optional[_Union[RawImage.Format, str]] = ..., pixels: _Optional[bytes] = ...) -> None: ...

class Features(_message.Message):
    __slots__ = ("views", "dimension", "values", "model")
    VIEWS_FIELD_NUMBER: _ClassVar[int]
    DIMENSION_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    views: int
    dimension: int
    values: bytes
    model: str
    def __init__(self, views: _Optional[int] = ..., dimension: _Optional[int] = ..., values: _Optional[bytes] = ..., model: _Optional[str] = ...) -> None: ...

class LabelSet(_message.Message):
    __slots__ = ("names", "templates", "allow_duplicates", "sentences")
    NAMES_FIELD_NUMBER: _ClassVar[int]
    TEMPLATES_FIELD_NUMBER: _ClassVar[int]
    ALLOW_DUPLICATES_FIELD_NUMBER: _ClassVar[int]
    SENTENCES_FIELD_NUMBER: _ClassVar[int]
    names: _containers.RepeatedScalarFieldContainer[str]
    templates: _containers.RepeatedScalarFieldContainer[str]
    allow_duplicates: bool
    sentences: _containers.RepeatedCompositeFieldContainer[Sentences]
    def __init__(self, names: _Optional[_Iterable[str]] = ..., templates: _Optional[_Iterable[str]] = ..., allow_duplicates: _Optional[bool] = ..., sentences: _Optional[_Iterable[_Union[Sentences, _Mapping]]] = ...) -> None: ...

class Sentences(_message.Message):
    __slots__ = ("texts",)
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    texts: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, texts: _Optional[_Iterable[str]] = ...) -> None: ...

class Labels(_message.Message):
    __slots__ = ("id", "label_set")
    ID_FIELD_NUMBER: _ClassVar[int]
    LABEL_SET_FIELD_NUMBER: _ClassVar[int]
    id: str
    label_set: LabelSet
    def __init__(self, id: _Optional[str] = ..., label_set: _Optional[_Union[LabelSet, _Mapping]] = ...) -> None: ...

class Choice(_message.Message):
    __slots__ = ("name", "parameters")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    name: str
    parameters: _struct_pb2.Struct
    def __init__(self, name: _Optional[str] = ..., parameters: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class Reduction(_message.Message):
    __slots__ = ("reducer", "scope")
    class Scope(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        SCOPE_UNSPECIFIED: _ClassVar[Reduction.Scope]
        SCOPE_ALL_VIEWS: _ClassVar[Reduction.Scope]
        SCOPE_AUGMENTED: _ClassVar[Reduction.Scope]
        SCOPE_TWO_LOOKS: _ClassVar[Reduction.Scope]
    SCOPE_UNSPECIFIED: Reduction.Scope
    SCOPE_ALL_VIEWS: Reduction.Scope
    SCOPE_AUGMENTED: Reduction.Scope
    SCOPE_TWO_LOOKS: Reduction.Scope
    REDUCER_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    reducer: Choice
    scope: Reduction.Scope
    def __init__(self, reducer: _Optional[_Union[Choice, _Mapping]] = ..., scope: _Optional[_Union[Reduction.Scope, str]] = ...) -> None: ...

class Cascade(_message.Message):
    __slots__ = ("to", "above")
    TO_FIELD_NUMBER: _ClassVar[int]
    ABOVE_FIELD_NUMBER: _ClassVar[int]
    to: Choice
    above: float
    def __init__(self, to: _Optional[_Union[Choice, _Mapping]] = ..., above: _Optional[float] = ...) -> None: ...

class Options(_message.Message):
    __slots__ = ("strategy", "cascade", "reduction", "top_k", "seed", "explain", "on_deadline", "ask", "guard", "calibrate", "defer_below", "coverage", "none_below", "admit_below", "smooth", "asking")
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    CASCADE_FIELD_NUMBER: _ClassVar[int]
    REDUCTION_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    ON_DEADLINE_FIELD_NUMBER: _ClassVar[int]
    ASK_FIELD_NUMBER: _ClassVar[int]
    GUARD_FIELD_NUMBER: _ClassVar[int]
    CALIBRATE_FIELD_NUMBER: _ClassVar[int]
    DEFER_BELOW_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    NONE_BELOW_FIELD_NUMBER: _ClassVar[int]
    ADMIT_BELOW_FIELD_NUMBER: _ClassVar[int]
    SMOOTH_FIELD_NUMBER: _ClassVar[int]
    ASKING_FIELD_NUMBER: _ClassVar[int]
    strategy: Choice
    cascade: Cascade
    reduction: Reduction
    top_k: int
    seed: int
    explain: bool
    on_deadline: OnDeadline
    ask: bool
    guard: bool
    calibrate: Calibrate
    defer_below: float
    coverage: float
    none_below: float
    admit_below: float
    smooth: Smooth
    asking: Asking
    def __init__(self, strategy: _Optional[_Union[Choice, _Mapping]] = ..., cascade: _Optional[_Union[Cascade, _Mapping]] = ..., reduction: _Optional[_Union[Reduction, _Mapping]] = ..., top_k: _Optional[int] = ..., seed: _Optional[int] = ..., explain: _Optional[bool] = ..., on_deadline: _Optional[_Union[OnDeadline, str]] = ..., ask: _Optional[bool] = ..., guard: _Optional[bool] = ..., calibrate: _Optional[_Union[Calibrate, str]] = ..., defer_below: _Optional[float] = ..., coverage: _Optional[float] = ..., none_below: _Optional[float] = ..., admit_below: _Optional[float] = ..., smooth: _Optional[_Union[Smooth, _Mapping]] = ..., asking: _Optional[_Union[Asking, _Mapping]] = ...) -> None: ...

class Asking(_message.Message):
    __slots__ = ("per_hour",)
    PER_HOUR_FIELD_NUMBER: _ClassVar[int]
    per_hour: float
    def __init__(self, per_hour: _Optional[float] = ...) -> None: ...

class Smooth(_message.Message):
    __slots__ = ("window", "enter", "leave")
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    ENTER_FIELD_NUMBER: _ClassVar[int]
    LEAVE_FIELD_NUMBER: _ClassVar[int]
    window: int
    enter: float
    leave: float
    def __init__(self, window: _Optional[int] = ..., enter: _Optional[float] = ..., leave: _Optional[float] = ...) -> None: ...

class ClassifyRequest(_message.Message):
    __slots__ = ("image", "labels", "options", "session_id", "request_id", "lesson_group")
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    LESSON_GROUP_FIELD_NUMBER: _ClassVar[int]
    image: Image
    labels: Labels
    options: Options
    session_id: str
    request_id: str
    lesson_group: str
    def __init__(self, image: _Optional[_Union[Image, _Mapping]] = ..., labels: _Optional[_Union[Labels, _Mapping]] = ..., options: _Optional[_Union[Options, _Mapping]] = ..., session_id: _Optional[str] = ..., request_id: _Optional[str] = ..., lesson_group: _Optional[str] = ...) -> None: ...

class EmbedRequest(_message.Message):
    __slots__ = ("images", "texts", "templates")
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    TEMPLATES_FIELD_NUMBER: _ClassVar[int]
    images: _containers.RepeatedCompositeFieldContainer[Image]
    texts: _containers.RepeatedScalarFieldContainer[str]
    templates: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, images: _Optional[_Iterable[_Union[Image, _Mapping]]] = ..., texts: _Optional[_Iterable[str]] = ..., templates: _Optional[_Iterable[str]] = ...) -> None: ...

class EmbedResponse(_message.Message):
    __slots__ = ("embeddings", "model_fingerprint")
    EMBEDDINGS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    embeddings: _containers.RepeatedCompositeFieldContainer[Embedding]
    model_fingerprint: str
    def __init__(self, embeddings: _Optional[_Iterable[_Union[Embedding, _Mapping]]] = ..., model_fingerprint: _Optional[str] = ...) -> None: ...

class Embedding(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, values: _Optional[_Iterable[float]] = ...) -> None: ...

class ClassifyStreamRequest(_message.Message):
    __slots__ = ("open", "frame", "lesson")
    OPEN_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    LESSON_FIELD_NUMBER: _ClassVar[int]
    open: OpenStream
    frame: Frame
    lesson: Lesson
    def __init__(self, open: _Optional[_Union[OpenStream, _Mapping]] = ..., frame: _Optional[_Union[Frame, _Mapping]] = ..., lesson: _Optional[_Union[Lesson, _Mapping]] = ...) -> None: ...

class OpenStream(_message.Message):
    __slots__ = ("session_id", "resume_token", "labels", "options", "policy", "buffer", "frame_budget", "lesson_group")
    class Policy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        POLICY_UNSPECIFIED: _ClassVar[OpenStream.Policy]
        POLICY_LATEST: _ClassVar[OpenStream.Policy]
        POLICY_DROP_OLDEST: _ClassVar[OpenStream.Policy]
        POLICY_DROP_NEWEST: _ClassVar[OpenStream.Policy]
        POLICY_BLOCK: _ClassVar[OpenStream.Policy]
    POLICY_UNSPECIFIED: OpenStream.Policy
    POLICY_LATEST: OpenStream.Policy
    POLICY_DROP_OLDEST: OpenStream.Policy
    POLICY_DROP_NEWEST: OpenStream.Policy
    POLICY_BLOCK: OpenStream.Policy
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    BUFFER_FIELD_NUMBER: _ClassVar[int]
    FRAME_BUDGET_FIELD_NUMBER: _ClassVar[int]
    LESSON_GROUP_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    resume_token: bytes
    labels: Labels
    options: Options
    policy: OpenStream.Policy
    buffer: int
    frame_budget: _duration_pb2.Duration
    lesson_group: str
    def __init__(self, session_id: _Optional[str] = ..., resume_token: _Optional[bytes] = ..., labels: _Optional[_Union[Labels, _Mapping]] = ..., options: _Optional[_Union[Options, _Mapping]] = ..., policy: _Optional[_Union[OpenStream.Policy, str]] = ..., buffer: _Optional[int] = ..., frame_budget: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., lesson_group: _Optional[str] = ...) -> None: ...

class Frame(_message.Message):
    __slots__ = ("frame_id", "image", "capture_time", "labels", "options")
    FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    CAPTURE_TIME_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    frame_id: int
    image: Image
    capture_time: _timestamp_pb2.Timestamp
    labels: Labels
    options: Options
    def __init__(self, frame_id: _Optional[int] = ..., image: _Optional[_Union[Image, _Mapping]] = ..., capture_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., labels: _Optional[_Union[Labels, _Mapping]] = ..., options: _Optional[_Union[Options, _Mapping]] = ...) -> None: ...

class Score(_message.Message):
    __slots__ = ("index", "label", "score", "logit")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    LOGIT_FIELD_NUMBER: _ClassVar[int]
    index: int
    label: str
    score: float
    logit: float
    def __init__(self, index: _Optional[int] = ..., label: _Optional[str] = ..., score: _Optional[float] = ..., logit: _Optional[float] = ...) -> None: ...

class Timings(_message.Message):
    __slots__ = ("decode", "look", "queue", "encode", "text", "turn", "adapt", "total")
    DECODE_FIELD_NUMBER: _ClassVar[int]
    LOOK_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    ENCODE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TURN_FIELD_NUMBER: _ClassVar[int]
    ADAPT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    decode: float
    look: float
    queue: float
    encode: float
    text: float
    turn: float
    adapt: float
    total: float
    def __init__(self, decode: _Optional[float] = ..., look: _Optional[float] = ..., queue: _Optional[float] = ..., encode: _Optional[float] = ..., text: _Optional[float] = ..., turn: _Optional[float] = ..., adapt: _Optional[float] = ..., total: _Optional[float] = ...) -> None: ...

class Degraded(_message.Message):
    __slots__ = ("reason", "views_asked", "views_done", "zero_shot")
    class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        REASON_UNSPECIFIED: _ClassVar[Degraded.Reason]
        REASON_DEADLINE: _ClassVar[Degraded.Reason]
        REASON_OVERLOAD: _ClassVar[Degraded.Reason]
        REASON_MEMORY: _ClassVar[Degraded.Reason]
        REASON_DISABLED: _ClassVar[Degraded.Reason]
    REASON_UNSPECIFIED: Degraded.Reason
    REASON_DEADLINE: Degraded.Reason
    REASON_OVERLOAD: Degraded.Reason
    REASON_MEMORY: Degraded.Reason
    REASON_DISABLED: Degraded.Reason
    REASON_FIELD_NUMBER: _ClassVar[int]
    VIEWS_ASKED_FIELD_NUMBER: _ClassVar[int]
    VIEWS_DONE_FIELD_NUMBER: _ClassVar[int]
    ZERO_SHOT_FIELD_NUMBER: _ClassVar[int]
    reason: Degraded.Reason
    views_asked: int
    views_done: int
    zero_shot: bool
    def __init__(self, reason: _Optional[_Union[Degraded.Reason, str]] = ..., views_asked: _Optional[int] = ..., views_done: _Optional[int] = ..., zero_shot: _Optional[bool] = ...) -> None: ...

class ViewExplanation(_message.Message):
    __slots__ = ("left", "top", "width", "height", "flipped", "entropy", "kept", "weight", "label_index")
    LEFT_FIELD_NUMBER: _ClassVar[int]
    TOP_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    FLIPPED_FIELD_NUMBER: _ClassVar[int]
    ENTROPY_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    LABEL_INDEX_FIELD_NUMBER: _ClassVar[int]
    left: float
    top: float
    width: float
    height: float
    flipped: bool
    entropy: float
    kept: bool
    weight: float
    label_index: int
    def __init__(self, left: _Optional[float] = ..., top: _Optional[float] = ..., width: _Optional[float] = ..., height: _Optional[float] = ..., flipped: _Optional[bool] = ..., entropy: _Optional[float] = ..., kept: _Optional[bool] = ..., weight: _Optional[float] = ..., label_index: _Optional[int] = ...) -> None: ...

class TokenMap(_message.Message):
    __slots__ = ("side", "attention", "tokens")
    SIDE_FIELD_NUMBER: _ClassVar[int]
    ATTENTION_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    side: int
    attention: _containers.RepeatedScalarFieldContainer[float]
    tokens: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, side: _Optional[int] = ..., attention: _Optional[_Iterable[float]] = ..., tokens: _Optional[_Iterable[int]] = ...) -> None: ...

class Explanation(_message.Message):
    __slots__ = ("views", "tokens_left", "token_map", "strategy")
    VIEWS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_LEFT_FIELD_NUMBER: _ClassVar[int]
    TOKEN_MAP_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    views: _containers.RepeatedCompositeFieldContainer[ViewExplanation]
    tokens_left: _containers.RepeatedScalarFieldContainer[int]
    token_map: TokenMap
    strategy: _struct_pb2.Struct
    def __init__(self, views: _Optional[_Iterable[_Union[ViewExplanation, _Mapping]]] = ..., tokens_left: _Optional[_Iterable[int]] = ..., token_map: _Optional[_Union[TokenMap, _Mapping]] = ..., strategy: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class SessionStatus(_message.Message):
    __slots__ = ("session_id", "origin", "frames", "memory_bytes", "memory_reset", "last_frame_id", "lessons_set_apart")
    class Origin(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        ORIGIN_UNSPECIFIED: _ClassVar[SessionStatus.Origin]
        ORIGIN_FRESH: _ClassVar[SessionStatus.Origin]
        ORIGIN_CONTINUED: _ClassVar[SessionStatus.Origin]
        ORIGIN_RESTORED: _ClassVar[SessionStatus.Origin]
    ORIGIN_UNSPECIFIED: SessionStatus.Origin
    ORIGIN_FRESH: SessionStatus.Origin
    ORIGIN_CONTINUED: SessionStatus.Origin
    ORIGIN_RESTORED: SessionStatus.Origin
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_RESET_FIELD_NUMBER: _ClassVar[int]
    LAST_FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    LESSONS_SET_APART_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    origin: SessionStatus.Origin
    frames: int
    memory_bytes: int
    memory_reset: bool
    last_frame_id: int
    lessons_set_apart: int
    def __init__(self, session_id: _Optional[str] = ..., origin: _Optional[_Union[SessionStatus.Origin, str]] = ..., frames: _Optional[int] = ..., memory_bytes: _Optional[int] = ..., memory_reset: _Optional[bool] = ..., last_frame_id: _Optional[int] = ..., lessons_set_apart: _Optional[int] = ...) -> None: ...

class Warning(_message.Message):
    __slots__ = ("kind", "message")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Warning.Kind]
        KIND_FEW_CLASSES: _ClassVar[Warning.Kind]
        KIND_FOREIGN: _ClassVar[Warning.Kind]
        KIND_UNTAUGHT_NAMES: _ClassVar[Warning.Kind]
    KIND_UNSPECIFIED: Warning.Kind
    KIND_FEW_CLASSES: Warning.Kind
    KIND_FOREIGN: Warning.Kind
    KIND_UNTAUGHT_NAMES: Warning.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    kind: Warning.Kind
    message: str
    def __init__(self, kind: _Optional[_Union[Warning.Kind, str]] = ..., message: _Optional[str] = ...) -> None: ...

class ClassifyResponse(_message.Message):
    __slots__ = ("top", "zero_shot", "entropy", "strategy", "escalated", "degraded", "timings", "batch_rows", "session", "explanation", "label_set_id", "request_id", "reduction", "views", "model", "unseen", "example_id", "asked", "guarded", "confidence", "warnings")
    TOP_FIELD_NUMBER: _ClassVar[int]
    ZERO_SHOT_FIELD_NUMBER: _ClassVar[int]
    ENTROPY_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    ESCALATED_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_FIELD_NUMBER: _ClassVar[int]
    BATCH_ROWS_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    LABEL_SET_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    REDUCTION_FIELD_NUMBER: _ClassVar[int]
    VIEWS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    UNSEEN_FIELD_NUMBER: _ClassVar[int]
    EXAMPLE_ID_FIELD_NUMBER: _ClassVar[int]
    ASKED_FIELD_NUMBER: _ClassVar[int]
    GUARDED_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    top: _containers.RepeatedCompositeFieldContainer[Score]
    zero_shot: _containers.RepeatedCompositeFieldContainer[Score]
    entropy: float
    strategy: Choice
    escalated: bool
    degraded: Degraded
    timings: Timings
    batch_rows: int
    session: SessionStatus
    explanation: Explanation
    label_set_id: str
    request_id: str
    reduction: Reduction
    views: int
    model: str
    unseen: _containers.RepeatedScalarFieldContainer[str]
    example_id: str
    asked: bool
    guarded: bool
    confidence: Confidence
    warnings: _containers.RepeatedCompositeFieldContainer[Warning]
    def __init__(self, top: _Optional[_Iterable[_Union[Score, _Mapping]]] = ..., zero_shot: _Optional[_Iterable[_Union[Score, _Mapping]]] = ..., entropy: _Optional[float] = ..., strategy: _Optional[_Union[Choice, _Mapping]] = ..., escalated: _Optional[bool] = ..., degraded: _Optional[_Union[Degraded, _Mapping]] = ..., timings: _Optional[_Union[Timings, _Mapping]] = ..., batch_rows: _Optional[int] = ..., session: _Optional[_Union[SessionStatus, _Mapping]] = ..., explanation: _Optional[_Union[Explanation, _Mapping]] = ..., label_set_id: _Optional[str] = ..., request_id: _Optional[str] = ..., reduction: _Optional[_Union[Reduction, _Mapping]] = ..., views: _Optional[int] = ..., model: _Optional[str] = ..., unseen: _Optional[_Iterable[str]] = ..., example_id: _Optional[str] = ..., asked: _Optional[bool] = ..., guarded: _Optional[bool] = ..., confidence: _Optional[_Union[Confidence, _Mapping]] = ..., warnings: _Optional[_Iterable[_Union[Warning, _Mapping]]] = ...) -> None: ...

class Confidence(_message.Message):
    __slots__ = ("confidence", "method", "lessons", "cosine", "cosine_quantile", "decision", "prediction_set", "guaranteed", "stable_label", "changed")
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    LESSONS_FIELD_NUMBER: _ClassVar[int]
    COSINE_FIELD_NUMBER: _ClassVar[int]
    COSINE_QUANTILE_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    PREDICTION_SET_FIELD_NUMBER: _ClassVar[int]
    GUARANTEED_FIELD_NUMBER: _ClassVar[int]
    STABLE_LABEL_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    confidence: float
    method: Calibrate
    lessons: int
    cosine: float
    cosine_quantile: float
    decision: Decision
    prediction_set: _containers.RepeatedScalarFieldContainer[int]
    guaranteed: bool
    stable_label: str
    changed: bool
    def __init__(self, confidence: _Optional[float] = ..., method: _Optional[_Union[Calibrate, str]] = ..., lessons: _Optional[int] = ..., cosine: _Optional[float] = ..., cosine_quantile: _Optional[float] = ..., decision: _Optional[_Union[Decision, str]] = ..., prediction_set: _Optional[_Iterable[int]] = ..., guaranteed: _Optional[bool] = ..., stable_label: _Optional[str] = ..., changed: _Optional[bool] = ...) -> None: ...

class ClassifyStreamResponse(_message.Message):
    __slots__ = ("answer", "error", "status", "draining", "lesson")
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    LESSON_FIELD_NUMBER: _ClassVar[int]
    answer: FrameAnswer
    error: FrameError
    status: StreamStatus
    draining: Draining
    lesson: LessonResult
    def __init__(self, answer: _Optional[_Union[FrameAnswer, _Mapping]] = ..., error: _Optional[_Union[FrameError, _Mapping]] = ..., status: _Optional[_Union[StreamStatus, _Mapping]] = ..., draining: _Optional[_Union[Draining, _Mapping]] = ..., lesson: _Optional[_Union[LessonResult, _Mapping]] = ...) -> None: ...

class FrameAnswer(_message.Message):
    __slots__ = ("frame_id", "capture_time", "dropped_since_last", "response")
    FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    CAPTURE_TIME_FIELD_NUMBER: _ClassVar[int]
    DROPPED_SINCE_LAST_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    frame_id: int
    capture_time: _timestamp_pb2.Timestamp
    dropped_since_last: int
    response: ClassifyResponse
    def __init__(self, frame_id: _Optional[int] = ..., capture_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., dropped_since_last: _Optional[int] = ..., response: _Optional[_Union[ClassifyResponse, _Mapping]] = ...) -> None: ...

class FrameError(_message.Message):
    __slots__ = ("frame_id", "status")
    FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    frame_id: int
    status: _status_pb2.Status
    def __init__(self, frame_id: _Optional[int] = ..., status: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class StreamStatus(_message.Message):
    __slots__ = ("credits", "suggested_fps", "load", "session")
    CREDITS_FIELD_NUMBER: _ClassVar[int]
    SUGGESTED_FPS_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    credits: int
    suggested_fps: float
    load: float
    session: SessionStatus
    def __init__(self, credits: _Optional[int] = ..., suggested_fps: _Optional[float] = ..., load: _Optional[float] = ..., session: _Optional[_Union[SessionStatus, _Mapping]] = ...) -> None: ...

class Draining(_message.Message):
    __slots__ = ("resume_token", "deadline")
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    resume_token: bytes
    deadline: _duration_pb2.Duration
    def __init__(self, resume_token: _Optional[bytes] = ..., deadline: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class PutLabelSetRequest(_message.Message):
    __slots__ = ("label_set",)
    LABEL_SET_FIELD_NUMBER: _ClassVar[int]
    label_set: LabelSet
    def __init__(self, label_set: _Optional[_Union[LabelSet, _Mapping]] = ...) -> None: ...

class PutLabelSetResponse(_message.Message):
    __slots__ = ("info",)
    INFO_FIELD_NUMBER: _ClassVar[int]
    info: LabelSetInfo
    def __init__(self, info: _Optional[_Union[LabelSetInfo, _Mapping]] = ...) -> None: ...

class GetLabelSetRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class GetLabelSetResponse(_message.Message):
    __slots__ = ("info", "label_set")
    INFO_FIELD_NUMBER: _ClassVar[int]
    LABEL_SET_FIELD_NUMBER: _ClassVar[int]
    info: LabelSetInfo
    label_set: LabelSet
    def __init__(self, info: _Optional[_Union[LabelSetInfo, _Mapping]] = ..., label_set: _Optional[_Union[LabelSet, _Mapping]] = ...) -> None: ...

class ListLabelSetsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListLabelSetsResponse(_message.Message):
    __slots__ = ("infos", "next_page_token")
    INFOS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    infos: _containers.RepeatedCompositeFieldContainer[LabelSetInfo]
    next_page_token: str
    def __init__(self, infos: _Optional[_Iterable[_Union[LabelSetInfo, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteLabelSetRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class DeleteLabelSetResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class LabelSetInfo(_message.Message):
    __slots__ = ("id", "classes", "bytes", "cached", "unseen")
    ID_FIELD_NUMBER: _ClassVar[int]
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    CACHED_FIELD_NUMBER: _ClassVar[int]
    UNSEEN_FIELD_NUMBER: _ClassVar[int]
    id: str
    classes: int
    bytes: int
    cached: bool
    unseen: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, id: _Optional[str] = ..., classes: _Optional[int] = ..., bytes: _Optional[int] = ..., cached: _Optional[bool] = ..., unseen: _Optional[_Iterable[str]] = ...) -> None: ...

class ListStrategiesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListStrategiesResponse(_message.Message):
    __slots__ = ("strategies", "default_name")
    STRATEGIES_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_NAME_FIELD_NUMBER: _ClassVar[int]
    strategies: _containers.RepeatedCompositeFieldContainer[Description]
    default_name: str
    def __init__(self, strategies: _Optional[_Iterable[_Union[Description, _Mapping]]] = ..., default_name: _Optional[str] = ...) -> None: ...

class SetStrategyStateRequest(_message.Message):
    __slots__ = ("name", "enabled")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    name: str
    enabled: bool
    def __init__(self, name: _Optional[str] = ..., enabled: _Optional[bool] = ...) -> None: ...

class SetStrategyStateResponse(_message.Message):
    __slots__ = ("disabled",)
    DISABLED_FIELD_NUMBER: _ClassVar[int]
    disabled: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, disabled: _Optional[_Iterable[str]] = ...) -> None: ...

class DeleteOwnerRequest(_message.Message):
    __slots__ = ("owner",)
    OWNER_FIELD_NUMBER: _ClassVar[int]
    owner: str
    def __init__(self, owner: _Optional[str] = ...) -> None: ...

class DeleteOwnerResponse(_message.Message):
    __slots__ = ("sessions", "lesson_groups", "label_sets", "stored")
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    LESSON_GROUPS_FIELD_NUMBER: _ClassVar[int]
    LABEL_SETS_FIELD_NUMBER: _ClassVar[int]
    STORED_FIELD_NUMBER: _ClassVar[int]
    sessions: int
    lesson_groups: int
    label_sets: int
    stored: int
    def __init__(self, sessions: _Optional[int] = ..., lesson_groups: _Optional[int] = ..., label_sets: _Optional[int] = ..., stored: _Optional[int] = ...) -> None: ...

class ListReducersRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListReducersResponse(_message.Message):
    __slots__ = ("reducers", "default_name")
    REDUCERS_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_NAME_FIELD_NUMBER: _ClassVar[int]
    reducers: _containers.RepeatedCompositeFieldContainer[Description]
    default_name: str
    def __init__(self, reducers: _Optional[_Iterable[_Union[Description, _Mapping]]] = ..., default_name: _Optional[str] = ...) -> None: ...

class Parameter(_message.Message):
    __slots__ = ("name", "type", "default_value", "minimum", "maximum", "description", "choices")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_VALUE_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_FIELD_NUMBER: _ClassVar[int]
    MAXIMUM_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    CHOICES_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: str
    default_value: _struct_pb2.Value
    minimum: _struct_pb2.Value
    maximum: _struct_pb2.Value
    description: str
    choices: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., type: _Optional[str] = ..., default_value: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., minimum: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., maximum: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., description: _Optional[str] = ..., choices: _Optional[_Iterable[str]] = ...) -> None: ...

class Description(_message.Message):
    __slots__ = ("name", "summary", "paper", "parameters", "views", "memory", "gradient", "seconds", "teachable", "disabled")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    PAPER_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    VIEWS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    GRADIENT_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    TEACHABLE_FIELD_NUMBER: _ClassVar[int]
    DISABLED_FIELD_NUMBER: _ClassVar[int]
    name: str
    summary: str
    paper: str
    parameters: _containers.RepeatedCompositeFieldContainer[Parameter]
    views: int
    memory: str
    gradient: bool
    seconds: float
    teachable: bool
    disabled: bool
    def __init__(self, name: _Optional[str] = ..., summary: _Optional[str] = ..., paper: _Optional[str] = ..., parameters: _Optional[_Iterable[_Union[Parameter, _Mapping]]] = ..., views: _Optional[int] = ..., memory: _Optional[str] = ..., gradient: _Optional[bool] = ..., seconds: _Optional[float] = ..., teachable: _Optional[bool] = ..., disabled: _Optional[bool] = ...) -> None: ...

class GetServerInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetServerInfoResponse(_message.Message):
    __slots__ = ("version", "model", "device", "precision", "image_size", "dimension", "limits", "model_fingerprint", "jpeg_side")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    IMAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    DIMENSION_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    JPEG_SIDE_FIELD_NUMBER: _ClassVar[int]
    version: str
    model: str
    device: str
    precision: str
    image_size: int
    dimension: int
    limits: _struct_pb2.Struct
    model_fingerprint: str
    jpeg_side: int
    def __init__(self, version: _Optional[str] = ..., model: _Optional[str] = ..., device: _Optional[str] = ..., precision: _Optional[str] = ..., image_size: _Optional[int] = ..., dimension: _Optional[int] = ..., limits: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., model_fingerprint: _Optional[str] = ..., jpeg_side: _Optional[int] = ...) -> None: ...

class GetSessionRequest(_message.Message):
    __slots__ = ("session_id",)
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    def __init__(self, session_id: _Optional[str] = ...) -> None: ...

class GetSessionResponse(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: SessionInfo
    def __init__(self, session: _Optional[_Union[SessionInfo, _Mapping]] = ...) -> None: ...

class ListSessionsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "all_owners")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    ALL_OWNERS_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    all_owners: bool
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., all_owners: _Optional[bool] = ...) -> None: ...

class ListSessionsResponse(_message.Message):
    __slots__ = ("sessions", "next_page_token")
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    sessions: _containers.RepeatedCompositeFieldContainer[SessionInfo]
    next_page_token: str
    def __init__(self, sessions: _Optional[_Iterable[_Union[SessionInfo, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ResetSessionRequest(_message.Message):
    __slots__ = ("session_id",)
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    def __init__(self, session_id: _Optional[str] = ...) -> None: ...

class ResetSessionResponse(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: SessionInfo
    def __init__(self, session: _Optional[_Union[SessionInfo, _Mapping]] = ...) -> None: ...

class CloseSessionRequest(_message.Message):
    __slots__ = ("session_id",)
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    def __init__(self, session_id: _Optional[str] = ...) -> None: ...

class CloseSessionResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SnapshotSessionRequest(_message.Message):
    __slots__ = ("session_id",)
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    def __init__(self, session_id: _Optional[str] = ...) -> None: ...

class SnapshotSessionResponse(_message.Message):
    __slots__ = ("snapshot",)
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    snapshot: SessionSnapshot
    def __init__(self, snapshot: _Optional[_Union[SessionSnapshot, _Mapping]] = ...) -> None: ...

class RestoreSessionRequest(_message.Message):
    __slots__ = ("snapshot", "roll_back")
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    ROLL_BACK_FIELD_NUMBER: _ClassVar[int]
    snapshot: SessionSnapshot
    roll_back: bool
    def __init__(self, snapshot: _Optional[_Union[SessionSnapshot, _Mapping]] = ..., roll_back: _Optional[bool] = ...) -> None: ...

class RestoreSessionResponse(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: SessionInfo
    def __init__(self, session: _Optional[_Union[SessionInfo, _Mapping]] = ...) -> None: ...

class SessionInfo(_message.Message):
    __slots__ = ("session_id", "frames", "memory_bytes", "strategies", "age", "idle", "epoch", "last_frame_id", "lesson_group", "lessons", "questions", "lessons_set_apart", "owner", "flips", "deferred", "drift", "resets", "rejections")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    STRATEGIES_FIELD_NUMBER: _ClassVar[int]
    AGE_FIELD_NUMBER: _ClassVar[int]
    IDLE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    LAST_FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    LESSON_GROUP_FIELD_NUMBER: _ClassVar[int]
    LESSONS_FIELD_NUMBER: _ClassVar[int]
    QUESTIONS_FIELD_NUMBER: _ClassVar[int]
    LESSONS_SET_APART_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    FLIPS_FIELD_NUMBER: _ClassVar[int]
    DEFERRED_FIELD_NUMBER: _ClassVar[int]
    DRIFT_FIELD_NUMBER: _ClassVar[int]
    RESETS_FIELD_NUMBER: _ClassVar[int]
    REJECTIONS_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    frames: int
    memory_bytes: int
    strategies: _containers.RepeatedScalarFieldContainer[str]
    age: _duration_pb2.Duration
    idle: _duration_pb2.Duration
    epoch: int
    last_frame_id: int
    lesson_group: str
    lessons: int
    questions: int
    lessons_set_apart: int
    owner: str
    flips: int
    deferred: int
    drift: float
    resets: int
    rejections: int
    def __init__(self, session_id: _Optional[str] = ..., frames: _Optional[int] = ..., memory_bytes: _Optional[int] = ..., strategies: _Optional[_Iterable[str]] = ..., age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., idle: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., epoch: _Optional[int] = ..., last_frame_id: _Optional[int] = ..., lesson_group: _Optional[str] = ..., lessons: _Optional[int] = ..., questions: _Optional[int] = ..., lessons_set_apart: _Optional[int] = ..., owner: _Optional[str] = ..., flips: _Optional[int] = ..., deferred: _Optional[int] = ..., drift: _Optional[float] = ..., resets: _Optional[int] = ..., rejections: _Optional[int] = ...) -> None: ...

class SessionSnapshot(_message.Message):
    __slots__ = ("session_id", "epoch", "state")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    epoch: int
    state: bytes
    def __init__(self, session_id: _Optional[str] = ..., epoch: _Optional[int] = ..., state: _Optional[bytes] = ...) -> None: ...

class Lesson(_message.Message):
    __slots__ = ("frame_id", "request_id", "example_id", "image", "recorded", "label", "none_of_these", "labels", "reduction")
    FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXAMPLE_ID_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    RECORDED_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    NONE_OF_THESE_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    REDUCTION_FIELD_NUMBER: _ClassVar[int]
    frame_id: int
    request_id: str
    example_id: str
    image: Image
    recorded: RecordedExample
    label: str
    none_of_these: bool
    labels: Labels
    reduction: Reduction
    def __init__(self, frame_id: _Optional[int] = ..., request_id: _Optional[str] = ..., example_id: _Optional[str] = ..., image: _Optional[_Union[Image, _Mapping]] = ..., recorded: _Optional[_Union[RecordedExample, _Mapping]] = ..., label: _Optional[str] = ..., none_of_these: _Optional[bool] = ..., labels: _Optional[_Union[Labels, _Mapping]] = ..., reduction: _Optional[_Union[Reduction, _Mapping]] = ...) -> None: ...

class LessonResult(_message.Message):
    __slots__ = ("example_id", "replaced", "learnt_by", "began_anew", "status", "stored", "set_apart")
    EXAMPLE_ID_FIELD_NUMBER: _ClassVar[int]
    REPLACED_FIELD_NUMBER: _ClassVar[int]
    LEARNT_BY_FIELD_NUMBER: _ClassVar[int]
    BEGAN_ANEW_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    STORED_FIELD_NUMBER: _ClassVar[int]
    SET_APART_FIELD_NUMBER: _ClassVar[int]
    example_id: str
    replaced: bool
    learnt_by: _containers.RepeatedScalarFieldContainer[str]
    began_anew: _containers.RepeatedScalarFieldContainer[str]
    status: _status_pb2.Status
    stored: bool
    set_apart: bool
    def __init__(self, example_id: _Optional[str] = ..., replaced: _Optional[bool] = ..., learnt_by: _Optional[_Iterable[str]] = ..., began_anew: _Optional[_Iterable[str]] = ..., status: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., stored: _Optional[bool] = ..., set_apart: _Optional[bool] = ...) -> None: ...

class RecordedExample(_message.Message):
    __slots__ = ("example_id", "features", "reduction", "seen", "thumbnail")
    EXAMPLE_ID_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    REDUCTION_FIELD_NUMBER: _ClassVar[int]
    SEEN_FIELD_NUMBER: _ClassVar[int]
    THUMBNAIL_FIELD_NUMBER: _ClassVar[int]
    example_id: str
    features: Features
    reduction: Reduction
    seen: _timestamp_pb2.Timestamp
    thumbnail: bytes
    def __init__(self, example_id: _Optional[str] = ..., features: _Optional[_Union[Features, _Mapping]] = ..., reduction: _Optional[_Union[Reduction, _Mapping]] = ..., seen: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., thumbnail: _Optional[bytes] = ...) -> None: ...

class LessonInfo(_message.Message):
    __slots__ = ("example_id", "label", "label_set_id", "seen", "frame_id", "recorded", "set_apart")
    EXAMPLE_ID_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    LABEL_SET_ID_FIELD_NUMBER: _ClassVar[int]
    SEEN_FIELD_NUMBER: _ClassVar[int]
    FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    RECORDED_FIELD_NUMBER: _ClassVar[int]
    SET_APART_FIELD_NUMBER: _ClassVar[int]
    example_id: str
    label: str
    label_set_id: str
    seen: _timestamp_pb2.Timestamp
    frame_id: int
    recorded: RecordedExample
    set_apart: bool
    def __init__(self, example_id: _Optional[str] = ..., label: _Optional[str] = ..., label_set_id: _Optional[str] = ..., seen: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., frame_id: _Optional[int] = ..., recorded: _Optional[_Union[RecordedExample, _Mapping]] = ..., set_apart: _Optional[bool] = ...) -> None: ...

class Question(_message.Message):
    __slots__ = ("example_id", "session_id", "frame_id", "label_set_id", "reason", "seen", "top", "thumbnail", "request_id")
    class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        REASON_UNSPECIFIED: _ClassVar[Question.Reason]
        REASON_ASKED: _ClassVar[Question.Reason]
        REASON_UNIFORM: _ClassVar[Question.Reason]
        REASON_DEFERRED: _ClassVar[Question.Reason]
        REASON_COLLAPSED: _ClassVar[Question.Reason]
        REASON_INFORMATIVE: _ClassVar[Question.Reason]
    REASON_UNSPECIFIED: Question.Reason
    REASON_ASKED: Question.Reason
    REASON_UNIFORM: Question.Reason
    REASON_DEFERRED: Question.Reason
    REASON_COLLAPSED: Question.Reason
    REASON_INFORMATIVE: Question.Reason
    EXAMPLE_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    LABEL_SET_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SEEN_FIELD_NUMBER: _ClassVar[int]
    TOP_FIELD_NUMBER: _ClassVar[int]
    THUMBNAIL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    example_id: str
    session_id: str
    frame_id: int
    label_set_id: str
    reason: Question.Reason
    seen: _timestamp_pb2.Timestamp
    top: _containers.RepeatedCompositeFieldContainer[Score]
    thumbnail: bytes
    request_id: str
    def __init__(self, example_id: _Optional[str] = ..., session_id: _Optional[str] = ..., frame_id: _Optional[int] = ..., label_set_id: _Optional[str] = ..., reason: _Optional[_Union[Question.Reason, str]] = ..., seen: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., top: _Optional[_Iterable[_Union[Score, _Mapping]]] = ..., thumbnail: _Optional[bytes] = ..., request_id: _Optional[str] = ...) -> None: ...

class LessonSums(_message.Message):
    __slots__ = ("label_set", "model", "reduction", "dimension", "counts", "sums", "scatter", "epsilon", "delta")
    LABEL_SET_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REDUCTION_FIELD_NUMBER: _ClassVar[int]
    DIMENSION_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    SUMS_FIELD_NUMBER: _ClassVar[int]
    SCATTER_FIELD_NUMBER: _ClassVar[int]
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    label_set: LabelSet
    model: str
    reduction: Reduction
    dimension: int
    counts: _containers.RepeatedScalarFieldContainer[int]
    sums: bytes
    scatter: bytes
    epsilon: float
    delta: float
    def __init__(self, label_set: _Optional[_Union[LabelSet, _Mapping]] = ..., model: _Optional[str] = ..., reduction: _Optional[_Union[Reduction, _Mapping]] = ..., dimension: _Optional[int] = ..., counts: _Optional[_Iterable[int]] = ..., sums: _Optional[bytes] = ..., scatter: _Optional[bytes] = ..., epsilon: _Optional[float] = ..., delta: _Optional[float] = ...) -> None: ...

class TeachSessionRequest(_message.Message):
    __slots__ = ("session_id", "lessons", "lesson_group")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    LESSONS_FIELD_NUMBER: _ClassVar[int]
    LESSON_GROUP_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    lessons: _containers.RepeatedCompositeFieldContainer[Lesson]
    lesson_group: str
    def __init__(self, session_id: _Optional[str] = ..., lessons: _Optional[_Iterable[_Union[Lesson, _Mapping]]] = ..., lesson_group: _Optional[str] = ...) -> None: ...

class TeachSessionResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[LessonResult]
    def __init__(self, results: _Optional[_Iterable[_Union[LessonResult, _Mapping]]] = ...) -> None: ...

class UnlearnRequest(_message.Message):
    __slots__ = ("session_id", "example_ids", "lesson_group")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    EXAMPLE_IDS_FIELD_NUMBER: _ClassVar[int]
    LESSON_GROUP_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    example_ids: _containers.RepeatedScalarFieldContainer[str]
    lesson_group: str
    def __init__(self, session_id: _Optional[str] = ..., example_ids: _Optional[_Iterable[str]] = ..., lesson_group: _Optional[str] = ...) -> None: ...

class UnlearnResponse(_message.Message):
    __slots__ = ("unlearnt", "began_anew", "stored")
    UNLEARNT_FIELD_NUMBER: _ClassVar[int]
    BEGAN_ANEW_FIELD_NUMBER: _ClassVar[int]
    STORED_FIELD_NUMBER: _ClassVar[int]
    unlearnt: _containers.RepeatedScalarFieldContainer[str]
    began_anew: _containers.RepeatedScalarFieldContainer[str]
    stored: bool
    def __init__(self, unlearnt: _Optional[_Iterable[str]] = ..., began_anew: _Optional[_Iterable[str]] = ..., stored: _Optional[bool] = ...) -> None: ...

class ListLessonsRequest(_message.Message):
    __slots__ = ("session_id", "page_size", "page_token", "lesson_group", "recorded")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    LESSON_GROUP_FIELD_NUMBER: _ClassVar[int]
    RECORDED_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    page_size: int
    page_token: str
    lesson_group: str
    recorded: bool
    def __init__(self, session_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., lesson_group: _Optional[str] = ..., recorded: _Optional[bool] = ...) -> None: ...

class ListLessonsResponse(_message.Message):
    __slots__ = ("lessons", "next_page_token", "label_sets")
    class LabelSetsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: LabelSet
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[LabelSet, _Mapping]] = ...) -> None: ...
    LESSONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    LABEL_SETS_FIELD_NUMBER: _ClassVar[int]
    lessons: _containers.RepeatedCompositeFieldContainer[LessonInfo]
    next_page_token: str
    label_sets: _containers.MessageMap[str, LabelSet]
    def __init__(self, lessons: _Optional[_Iterable[_Union[LessonInfo, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., label_sets: _Optional[_Mapping[str, LabelSet]] = ...) -> None: ...

class ListQuestionsRequest(_message.Message):
    __slots__ = ("session_id", "lesson_group", "page_size", "page_token", "thumbnails")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    LESSON_GROUP_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    THUMBNAILS_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    lesson_group: str
    page_size: int
    page_token: str
    thumbnails: bool
    def __init__(self, session_id: _Optional[str] = ..., lesson_group: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., thumbnails: _Optional[bool] = ...) -> None: ...

class ListQuestionsResponse(_message.Message):
    __slots__ = ("questions", "next_page_token")
    QUESTIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    questions: _containers.RepeatedCompositeFieldContainer[Question]
    next_page_token: str
    def __init__(self, questions: _Optional[_Iterable[_Union[Question, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetLessonSumsRequest(_message.Message):
    __slots__ = ("lesson_group", "labels", "reduction", "client_features", "epsilon", "delta", "clip")
    LESSON_GROUP_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    REDUCTION_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FEATURES_FIELD_NUMBER: _ClassVar[int]
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    CLIP_FIELD_NUMBER: _ClassVar[int]
    lesson_group: str
    labels: Labels
    reduction: Reduction
    client_features: bool
    epsilon: float
    delta: float
    clip: float
    def __init__(self, lesson_group: _Optional[str] = ..., labels: _Optional[_Union[Labels, _Mapping]] = ..., reduction: _Optional[_Union[Reduction, _Mapping]] = ..., client_features: _Optional[bool] = ..., epsilon: _Optional[float] = ..., delta: _Optional[float] = ..., clip: _Optional[float] = ...) -> None: ...

class GetLessonSumsResponse(_message.Message):
    __slots__ = ("sums", "epsilon_given", "delta_given")
    SUMS_FIELD_NUMBER: _ClassVar[int]
    EPSILON_GIVEN_FIELD_NUMBER: _ClassVar[int]
    DELTA_GIVEN_FIELD_NUMBER: _ClassVar[int]
    sums: _containers.RepeatedCompositeFieldContainer[LessonSums]
    epsilon_given: float
    delta_given: float
    def __init__(self, sums: _Optional[_Iterable[_Union[LessonSums, _Mapping]]] = ..., epsilon_given: _Optional[float] = ..., delta_given: _Optional[float] = ...) -> None: ...

class PutLessonSumsRequest(_message.Message):
    __slots__ = ("lesson_group", "site", "sums")
    LESSON_GROUP_FIELD_NUMBER: _ClassVar[int]
    SITE_FIELD_NUMBER: _ClassVar[int]
    SUMS_FIELD_NUMBER: _ClassVar[int]
    lesson_group: str
    site: str
    sums: _containers.RepeatedCompositeFieldContainer[LessonSums]
    def __init__(self, lesson_group: _Optional[str] = ..., site: _Optional[str] = ..., sums: _Optional[_Iterable[_Union[LessonSums, _Mapping]]] = ...) -> None: ...

class PutLessonSumsResponse(_message.Message):
    __slots__ = ("began_anew", "stored")
    BEGAN_ANEW_FIELD_NUMBER: _ClassVar[int]
    STORED_FIELD_NUMBER: _ClassVar[int]
    began_anew: _containers.RepeatedScalarFieldContainer[str]
    stored: bool
    def __init__(self, began_anew: _Optional[_Iterable[str]] = ..., stored: _Optional[bool] = ...) -> None: ...
