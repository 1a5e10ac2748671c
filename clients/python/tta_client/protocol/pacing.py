"""When the next frame may leave: as the service has room for it, and no faster than it asked for.

Sans-IO: the callers give the time, in seconds on one monotonic clock.
"""

from __future__ import annotations

import math

PROBE = 1.0  # seconds; a service that drops in silence, or whose news got lost, must not stop a camera for ever
QUICKEST, SLOWEST = 0.05, 0.2  # seconds between two frames of which the newer is to replace the older


class Window:
    """At most `most` frames under way: every one of them is answered, so there is always a next word to wait for."""

    def __init__(self, most: int) -> None:
        self._most = max(1, most)

    def update_credits(self, credits: int, fps: float, now: float) -> None: ...
    def record_sent(self, unanswered: int, now: float) -> None: ...
    def record_answer(self, now: float) -> None: ...
    def reset(self) -> None: ...

    def wait(self, unanswered: int, now: float) -> float:
        return 0.0 if unanswered < self._most else math.inf


class Unpaced:
    """No limit at all: an open loop, for measuring what a service does with it."""

    def update_credits(self, credits: int, fps: float, now: float) -> None: ...
    def record_sent(self, unanswered: int, now: float) -> None: ...
    def record_answer(self, now: float) -> None: ...
    def reset(self) -> None: ...

    def wait(self, unanswered: int, now: float) -> float:
        return 0.0


class Pacer:
    """One frame under way and `credits` more that may wait, `fps` apart, both as the service told them last.

    A suggested rate counts while it is fresh, so that an old one cannot hold a camera down when the load has gone.
    A `refreshing` pacer (for a service that keeps only the newest frame) does not leave a frame to grow old there: it
    sends a newer one four times within the usual time between two answers, and at least every `SLOWEST` seconds. Any
    other one probes once in a while.
    """

    def __init__(self, refreshing: bool) -> None:
        self._refreshing = refreshing
        self._interval = 4 * SLOWEST  # between answers, a moving average
        self._last_sent = self._last_added = -math.inf  # the last frame of all, and the last that replaced none
        self.reset()

    def reset(self) -> None:
        """Another call, perhaps another service: nothing has been told yet."""
        self._credits, self._fps, self._fresh_until = 0, 0.0, -math.inf
        self._last_answer = -math.inf

    def update_credits(self, credits: int, fps: float, now: float) -> None:
        """A status of the service."""
        self._credits = credits
        self._fps = fps if math.isfinite(fps) and fps > 0 else 0.0
        self._fresh_until = now + max(PROBE, 4 / self._fps) if self._fps else -math.inf

    def record_sent(self, unanswered: int, now: float) -> None:
        """A frame leaves, while so many others are under way."""
        if self._room_at(unanswered, now) <= now:
            self._last_added = now
        self._last_sent = now

    def record_answer(self, now: float) -> None:
        if math.isfinite(self._last_answer):
            self._interval += (now - self._last_answer - self._interval) / 4
        self._last_answer = now

    def wait(self, unanswered: int, now: float) -> float:
        """0: a frame may leave now; else seconds after which to ask again, if nothing is heard before."""
        again = min(SLOWEST, max(QUICKEST, self._interval / 4)) if self._refreshing else PROBE
        due = self._room_at(unanswered, now)
        if unanswered and (self._refreshing or due == math.inf):
            due = min(due, self._last_sent + again)
        return max(0.0, due - now)

    def _room_at(self, unanswered: int, now: float) -> float:
        """When there is room for one more, as far as is known."""
        spaced = self._fps > 0 and now < self._fresh_until
        if unanswered >= max(1, self._credits + spaced):
            return math.inf
        return self._last_added + 1 / self._fps if spaced else -math.inf


def make_pacer(policy: str, in_flight: int, paced: bool) -> Window | Pacer | Unpaced:
    """What paces a stream of that policy."""
    if policy == "block":
        return Window(in_flight)
    return Pacer(policy == "latest") if paced else Unpaced()
