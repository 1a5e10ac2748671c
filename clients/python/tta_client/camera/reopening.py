"""A camera that comes back: opened again when it is lost, its frames numbered on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace

from ..protocol.backoff import ALWAYS, Backoff, Reconnect
from ..statistics import Statistics
from ..types.frames import Frame, close_source
from .masking import without_secrets

log = logging.getLogger("tta_client")


class Lasting:
    """The frames of a source that may be iterated again and again. An OSError is a loss; an end is an end.

    One that never gave a frame raises what is wrong with it, unless `reconnect.from_the_start`. `close` ends it from
    any thread: a pause at once, a device at its next frame.
    """

    def __init__(
        self, source: Iterable[Frame], reconnect: Reconnect = ALWAYS, statistics: Statistics | None = None
    ) -> None:
        self.reconnect, self.statistics = reconnect, statistics or Statistics()
        self._source, self._closed = source, threading.Event()
        self._last, self._delivered = 0, False

    @property
    def may_come_back(self) -> bool:
        """Whether a source that is lost may come back."""
        return self._delivered or self.reconnect.from_the_start

    def __iter__(self) -> Iterator[Frame]:
        backoff = Backoff(self.reconnect.shortest, self.reconnect.longest)
        while True:
            frames = iter(self._source)
            try:
                for frame in self._renumber(frames):
                    backoff.reset()
                    yield frame
                return
            except OSError as error:
                if not self.may_come_back:
                    raise
                pause = backoff.pause()
                log.warning("the camera is lost (%s); next attempt in %.1f s", without_secrets(str(error)), pause)
            finally:
                close_source(frames)
            if self._closed.wait(pause):
                return

    def close(self) -> None:
        self._closed.set()

    def _renumber(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        before, returned = self._last, self._delivered
        for frame in frames:
            if self._closed.is_set():
                return
            if returned:
                log.warning("the camera is back")
                self.statistics.reconnects["source"] += 1
            self._delivered, returned = True, False
            self._last = before + frame.frame_id
            yield replace(frame, frame_id=self._last) if before else frame
