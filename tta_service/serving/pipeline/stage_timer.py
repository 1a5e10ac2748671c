"""Times the stages of a request."""

from __future__ import annotations

import time

from ...core.errors import DeadlineTooShort
from ...core.request import STAGES, Request


class StageTimer:
    """Seconds by stage, from the request's arrival on, and its deadline, which is checked before each stage.

    A wait between stages (for admission, for a lane) counts in the stage whose lap ends it. `arrived`: monotonic
    seconds.
    """

    def __init__(self, request: Request, arrived: float) -> None:
        self._deadline, self._arrived = request.deadline, arrived
        self._seconds: dict[str, float] = dict.fromkeys(STAGES, 0.0)
        self._last = arrived

    def lap(self, stage: str, *inner: tuple[str, float]) -> float:
        """Adds the time since the last lap to `stage`, less the seconds of `inner` stages, and returns all of it."""
        now = time.monotonic()
        whole = spent = now - self._last
        for name, seconds in inner:
            self._seconds[name] += min(seconds, spent)
            spent -= min(seconds, spent)
        self._seconds[stage] += spent
        self._last = now
        return whole

    def check_deadline(self, stage: str) -> None:
        """Raises `DeadlineTooShort` when the deadline has passed."""
        if self._deadline is not None and time.monotonic() >= self._deadline:
            raise DeadlineTooShort(f"the deadline passed before {stage}")

    def seconds(self) -> dict[str, float]:
        """Seconds by stage, and their `total` since arrival."""
        return {**self._seconds, "total": time.monotonic() - self._arrived}
