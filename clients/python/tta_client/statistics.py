"""Counters of a stream and its source. Their memory is bounded, however long the stream runs."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Literal

Lost = Literal["service", "source"]
MAX_AGES = 10_000  # the percentiles cover the last so many


class Statistics:
    """Counters of one stream and the source in front of it; `summary` may be read at any time, from any thread.

    `sent` counts a frame each time it is sent. `skipped` counts the frames that the gate withheld, by reason ("still",
    "interval"). `dropped` counts the frames that should have been answered and were not, by reason: "overtaken" (a
    newer one replaced them before they were sent), "service" (it had no room), "disconnect" (their call failed),
    "unreadable" (no image; `damaged` of these were damaged in the video or at the camera, which continues).
    `reconnects` counts by what was lost: "service", "source". `on_loss` is called with what is lost and why, and
    `on_return` when it is there, from the thread that notices.
    """

    def __init__(self) -> None:
        self.sent = self.answers = self.failures = self.damaged = 0
        self.skipped, self.dropped, self.reconnects = Counter[str](), Counter[str](), Counter[str]()
        self._ages = deque[float](maxlen=MAX_AGES)
        self.on_loss: Callable[[Lost, str], None] = lambda what, reason: None
        self.on_return: Callable[[Lost], None] = lambda what: None
        self._began = time.monotonic()

    def add_answer(self, age: float, dropped: int) -> None:
        """Counts an answer of that age in seconds, and the frames that the service dropped before it."""
        self.answers += 1
        if dropped:
            self.dropped["service"] += dropped
        if math.isfinite(age):
            self._ages.append(age)

    def age(self, fraction: float) -> float:
        """The quantile `fraction` of the last answers' ages, in seconds; 0 before the first answer."""
        ages = sorted(self._ages.copy())
        return ages[min(len(ages) - 1, int(fraction * len(ages)))] if ages else 0.0

    @property
    def seconds(self) -> float:
        """Seconds since the counting began."""
        return time.monotonic() - self._began

    def summary(self) -> dict[str, Any]:
        """All counters as JSON values; ages in seconds."""
        return {
            "sent": self.sent,
            "answers": self.answers,
            "failures": self.failures,
            "skipped": dict(self.skipped),
            "dropped": dict(self.dropped),
            "reconnects": dict(self.reconnects),
            "age_p50": round(self.age(0.5), 4),
            "age_p95": round(self.age(0.95), 4),
            "seconds": round(self.seconds, 3),
            "answers_per_second": round(self.answers / max(self.seconds, 1e-9), 2),
        }

    def sentence(self) -> str:
        """All counters in one line for a person."""
        text = (
            f"{self.answers} answers to {self.sent} sent, {self.failures} failures, "
            f"{_format_counts(self.skipped, 'skipped')}, {_format_counts(self.dropped, 'dropped')}; "
            f"age p50 {self.age(0.5) * 1000:.0f} ms, p95 {self.age(0.95) * 1000:.0f} ms; "
            f"{self.answers / max(self.seconds, 1e-9):.1f} answers/s"
        )
        return text + (f"; {_format_counts(self.reconnects, 'reconnects')}" if self.reconnects else "")


def _format_counts(counts: Counter[str], what: str) -> str:
    """`7 dropped (5 overtaken, 2 service)`."""
    parts = sorted(counts.copy().items())
    return f"{sum(number for _, number in parts)} {what}" + (
        f" ({', '.join(f'{number} {name}' for name, number in parts)})" if parts else ""
    )
