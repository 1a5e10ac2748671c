"""Limits the rate and the number of frames."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace

from ..types.frames import Frame, open_frames


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
