"""What holds frames back: the gate, for those that show nothing new, and limits of their rate and number."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Literal

from ..statistics import Statistics
from ..types.frames import Frame, open_frames
from ..types.pixels import SampleDepth
from .extras import import_package
from .pictures import decode_picture

SIZE = (64, 48)  # of a thumbnail, width and height: noise averages out, a person across the street stays visible
STEP = 25.0  # of 255: a thumbnail's pixel that changes by more has changed; sensor noise averages to far less
TOLERANCE = 0.002  # seconds: the intervals of cameras vary by as much


class Gate:
    """Decides frame by frame, by the frames' own capture times.

    `motion` is the share of the picture, 0 to 1, that must differ from the last frame that passed; 0 passes all.
    `shortest` is the least number of seconds between two frames that pass. After `longest` seconds one passes although
    nothing moved; 0 means never. Slow changes add up, because the comparison is with the last frame that passed.
    Raises ValueError for values outside these ranges.
    """

    def __init__(self, motion: float = 0.0, shortest: float = 0.0, longest: float = 0.0) -> None:
        if not 0 <= motion < 1:
            raise ValueError(f"motion is a share of the picture, at least 0 and below 1, not {motion:g}")
        if shortest < 0 or longest < 0 or (longest and longest < shortest):
            raise ValueError("the intervals are at least 0 seconds, and the longest not below the shortest")
        self.motion, self.shortest, self._longest = motion, shortest, longest or math.inf
        self._last, self._thumbnail, self._depth = -math.inf, None, SampleDepth()

    @property
    def idle(self) -> bool:
        """Whether it passes every frame."""
        return not self.motion and not self.shortest

    def check(self, frame: Frame) -> Literal["", "interval", "still"]:
        """Why the frame is held back; "" if it passes."""
        since = frame.captured - self._last
        if since < self.shortest - min(TOLERANCE, self.shortest / 4):
            return "interval"
        if self.motion:
            current = make_thumbnail(frame.image, self._depth)
            if since < self._longest and not self._has_moved(current):
                return "still"
            self._thumbnail = current
        self._last = frame.captured
        return ""

    def forget(self) -> None:
        """Lets the next frame pass as if it were the first, after a frame that passed has been lost."""
        self._last, self._thumbnail = -math.inf, None

    def _has_moved(self, current: Any) -> bool:
        """True also for a picture that cannot be read: the client and the service report it."""
        if current is None or self._thumbnail is None:
            return True
        return float((abs(current - self._thumbnail) > STEP).mean()) > self.motion


def apply_gate(frames: Iterable[Frame], gate: Gate, statistics: Statistics) -> Iterator[Frame]:
    """The frames that pass the gate. After a lost or failed frame the next one passes: the motion is still to be sent.

    Frames that are held back are counted in `statistics.skipped`.
    """
    losses = 0
    with open_frames(frames) as source:
        for frame in source:
            if losses != (losses := statistics.dropped["disconnect"] + statistics.failures):
                gate.forget()
            if reason := gate.check(frame):
                statistics.skipped[reason] += 1
            else:
                yield frame


def make_thumbnail(picture: Any, depth: SampleDepth | None = None) -> Any:
    """A gray picture [48, 64] float32, 0 to 255; None for what cannot be read as a picture.

    `picture` and `depth` are what `decode_picture` reads. Raises OSError if OpenCV is not installed.
    """
    cv2 = import_package("cv2", "OpenCV", "the motion gate")
    import numpy as np

    try:
        array = np.ascontiguousarray(decode_picture(picture, cv2.IMREAD_REDUCED_GRAYSCALE_2, depth))
        small = cv2.resize(array, SIZE, interpolation=cv2.INTER_AREA)
    except Exception:  # decoders raise errors of many types
        return None
    return np.float32(small if small.ndim == 2 else cv2.cvtColor(small, cv2.COLOR_BGR2GRAY))


def limit_rate(frames: Iterable[Frame], fps: float) -> Iterator[Frame]:
    """At most `fps` frames a second (0: no limit), captured when they are delivered. Lost time is not caught up."""
    due = time.monotonic()
    with open_frames(frames) as source:
        for frame in source:
            if fps:
                time.sleep(max(0.0, due - time.monotonic()))
                due = max(due, time.monotonic() - 1 / fps) + 1 / fps
                frame = replace(frame, captured=time.monotonic(), wall_ns=time.time_ns())
            yield frame


def limit_count(frames: Iterable[Frame], count: int) -> Iterator[Frame]:
    """The first `count` frames (0: all)."""
    with open_frames(frames) as source:
        yield from itertools.islice(source, count or None)
