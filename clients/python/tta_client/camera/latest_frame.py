"""Keeps the latest frame of a live source: a thread reads the device, and a slow consumer skips old frames."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Iterable, Iterator

from ..statistics import Statistics
from ..types.frames import Frame, close_source
from .reopening import ReopeningSource

MAX_HUNG = 3  # threads that wait for a device that does not answer; with so many, no more are started
log = logging.getLogger("tta_client")


class _FrameSlot:
    """Holds one frame for the consumer. A frame that a newer one replaces is counted as overtaken."""

    def __init__(self, statistics: Statistics) -> None:
        self._changed = threading.Condition()
        self._statistics = statistics
        self._frame: Frame | None = None
        self._failure: BaseException | None = None
        self._over = False
        self.reader: threading.Thread | None = None

    def put(self, frame: Frame) -> bool:
        """Called by the reader. False: the slot is closed, or another reader has taken over."""
        with self._changed:
            if self._over or self.reader is not threading.current_thread():
                return False
            if self._frame is not None:
                self._statistics.dropped["overtaken"] += 1
            self._frame = frame
            self._changed.notify_all()
            return True

    def end(self, failure: BaseException | None = None) -> None:
        """Called by the reader after its last frame; `failure` is what ended the source."""
        with self._changed:
            if self.reader is threading.current_thread():
                self._over, self._failure = True, failure
                self._changed.notify_all()

    def close(self) -> None:
        """Called by the consumer: it takes no more frames."""
        with self._changed:
            self._over = True

    def take(self, seconds: float) -> Frame | None:
        """The latest frame, which is taken once; None after the last.

        Raises what ended the source, and TimeoutError when no frame comes within so many seconds.
        """
        with self._changed:
            changed = self._changed.wait_for(
                lambda: self._frame is not None or self._over, None if seconds == math.inf else seconds
            )
            if not changed:
                raise TimeoutError
            frame, self._frame = self._frame, None
            if frame is None and self._failure is not None:
                raise self._failure
            return frame


def keep_latest(frames: Iterable[Frame], statistics: Statistics | None = None) -> Iterator[Frame]:
    """The frames of a live source without those that a newer one has overtaken; at most one frame waits.

    A `ReopeningSource` that delivers nothing for `reconnect.stall` seconds is opened again, in another thread. Raises
    what ended the source, and OSError for such a silence when the source may not come back.
    """
    slot = _FrameSlot(statistics or Statistics())
    stall = frames.reconnect.stall if isinstance(frames, ReopeningSource) else 0.0
    hung: list[threading.Thread] = []
    _start_reader(frames, slot)
    try:
        while True:
            try:
                frame = slot.take(stall or math.inf)
            except TimeoutError:
                _reopen(frames, slot, hung)
                continue
            if frame is None:
                return
            yield frame
    finally:
        slot.close()  # the thread notices at its next frame, and closes the device
        if isinstance(frames, ReopeningSource):
            frames.close()


def _start_reader(frames: Iterable[Frame], slot: _FrameSlot) -> None:
    slot.reader = threading.Thread(target=_read_frames, args=(frames, slot), name="camera-reader", daemon=True)
    slot.reader.start()


def _reopen(frames: Iterable[Frame], slot: _FrameSlot, hung: list[threading.Thread]) -> None:
    assert isinstance(frames, ReopeningSource) and slot.reader is not None
    if not frames.may_come_back:
        raise OSError(f"the camera has sent nothing for {frames.reconnect.stall:g} s")
    hung[:] = [thread for thread in hung if thread.is_alive()]
    if len(hung) < MAX_HUNG:
        log.warning("the camera has sent nothing for %g s; opening it again", frames.reconnect.stall)
        frames.statistics.on_loss("source", f"it has sent nothing for {frames.reconnect.stall:g} s")
        hung.append(slot.reader)
        _start_reader(frames, slot)


def _read_frames(frames: Iterable[Frame], slot: _FrameSlot) -> None:
    source = iter(frames)
    try:
        for frame in source:
            if not slot.put(frame):
                return
        slot.end()
    except Exception as error:
        slot.end(error)
    finally:
        close_source(source)
