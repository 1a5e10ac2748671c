"""Always the newest frame: a thread drains the device, whoever is slow skips what is old."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Iterable, Iterator

from ..statistics import Statistics
from ..types.frames import Frame, close_source
from .reopening import Lasting

MAX_HUNG = 3  # threads that may wait for a device that does not answer; then there will be no more of them
log = logging.getLogger("tta_client")


class _Slot:
    """Room for one frame, filled by one thread. What a newer frame replaces is counted and forgotten."""

    def __init__(self, statistics: Statistics) -> None:
        self._changed = threading.Condition()
        self._statistics = statistics
        self._frame: Frame | None = None
        self._failure: BaseException | None = None
        self._over = False
        self.filler: threading.Thread | None = None

    def put(self, frame: Frame) -> bool:
        """False: nobody wants frames of this thread any more."""
        with self._changed:
            if self._over or self.filler is not threading.current_thread():
                return False
            if self._frame is not None:
                self._statistics.dropped["overtaken"] += 1
            self._frame = frame
            self._changed.notify_all()
            return True

    def end(self, failure: BaseException | None = None) -> None:
        with self._changed:
            if self.filler is threading.current_thread():
                self._over, self._failure = True, failure
                self._changed.notify_all()

    def leave(self) -> None:
        """Nobody takes frames any more."""
        with self._changed:
            self._over = True

    def take(self, seconds: float) -> Frame | None:
        """The newest frame not yet taken; None after the last. Raises what ended the source, TimeoutError when none
        comes within so many seconds."""
        with self._changed:
            there = self._changed.wait_for(
                lambda: self._frame is not None or self._over, None if seconds == math.inf else seconds
            )
            if not there:
                raise TimeoutError
            frame, self._frame = self._frame, None
            if frame is None and self._failure is not None:
                raise self._failure
            return frame


def newest(frames: Iterable[Frame], statistics: Statistics | None = None) -> Iterator[Frame]:
    """The frames of a live source, leaving out those that a newer one has overtaken; at most one waits.

    A `Lasting` source from which nothing comes for `reconnect.stall` seconds is opened anew, in another thread.
    """
    slot = _Slot(statistics or Statistics())
    stall = frames.reconnect.stall if isinstance(frames, Lasting) else 0.0
    hung: list[threading.Thread] = []
    _drain(frames, slot)
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
        slot.leave()  # the thread sees it at its next frame, and lets the device go
        if isinstance(frames, Lasting):
            frames.close()


def _drain(frames: Iterable[Frame], slot: _Slot) -> None:
    slot.filler = threading.Thread(target=_grab, args=(frames, slot), name="grabber", daemon=True)
    slot.filler.start()


def _reopen(frames: Iterable[Frame], slot: _Slot, hung: list[threading.Thread]) -> None:
    assert isinstance(frames, Lasting) and slot.filler is not None
    if not frames.may_come_back:
        raise OSError(f"the camera has said nothing for {frames.reconnect.stall:g} s")
    hung[:] = [thread for thread in hung if thread.is_alive()]
    if len(hung) < MAX_HUNG:
        log.warning("the camera has said nothing for %g s; opening it anew", frames.reconnect.stall)
        hung.append(slot.filler)
        _drain(frames, slot)


def _grab(frames: Iterable[Frame], slot: _Slot) -> None:
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
