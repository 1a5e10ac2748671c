"""How fast the house works, forgetting slowly."""

from __future__ import annotations

import math


class Throughput:
    """Rows per second over the last `memory` seconds of work; idle time is not counted."""

    def __init__(self, memory: float = 10.0) -> None:
        self._memory, self._rows, self._seconds = memory, 0.0, 0.0

    def add(self, rows: int, seconds: float) -> None:
        """`rows` left after `seconds` of work since the last ones did."""
        fade = math.exp(-seconds / self._memory)
        self._rows, self._seconds = self._rows * fade + rows, self._seconds * fade + seconds

    @property
    def per_second(self) -> float | None:
        """None: nothing is known yet."""
        return self._rows / self._seconds if self._seconds > 0 and self._rows > 0 else None

    def seconds_for(self, rows: int, unknown: float) -> float:
        """How long `rows` take; `unknown` when nothing was measured yet."""
        return rows / self.per_second if self.per_second else unknown
