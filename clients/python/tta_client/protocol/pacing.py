"""When the next frame may be sent: as soon as the service has room for it, and no faster than it suggests.

The callers give the time, in seconds on one monotonic clock.
"""

from __future__ import annotations

import math

PROBE = 1.0  # seconds; a camera sends again after this even if the service reports no room, as a report may be lost
# Seconds, bounds of the pause before a newer frame replaces one that waits in the service.
QUICKEST, SLOWEST = 0.05, 0.2


class Window:
    """At most `most` unanswered frames, for a stream that answers every frame; infinity is an open loop.

    Both pacers have these methods; `Pacer` documents them.
    """

    def __init__(self, most: float) -> None:
        self._most = max(1, most)

    def update_credits(self, credits: int, fps: float, now: float) -> None: ...
    def record_sent(self, unanswered: int, now: float) -> None: ...
    def record_answer(self, now: float) -> None: ...
    def reset(self) -> None: ...

    def wait(self, unanswered: int, now: float) -> float:
        return 0.0 if unanswered < self._most else math.inf


class Pacer:
    """One unanswered frame and `credits` more, `fps` apart, both as the service last reported them.

    A suggested rate expires, so that an old one does not slow a camera down after the load has gone. A `refreshing`
    pacer (for a service that keeps only the newest frame) keeps the waiting frame fresh: it sends a newer one four
    times within the usual time between two answers, and at least every `SLOWEST` seconds. Any other pacer sends one
    frame every `PROBE` seconds when there is no room.
    """

    def __init__(self, refreshing: bool) -> None:
        self._refreshing = refreshing
        self._interval = 4 * SLOWEST  # seconds between answers, a moving average
        self._last_sent = self._last_added = -math.inf  # times of the last frame, and of the last that replaced none
        self.reset()

    def reset(self) -> None:
        """A new call, perhaps to another server: forgets credits and rate."""
        self._credits, self._fps, self._fresh_until = 0, 0.0, -math.inf
        self._last_answer = -math.inf

    def update_credits(self, credits: int, fps: float, now: float) -> None:
        """The service reported its credits and suggested rate in frames per second (0: none)."""
        self._credits = credits
        self._fps = fps if math.isfinite(fps) and fps > 0 else 0.0
        self._fresh_until = now + max(PROBE, 4 / self._fps) if self._fps else -math.inf

    def record_sent(self, unanswered: int, now: float) -> None:
        """A frame is sent while `unanswered` others have no answer."""
        if self._room_at(unanswered, now) <= now:
            self._last_added = now
        self._last_sent = now

    def record_answer(self, now: float) -> None:
        """An answer came; the time between two is averaged."""
        if math.isfinite(self._last_answer):
            self._interval += (now - self._last_answer - self._interval) / 4
        self._last_answer = now

    def wait(self, unanswered: int, now: float) -> float:
        """0: a frame may be sent now; otherwise seconds after which to ask again, if no reply comes before."""
        pause = min(SLOWEST, max(QUICKEST, self._interval / 4)) if self._refreshing else PROBE
        due = self._room_at(unanswered, now)
        if unanswered and (self._refreshing or due == math.inf):
            due = min(due, self._last_sent + pause)
        return max(0.0, due - now)

    def _room_at(self, unanswered: int, now: float) -> float:
        """The time from which there is room for one more frame; infinity: after an answer."""
        spaced = self._fps > 0 and now < self._fresh_until
        if unanswered >= max(1, self._credits + spaced):
            return math.inf
        return self._last_added + 1 / self._fps if spaced else -math.inf


def make_pacer(policy: str, in_flight: int, paced: bool) -> Window | Pacer:
    """The pacer for a stream of that policy."""
    if policy == "block":
        return Window(in_flight)
    return Pacer(policy == "latest") if paced else Window(math.inf)
