"""Which frames are worth sending: not those that come too soon, nor those that show nothing new."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from ..statistics import Statistics
from ..types.frames import Frame, close_source
from .thumbnail import thumbnail

STEP = 25.0  # of 255: what a pixel of a thumbnail must change to count; sensor noise averages to far less
SLACK = 0.002  # seconds: cameras do not keep time to the millisecond


class Gate:
    """`motion`: the share of the picture, 0 … 1, that must have changed since the last frame let through (0: any will
    do). `shortest`: seconds from one frame let through to the next. `longest`: after so many seconds one goes through
    although nothing moved (0: never).

    It compares with what was sent last, so what changes slowly is noticed too. Its clock is the frames' own.
    """

    def __init__(self, motion: float = 0.0, shortest: float = 0.0, longest: float = 0.0) -> None:
        if not 0 <= motion < 1:
            raise ValueError(f"motion is a share of the picture, at least 0 and below 1, not {motion:g}")
        if shortest < 0 or longest < 0 or (longest and longest < shortest):
            raise ValueError("the intervals are at least 0 seconds, and the longest not below the shortest")
        self.motion, self.shortest, self._longest = motion, shortest, longest or math.inf
        self._last, self._thumbnail = -math.inf, None

    @property
    def idle(self) -> bool:
        """It lets everything through."""
        return not self.motion and not self.shortest

    def verdict(self, frame: Frame) -> Literal["", "interval", "still"]:
        """Why a frame is held back; "" lets it through."""
        since = frame.captured - self._last
        if since < self.shortest - min(SLACK, self.shortest / 4):
            return "interval"
        if self.motion:
            current = thumbnail(frame.image)
            if since < self._longest and not self._has_moved(current):
                return "still"
            self._thumbnail = current
        self._last = frame.captured
        return ""

    def forget(self) -> None:
        """What was let through last has not been answered: the next frame is as good as the first."""
        self._last, self._thumbnail = -math.inf, None

    def _has_moved(self, current: Any) -> bool:
        """A picture that nobody can read is not for the gate to judge."""
        if current is None or self._thumbnail is None:
            return True
        return float((abs(current - self._thumbnail) > STEP).mean()) > self.motion


def gated(frames: Iterable[Frame], gate: Gate, statistics: Statistics) -> Iterator[Frame]:
    """The frames that the gate lets through; after a loss the next one, for nobody has seen what had moved."""
    source, lost = iter(frames), 0
    try:
        for frame in source:
            if lost != (lost := statistics.dropped["disconnect"] + statistics.failures):
                gate.forget()
            if reason := gate.verdict(frame):
                statistics.skipped[reason] += 1
            else:
                yield frame
    finally:
        close_source(source)
