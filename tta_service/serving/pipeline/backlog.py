"""How much work a lane of one thread has before it."""

from __future__ import annotations

from collections.abc import Callable


class QueuedWork:
    """Seconds that what was handed to the lane is expected to take; what has ended is no longer counted."""

    def __init__(self) -> None:
        self._expected: dict[object, float] = {}

    @property
    def seconds(self) -> float:
        return sum(self._expected.values())

    def add(self, seconds: float) -> Callable[[object], None]:
        """One more thing; call what is returned when it has ended."""
        work = object()
        self._expected[work] = seconds

        def on_done(done: object = None) -> None:
            self._expected.pop(work, None)

        return on_done
