"""What comes back for a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from google.protobuf import json_format

from ..errors import TTAClientError
from ..v1 import tta_pb2
from .options import Choice, parse_choice


@dataclass(frozen=True, slots=True)
class Score:
    label: str
    score: float  # softmax over all labels
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
    """Less was done than asked."""

    reason: str  # "deadline", "overload", "memory"
    views_asked: int
    views_done: int
    zero_shot: bool  # the strategy was not run and its memory not touched


@dataclass(frozen=True, slots=True)
class SessionStatus:
    session_id: str
    origin: str  # "fresh", "continued", "restored"
    frames: int
    memory_bytes: int
    memory_reset: bool  # the strategy's memory began anew with this picture
    last_frame_id: int


@dataclass(frozen=True, slots=True)
class Answer:
    """Adapted scores and, beside them, the un-adapted ones of the same picture; both best first."""

    top: tuple[Score, ...]
    zero_shot: tuple[Score, ...]
    entropy: float  # of the adapted scores over all labels, nats
    strategy: Choice  # what really answered, with all its parameters
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
    unseen: tuple[str, ...] = ()  # names that the text tower was never taught; on a stream told once for its labels

    @property
    def label(self) -> str:
        return self.top[0].label

    @property
    def index(self) -> int:
        """Of the label in its set, which tells classes of one name apart."""
        return self.top[0].index

    @property
    def score(self) -> float:
        return self.top[0].score

    @property
    def flipped(self) -> bool:
        """Did adapting change the answer?"""
        return bool(self.zero_shot) and self.top[0].index != self.zero_shot[0].index


@dataclass(frozen=True, slots=True)
class FrameAnswer:
    """The answer to one frame. `age` is measured here, from its capture to the arrival of the answer."""

    frame_id: int
    answer: Answer
    age: float  # seconds, on this machine's monotonic clock
    captured_ns: int  # the echoed capture time
    dropped_since_last: int  # frames that the server dropped since the previous answer
    scene: str = ""


@dataclass(frozen=True, slots=True)
class FrameFailure:
    """One frame went wrong; the stream goes on."""

    frame_id: int
    error: TTAClientError
    age: float
    scene: str = ""


def parse_answer(message: tta_pb2.ClassifyResponse) -> Answer:
    explained = message.HasField("explanation")
    return Answer(
        top=_scores(message.top),
        zero_shot=_scores(message.zero_shot),
        entropy=message.entropy,
        strategy=parse_choice(message.strategy),
        reducer=parse_choice(message.reduction.reducer),
        views=message.views,
        timings=Timings(**{stage.name: getattr(message.timings, stage.name) for stage in fields(Timings)}),
        batch_rows=message.batch_rows,
        session=parse_session_status(message.session),
        degraded=_degraded(message.degraded) if message.HasField("degraded") else None,
        escalated=message.escalated,
        explanation=_to_dict(message.explanation) if explained else None,
        label_set_id=message.label_set_id,
        request_id=message.request_id,
        model=message.model,
        unseen=tuple(message.unseen),
    )


def parse_session_status(message: tta_pb2.SessionStatus) -> SessionStatus:
    return SessionStatus(
        message.session_id,
        tta_pb2.SessionStatus.Origin.Name(message.origin).removeprefix("ORIGIN_").lower(),
        message.frames,
        message.memory_bytes,
        message.memory_reset,
        message.last_frame_id,
    )


def _scores(messages: Any) -> tuple[Score, ...]:
    return tuple(Score(m.label, m.score, m.logit, m.index) for m in messages)


def _degraded(message: tta_pb2.Degraded) -> Degraded:
    reason = tta_pb2.Degraded.Reason.Name(message.reason).removeprefix("REASON_").lower()
    return Degraded(reason, message.views_asked, message.views_done, message.zero_shot)


def _to_dict(message: tta_pb2.Explanation) -> dict[str, Any]:
    """Plain lists and dicts under the names of the proto."""
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
