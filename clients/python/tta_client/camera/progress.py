"""How far a recording is, and when it ends."""

from __future__ import annotations

import time
from typing import Any

from .sources import Source


class Progress:
    """Counts the results of a source whose number of frames is known; empty lines for any other."""

    def __init__(self, source: Source, frames: int) -> None:
        """`frames` (0: all) are asked for."""
        count: Any = getattr(source, "count", None)
        total = count() if count is not None and not source.live else 0
        self._total = min(total, frames) if total and frames else total or frames
        self._done, self._began = 0, time.monotonic()
        self._due = self._began + 10

    def add(self) -> None:
        """One more result."""
        self._done += 1

    def lines(self) -> list[str]:
        """The line, if there is one."""
        return [line] if (line := self.line()) else []

    def due_line(self) -> str:
        """The line, every ten seconds and at the end; else ""."""
        if time.monotonic() < self._due and self._done != self._total:
            return ""
        self._due = time.monotonic() + 10
        return self.line()

    def line(self) -> str:
        """`frame 120 of 600, 20 %, 0:24 left`; "" if the number is unknown."""
        if not self._total:
            return ""
        done = min(self._done, self._total)
        left = (time.monotonic() - self._began) / max(done, 1) * (self._total - done)
        minutes, seconds = divmod(round(left), 60)
        hours, minutes = divmod(minutes, 60)
        clock = f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
        return f"frame {done} of {self._total}, {done / self._total:.0%}" + (f", {clock} left" if done else "")
