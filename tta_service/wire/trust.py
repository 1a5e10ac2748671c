"""How far an answer is to be trusted, in options: from messages to core values."""

from __future__ import annotations

from ..confidence.smoothing import is_steady
from ..core.errors import BadRequest
from ..core.trust import Calibrate, Smoothing, TrustOptions
from .v1 import tta_pb2 as pb

CALIBRATE: dict[int, Calibrate] = {
    pb.CALIBRATE_UNSPECIFIED: "none",
    pb.CALIBRATE_NONE: "none",
    pb.CALIBRATE_ZERO_SHOT_RANGE: "zero_shot_range",
    pb.CALIBRATE_LESSONS: "lessons",
}
MOST_AN_HOUR = 1000  # questions


def parse_trust(message: pb.Options, path: str) -> TrustOptions:
    """What the options at `path` ask for. Raises `BadRequest`, naming the field."""
    if message.calibrate not in CALIBRATE:
        raise BadRequest(f"there is no choice {message.calibrate}", f"{path}.calibrate")
    coverage = message.coverage if message.HasField("coverage") else None
    if coverage is not None and not 0 < coverage < 1:
        raise BadRequest(f"{coverage:g} is not between 0 and 1", f"{path}.coverage")
    if not 0 <= message.admit_below < 1:
        raise BadRequest(f"{message.admit_below:g} is not at least 0 and below 1", f"{path}.admit_below")
    return TrustOptions(
        calibrate=CALIBRATE[message.calibrate],
        defer_below=_optional(message, "defer_below", 0.0, path),
        coverage=coverage,
        none_below=_optional(message, "none_below", -1.0, path),
        admit_below=message.admit_below,
        smooth=_parse_smoothing(message.smooth, f"{path}.smooth") if message.HasField("smooth") else None,
        ask_per_hour=_parse_asking(message.asking, f"{path}.asking") if message.HasField("asking") else None,
    )


def _optional(message: pb.Options, name: str, least: float, path: str) -> float | None:
    if not message.HasField(name):  # type: ignore[arg-type]
        return None
    value: float = getattr(message, name)
    if not least <= value <= 1:
        raise BadRequest(f"{value:g} is not within {least:g} and 1", f"{path}.{name}")
    return value


def _parse_smoothing(message: pb.Smooth, path: str) -> Smoothing:
    window = message.window if message.HasField("window") else 5
    enter = message.enter if message.HasField("enter") else 0.5
    leave = message.leave if message.HasField("leave") else min(0.3, enter)
    if not 2 <= window <= 64:
        raise BadRequest(f"{window} frames; a window has 2 to 64", f"{path}.window")
    if not 0 < enter <= 1:
        raise BadRequest(f"{enter:g} is not above 0 and at most 1", f"{path}.enter")
    if not 0 <= leave <= enter:
        raise BadRequest(f"{leave:g} is not within 0 and `enter`, {enter:g}", f"{path}.leave")
    if not is_steady(smoothing := Smoothing(window, enter, leave)):
        sentence = f"one odd frame of {window} could flip the state: enter is above {1 / window:.3g}"
        raise BadRequest(f"{sentence}, leave at most {1 - 1 / window:.3g}", path)
    return smoothing


def _parse_asking(message: pb.Asking, path: str) -> float:
    if not 0 < message.per_hour <= MOST_AN_HOUR:
        raise BadRequest(f"{message.per_hour:g} is not above 0 and at most {MOST_AN_HOUR}", f"{path}.per_hour")
    return message.per_hour
