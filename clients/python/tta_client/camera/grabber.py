"""Always the newest frame: a thread drains the device, whoever is slow skips what is old."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

from ..frames import Frame, let_go


class _Slot:
    """Room for one frame. What `put` replaces is forgotten."""

    def __init__(self) -> None:
        self._moved = threading.Condition()
        self._frame: Frame | None = None
        self._failure: BaseException | None = None
        self.over = False

    def put(self, frame: Frame) -> None:
        with self._moved:
            self._frame = frame
            self._moved.notify_all()

    def end(self, failure: BaseException | None = None) -> None:
        with self._moved:
            self.over, self._failure = True, failure
            self._moved.notify_all()

    def take(self) -> Frame | None:
        """The newest frame not yet taken, waiting for one; None after the last. Raises what ended the source."""
        with self._moved:
            self._moved.wait_for(lambda: self._frame is not None or self.over)
            frame, self._frame = self._frame, None
            if frame is None and self._failure is not None:
                raise self._failure
            return frame


def newest(frames: Iterable[Frame]) -> Iterator[Frame]:
    """The frames of a live source, leaving out those that a newer one has overtaken; at most one waits."""
    slot = _Slot()
    threading.Thread(target=_grab, args=(frames, slot), name="grabber", daemon=True).start()
    try:
        while (frame := slot.take()) is not None:
            yield frame
    finally:
        slot.end()  # the thread sees it at its next frame, and lets the device go


def _grab(frames: Iterable[Frame], slot: _Slot) -> None:
    source = iter(frames)
    try:
        for frame in source:
            if slot.over:
                break
            slot.put(frame)
        slot.end()
    except Exception as error:
        slot.end(error)
    finally:
        let_go(source)
