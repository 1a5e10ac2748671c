"""Questions: images that a session asks a person about."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..v1 import tta_pb2
from .answers import Score, parse_scores
from .values import read_fields


@dataclass(frozen=True, slots=True)
class Question:
    """An image that waits until a lesson about its `example_id` says what it shows."""

    example_id: str
    session_id: str
    frame_id: int | None  # None: it was no frame of a stream
    request_id: str
    label_set_id: str
    reason: str  # "asked": by `Options.ask`; "uniform": drawn; "deferred": the answer was; "collapsed": as others were;
    # "informative": unsure, and unlike what was asked about before
    seen: float  # Unix seconds, when the image came
    top: tuple[Score, ...]  # as it was answered, best first
    thumbnail: bytes = field(default=b"", repr=False)  # JPEG; empty: not asked for, or the server makes none


def parse_question(message: Any) -> Question:
    """A question from its message."""
    return read_fields(
        Question,
        message,
        frame_id=message.frame_id if message.HasField("frame_id") else None,
        reason=tta_pb2.Question.Reason.Name(message.reason).removeprefix("REASON_").lower(),
        seen=message.seen.ToNanoseconds() / 1e9,
        top=parse_scores(message.top),
    )
