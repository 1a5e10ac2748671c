"""Answers to an image, read from the wire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format

from ..errors import TTAClientError
from ..v1 import tta_pb2
from .confidence import Confidence, parse_confidence
from .options import Choice, parse_choice
from .values import read_fields


@dataclass(frozen=True, slots=True)
class Score:
    """The score of one class."""

    label: str
    score: float  # a probability: softmax over all labels
    logit: float
    index: int  # into the label set's names


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds inside the server, stage by stage; `total` runs from arrival to answer."""

    decode: float = 0.0
    look: float = 0.0
    queue: float = 0.0
    encode: float = 0.0
    text: float = 0.0
    turn: float = 0.0
    adapt: float = 0.0
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class Degraded:
    """How the answer falls short of the request, and why."""

    reason: str  # "deadline", "overload" or "disabled"
    views_asked: int
    views_done: int
    zero_shot: bool  # the strategy did not run, and its memory is unchanged


@dataclass(frozen=True, slots=True)
class SessionStatus:
    """The session that the answer came from."""

    session_id: str
    origin: str  # "fresh", "continued", "restored"
    frames: int
    memory_bytes: int
    memory_reset: bool  # the strategy's memory was emptied before this image
    last_frame_id: int
    lessons_set_apart: int = 0  # whose features are of another model: nothing learns from them


@dataclass(frozen=True, slots=True)
class AnswerWarning:
    """What makes an answer less trustworthy than its scores say."""

    kind: str  # "few_classes", "foreign" or "untaught_names"
    message: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The adapted scores of an image and its zero-shot scores, both in descending order."""

    top: tuple[Score, ...]
    zero_shot: tuple[Score, ...]
    entropy: float  # of the adapted scores over all labels, in nats
    strategy: Choice  # the one that answered, with all its parameters
    reducer: Choice
    views: int
    timings: Timings
    batch_rows: int
    session: SessionStatus
    degraded: Degraded | None
    escalated: bool
    explanation: Mapping[str, Any] | None
    label_set_id: str
    request_id: str
    model: str
    example_id: str = ""  # of the image in its session, for a lesson about it; empty: the session does not remember it
    asked: bool = False  # it waits as a question
    unseen: tuple[str, ...] = ()  # names absent from the text tower's training; only a stream's first answer lists them
    guarded: bool = False  # the server's guard answered without the session's memory
    confidence: Confidence | None = None  # how far it can be trusted; None: an older server
    warnings: tuple[AnswerWarning, ...] = ()

    @property
    def label(self) -> str:
        """The best class's name."""
        return self.top[0].label

    @property
    def index(self) -> int:
        """The best class's place in its label set, which tells classes of one name apart."""
        return self.top[0].index

    @property
    def score(self) -> float:
        """The best class's probability."""
        return self.top[0].score

    @property
    def flipped(self) -> bool:
        """Whether adaptation changed the best class."""
        return bool(self.zero_shot) and self.top[0].index != self.zero_shot[0].index


@dataclass(frozen=True, slots=True)
class FrameAnswer:
    """The answer to one frame. `age` runs from the frame's capture to the arrival of the answer here."""

    frame_id: int
    answer: Answer
    age: float  # seconds, on this machine's monotonic clock
    captured_ns: int  # the frame's `wall_ns`, echoed
    dropped_since_last: int  # frames that the server dropped since the previous answer
    scene: str = ""


@dataclass(frozen=True, slots=True)
class FrameFailure:
    """The error of one frame. The stream continues."""

    frame_id: int
    error: TTAClientError
    age: float
    scene: str = ""


def parse_answer(message: tta_pb2.ClassifyResponse) -> Answer:
    """An answer of the wire."""
    return read_fields(
        Answer,
        message,
        top=parse_scores(message.top),
        zero_shot=parse_scores(message.zero_shot),
        strategy=parse_choice(message.strategy),
        reducer=parse_choice(message.reduction.reducer),
        timings=read_fields(Timings, message.timings),
        session=parse_session_status(message.session),
        warnings=tuple(map(_parse_warning, message.warnings)),
        degraded=_parse_degraded(message.degraded) if message.HasField("degraded") else None,
        explanation=_to_dict(message.explanation) if message.HasField("explanation") else None,
        confidence=parse_confidence(message.confidence) if message.HasField("confidence") else None,
    )


def parse_session_status(message: tta_pb2.SessionStatus) -> SessionStatus:
    """A session status of the wire. Its origin is the enum's name in lower case, without the prefix."""
    origin = tta_pb2.SessionStatus.Origin.Name(message.origin).removeprefix("ORIGIN_").lower()
    return read_fields(SessionStatus, message, origin=origin)


def parse_scores(messages: Any) -> tuple[Score, ...]:
    """Scores of the wire."""
    return tuple(Score(m.label, m.score, m.logit, m.index) for m in messages)


def _parse_warning(message: tta_pb2.Warning) -> AnswerWarning:
    kind = tta_pb2.Warning.Kind.Name(message.kind).removeprefix("KIND_").lower()
    return AnswerWarning(kind, message.message)


def _parse_degraded(message: tta_pb2.Degraded) -> Degraded:
    reason = tta_pb2.Degraded.Reason.Name(message.reason).removeprefix("REASON_").lower()
    return read_fields(Degraded, message, reason=reason)


def _to_dict(message: tta_pb2.Explanation) -> dict[str, Any]:
    """Plain lists and dicts under the names of the proto."""
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
