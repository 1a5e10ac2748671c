"""How fast the service works, as a moving average."""

from __future__ import annotations

import math


class Throughput:
    """Rows per second over the last `memory` seconds of work; idle time is not counted."""

    def __init__(self, memory: float = 10.0) -> None:
        self._memory, self._rows, self._seconds = memory, 0.0, 0.0

    def add(self, rows: int, seconds: float) -> None:
        """Counts `rows` that were finished `seconds` of work after the ones before them."""
        fade = math.exp(-seconds / self._memory)
        self._rows, self._seconds = self._rows * fade + rows, self._seconds * fade + seconds

    @property
    def per_second(self) -> float | None:
        """Rows per second; None before the first measurement."""
        return self._rows / self._seconds if self._seconds > 0 and self._rows > 0 else None

    def seconds_for(self, rows: int, unknown: float) -> float:
        """Seconds that `rows` take; `unknown` before the first measurement."""
        return rows / self.per_second if self.per_second else unknown
