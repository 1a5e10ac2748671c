"""Pictures of the source on their way into the queue of frames to send."""

from __future__ import annotations

from typing import Any

from ..errors import TTAClientError
from ..statistics import Statistics
from ..types.answers import FrameFailure
from ..types.frames import Frame, FrameNumbers, measure_age
from ..types.values import to_plain
from .send_queue import SendQueue


class Intake:
    """Numbers the pictures of one stream. What cannot be sent becomes a failure, in its place between the answers."""

    def __init__(self, queue: SendQueue, statistics: Statistics) -> None:
        self._queue, self._statistics, self._numbers = queue, statistics, FrameNumbers()

    def add(self, picture: Any, wanted: bool) -> None:
        """Takes an item of the source; any image that is no `Frame` becomes one, captured now.

        Unless it is `wanted`, it is lost with the connection.
        """
        try:
            frame = self._numbers.make_frame(picture)
        except TTAClientError as error:
            return self._fail(self._numbers.last, picture, error)
        if wanted:
            self._queue.add(frame)
        else:
            self._statistics.dropped["disconnect"] += 1

    def fail(self, frame: Frame, error: TTAClientError) -> None:
        """The frame cannot be sent; the stream continues without it."""
        if self._queue.withdraw(frame):
            self._statistics.sent -= 1
            self._fail(frame.frame_id, frame, error)

    def _fail(self, place: int, item: Any, error: TTAClientError) -> None:
        number, scene = (item.frame_id, item.scene) if isinstance(item, Frame) else (place + 1, "")
        failure = FrameFailure(to_plain(number), error, measure_age(item), scene)
        if gone := self._queue.add_failure(place, failure):
            self._statistics.dropped["unreadable"] += gone
