"""How much a camera may send, and how fast: what its stream is told, and when."""

from __future__ import annotations

STEP = 0.1  # of the rate that was told last; a smaller change is no news


class StreamCredits:
    """Of one stream: `buffer` frames may wait, `width` are in the hallway at once."""

    def __init__(self, buffer: int, width: int) -> None:
        self._buffer, self._width = buffer, width
        self._seconds = 0.0  # from the door to the answer, moving average; 0: none yet
        self._sent = (-1, 0.0)

    def add_answer(self, seconds: float) -> None:
        """One more frame has its answer, `seconds` after it came to the door."""
        self._seconds += (seconds - self._seconds) / (8 if self._seconds else 1)

    def update(self, waiting: int) -> tuple[int, float] | None:
        """Credits and frames a second, when they differ from what was told last; None: nothing new.

        `waiting` frames wait. The first time it is news in any case; the rate is 0 as long as nothing was answered.
        """
        credits, fps = max(0, self._buffer - waiting), self._width / self._seconds if self._seconds else 0.0
        sent_credits, sent_fps = self._sent
        if credits == sent_credits and abs(fps - sent_fps) <= STEP * sent_fps:
            return None
        self._sent = credits, fps
        return self._sent
