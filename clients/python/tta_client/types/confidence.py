"""How far an answer can be trusted."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import make_refusal
from ..v1 import tta_pb2
from .values import check_kind, parse_number, parse_unsigned, read_fields

CALIBRATE = {
    "none": tta_pb2.CALIBRATE_NONE,
    "zero_shot_range": tta_pb2.CALIBRATE_ZERO_SHOT_RANGE,
    "lessons": tta_pb2.CALIBRATE_LESSONS,
}


@dataclass(frozen=True, slots=True)
class Smooth:
    """When a label is stable: its mean confidence over the `window` reaches `enter`, until it falls below `leave`."""

    window: int | None = None  # frames
    enter: float | None = None
    leave: float | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """The session asks by itself, at most `per_hour` times: where a word teaches most, and a quarter by chance."""

    per_hour: float


@dataclass(frozen=True, slots=True)
class Confidence:
    """How far the answer can be trusted."""

    confidence: float  # probability that the best label is right
    method: str  # that made it: "none", "zero_shot_range", "lessons"
    lessons: int  # about frames that were drawn uniformly
    cosine: float  # between the image and the nearest label's text
    cosine_quantile: float | None  # share of the session's last cosines that are lower; None: it is the first
    decision: str  # "answer", "defer", "none_of_these"
    prediction_set: tuple[int, ...]  # with `coverage`: indices of labels, the most probable first
    guaranteed: bool  # the set holds the right label as often as was asked for
    stable_label: str  # with `smooth`; empty: none is stable
    changed: bool  # another label became stable with this frame, or none is any more


def parse_confidence(message: tta_pb2.Confidence) -> Confidence:
    """A confidence of the wire."""
    return read_fields(
        Confidence,
        message,
        method=tta_pb2.Calibrate.Name(message.method).removeprefix("CALIBRATE_").lower(),
        decision=tta_pb2.Decision.Name(message.decision).removeprefix("DECISION_").lower(),
        cosine_quantile=message.cosine_quantile if message.HasField("cosine_quantile") else None,
    )


def make_smooth_message(smooth: Smooth, path: str) -> tta_pb2.Smooth:
    """For the field at `path`. Raises `Refused`, naming a field there."""
    message, smooth = tta_pb2.Smooth(), check_kind(smooth, Smooth, path)
    if smooth.window is not None:
        message.window = parse_unsigned(smooth.window, f"{path}.window", bits=32)
    for name in ("enter", "leave"):
        if (value := getattr(smooth, name)) is not None:
            setattr(message, name, parse_number(value, f"{path}.{name}"))
    return message


def look_up_calibrate(name: str, path: str) -> tta_pb2.Calibrate:
    """The number of a method. Raises `Refused`."""
    if name not in CALIBRATE:
        raise make_refusal(f"there is no {name!r}, only {', '.join(CALIBRATE)}", path)
    return CALIBRATE[name]
