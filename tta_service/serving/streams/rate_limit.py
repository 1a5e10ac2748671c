"""A limit on the average rate of events, with short bursts above it."""

from __future__ import annotations


class RateLimiter:
    """`rate` events a second; up to `burst` seconds' worth may come at once. A `rate` of 0 is no limit.

    The caller passes the time, in seconds on a monotonic clock, and waits for itself.
    """

    def __init__(self, rate: float, burst: float = 0.25) -> None:
        self._interval, self._burst = 1 / rate if rate else 0.0, burst
        self._due = float("-inf")  # when the next event would come if all came evenly

    def delay(self, now: float) -> float:
        """Counts one event. Returns the seconds until the next one may follow."""
        self._due = max(self._due, now - self._burst) + self._interval
        return max(0.0, self._due - now)
