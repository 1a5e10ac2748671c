"""Frames at a steady rate, and only so many of them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace

from ..types.frames import Frame, close_source


def paced(frames: Iterable[Frame], fps: float) -> Iterator[Frame]:
    """At most `fps` frames a second (0: no limit), captured when they leave here. A late one makes none earlier."""
    source, due = iter(frames), time.monotonic()
    try:
        for frame in source:
            if fps:
                time.sleep(max(0.0, due - time.monotonic()))
                due = max(due, time.monotonic() - 1 / fps) + 1 / fps
                frame = replace(frame, captured=time.monotonic(), wall_ns=time.time_ns())
            yield frame
    finally:
        close_source(source)


def first(frames: Iterable[Frame], most: int) -> Iterator[Frame]:
    """The first `most` frames (0: all)."""
    source = iter(frames)
    try:
        yield from itertools.islice(source, most or None)
    finally:
        close_source(source)
