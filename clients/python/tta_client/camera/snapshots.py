"""A camera that answers each request with one picture."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from ..statistics import Statistics
from ..types.frames import Frame, close_source
from .reel import MANY
from .video import NoPicture, Video, warn_left_out


@dataclass(frozen=True, slots=True)
class Snapshots:
    """Asks `url` for a picture every `interval` seconds. `options` and `statistics` as for `Video`.

    Raises OSError for a camera that does not answer, and for many damaged pictures in a row.
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
                warn_left_out(camera.name, self.statistics)
                if (damaged := damaged + 1) >= MANY:
                    raise
                continue
            finally:
                close_source(picture)
            number, damaged = number + 1, 0
            yield frame
