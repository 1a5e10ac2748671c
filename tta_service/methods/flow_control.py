"""Flow control of a stream: how many frames its client may send, and how fast."""

from __future__ import annotations

from ..core.moving_average import MovingAverage

STEP = 0.1  # relative change of the rate below which no update is sent


class StreamCredits:
    """How many frames a client may send, and how fast: `buffer` of them may wait, `width` are in the engine at once."""

    def __init__(self, buffer: int, width: int) -> None:
        self._buffer, self._width = buffer, width
        self._seconds: MovingAverage[float] | None = None  # from a frame's request to its answer
        self._sent = (-1, 0.0)

    def add_answer(self, seconds: float) -> None:
        """Record that a frame was answered `seconds` after it was sent to the engine."""
        if self._seconds is None:
            self._seconds = MovingAverage(8, seconds)
        self._seconds.add(seconds)

    def update(self, waiting: int) -> tuple[int, float] | None:
        """Credits and frames per second while `waiting` frames wait; None when the client already has these values.

        The first call always gives values. The rate is 0 until the first answer.
        """
        credits, fps = max(0, self._buffer - waiting), self._width / self._seconds.value if self._seconds else 0.0
        sent_credits, sent_fps = self._sent
        if credits == sent_credits and abs(fps - sent_fps) <= STEP * sent_fps:
            return None
        self._sent = credits, fps
        return self._sent
