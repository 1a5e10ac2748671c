"""Flow control of a stream: how many frames its client may send, and how fast."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ..core.errors import TTAError
from ..core.moving_average import MovingAverage
from ..serving.streams import RateLimiter

T = TypeVar("T")
BAD, FIRST, LONGEST = 8, 0.01, 1.0  # bad pictures that cost nothing; seconds before the next one, and at most
MOST_BAD = BAD + 8  # that count
STEP = 0.1  # relative change of the rate below which no update is sent


class StreamCredits:
    """How many frames a client may send, and how fast: `buffer` of them may wait."""

    def __init__(self, buffer: int) -> None:
        self._buffer = buffer
        self._seconds: MovingAverage[float] | None = None  # that the engine takes for one more frame
        self._sent = (-1, 0.0)

    def add_answer(self, seconds: float, at_once: int = 1) -> None:
        """Record that a frame was answered `seconds` after it was sent to the engine, where `at_once` frames were."""
        each = seconds / at_once
        if self._seconds is None:
            self._seconds = MovingAverage(8, each)
        self._seconds.add(each)

    def update(self, waiting: int) -> tuple[int, float] | None:
        """Credits and frames per second while `waiting` frames wait; None when the client already has these values.

        The first call always gives values. The rate is 0 until the first answer.
        """
        credits, fps = max(0, self._buffer - waiting), 1 / self._seconds.value if self._seconds else 0.0
        sent_credits, sent_fps = self._sent
        if credits == sent_credits and abs(fps - sent_fps) <= STEP * sent_fps:
            return None
        self._sent = credits, fps
        return self._sent


class ReadingPace:
    """How fast a stream is read: at most `fps` frames a second (0: no limit).

    The more bad pictures come, the longer the next message waits, up to `LONGEST` seconds; a good one takes one back.
    """

    def __init__(self, fps: float) -> None:
        self._limiter, self._bad = RateLimiter(fps), 0

    def add(self, bad: bool) -> bool:
        """A frame was answered, or refused as a `bad` picture. Whether there are bad ones that count."""
        self._bad = min(self._bad + 1, MOST_BAD) if bad else max(0, self._bad - 1)
        return self._bad > 0

    def delay(self, now: float) -> float:
        """Counts a frame that was read at `now` (monotonic seconds). Returns the seconds until the next may follow."""
        penalty = FIRST * 2.0 ** (self._bad - BAD) if self._bad > BAD else 0.0
        return max(self._limiter.delay(now), min(LONGEST, penalty))


class FramesInEngine:
    """How many frames of a stream the engine has, for those who wait until one of them is done."""

    def __init__(self) -> None:
        self.frames, self._done = 0, asyncio.Event()

    def begin(self) -> None:
        """The engine has one frame more."""
        self.frames += 1

    def end(self) -> None:
        """It has one less."""
        self.frames -= 1
        self._done.set()

    async def retry(self, attempt: Callable[[], Awaitable[T]], may_pass: Callable[[TTAError], bool]) -> T:
        """The result of `attempt()`, again after each frame that is done for as long as its error may pass."""
        while True:
            self._done.clear()
            try:
                return await attempt()
            except TTAError as error:
                if not may_pass(error):
                    raise
            await self._done.wait()
