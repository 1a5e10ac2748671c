"""Opens a camera again when it is lost; its frames are numbered on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace

from ..protocol.reconnect import ALWAYS, Backoff, Reconnect
from ..statistics import Statistics
from ..types.frames import Frame, close_source
from .masking import mask_secrets

log = logging.getLogger("tta_client")


class ReopeningSource:
    """The frames of `source`, which is iterated again after each OSError, until it ends without one.

    An OSError before the first frame ever is raised, unless `reconnect.from_the_start`. `close` may be called from any
    thread: it ends a pause at once, and a device at its next frame. `statistics` counts each return of the camera.
    """

    def __init__(
        self, source: Iterable[Frame], reconnect: Reconnect = ALWAYS, statistics: Statistics | None = None
    ) -> None:
        self.reconnect, self.statistics = reconnect, statistics or Statistics()
        self._source, self._closed = source, threading.Event()
        self._last, self._delivered = 0, False

    @property
    def may_come_back(self) -> bool:
        """Whether a lost source is opened again: it has delivered a frame, or waits from the start."""
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
                if self._closed.is_set():
                    return
                if not self.may_come_back:
                    raise
                pause = backoff.pause()
                log.warning("the camera is lost (%s); next attempt in %.1f s", mask_secrets(str(error)), pause)
                if self._delivered:
                    self.statistics.on_loss("source", str(error))
            finally:
                close_source(frames)
            if self._closed.wait(pause):
                return

    def close(self) -> None:
        """Ends the iteration: a pause at once, a device at its next frame."""
        self._closed.set()

    def _renumber(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        offset, returned = self._last, self._delivered
        for frame in frames:
            if self._closed.is_set():
                return
            if returned:
                log.warning("the camera is back")
                self.statistics.reconnects["source"] += 1
                self.statistics.on_return("source")
            self._delivered, returned = True, False
            self._last = offset + frame.frame_id
            yield replace(frame, frame_id=self._last) if offset else frame
