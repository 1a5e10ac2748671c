"""How much work a lane of one thread has before it."""

from __future__ import annotations

from collections.abc import Callable


class Backlog:
    """Seconds that what was handed to the lane is expected to take; what has ended is no longer counted."""

    def __init__(self) -> None:
        self._expected: dict[object, float] = {}

    @property
    def seconds(self) -> float:
        return sum(self._expected.values())

    def add(self, seconds: float) -> Callable[[object], None]:
        """One more thing; call what is returned when it has ended."""
        thing = object()
        self._expected[thing] = seconds

        def over(done: object = None) -> None:
            self._expected.pop(thing, None)

        return over
