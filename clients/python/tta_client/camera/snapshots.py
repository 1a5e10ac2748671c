"""A source that polls a camera, which answers each request with one picture."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from ..statistics import Statistics
from ..types.frames import Frame, close_source
from .video import NoPicture, Video, count_damaged
from .video_reader import MAX_DAMAGED


@dataclass(frozen=True, slots=True)
class Snapshots:
    """Requests a picture from `url` every `interval` seconds. `options` and `statistics` are those of `Video`.

    Iterating raises OSError when the camera does not answer, and for `MAX_DAMAGED` damaged pictures in a row.
    """

    url: str = field(repr=False)
    interval: float
    options: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    statistics: Statistics = field(default_factory=Statistics, compare=False)
    live: bool = True

    def __iter__(self) -> Iterator[Frame]:
        number = damaged = 0
        due = time.monotonic()
        while True:
            time.sleep(max(0.0, due - time.monotonic()))
            due = max(due, time.monotonic() - self.interval) + self.interval
            camera = Video(self.url, options=self.options)
            picture = iter(camera)
            try:
                frame = replace(next(picture), frame_id=number + 1)
            except NoPicture:
                count_damaged(camera.name, self.statistics)
                if (damaged := damaged + 1) >= MAX_DAMAGED:
                    raise
                continue
            finally:
                close_source(picture)
            number, damaged = number + 1, 0
            yield frame
