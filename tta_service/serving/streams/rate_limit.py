"""How often something may happen in the long run, whatever the short one is like."""

from __future__ import annotations


class RateLimiter:
    """`rate` times a second, of which `burst` seconds' worth may come at once; a `rate` of 0 is no bound.

    The caller gives the time, in seconds on one monotonic clock, and does the resting.
    """

    def __init__(self, rate: float, burst: float = 0.25) -> None:
        self._interval, self._burst = 1 / rate if rate else 0.0, burst
        self._due = float("-inf")  # when the next one would come if all of them came evenly

    def delay(self, now: float) -> float:
        """It has happened once more. Seconds until it may happen again."""
        self._due = max(self._due, now - self._burst) + self._interval
        return max(0.0, self._due - now)
