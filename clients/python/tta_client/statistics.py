"""What a camera's way to the service is counts by. Bounded, however long it runs."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from typing import Any

MAX_AGES = 10_000  # ages that the percentiles are over


class Statistics:
    """Counters of one stream and the source in front of it; `summary` may be read at any time, from any thread.

    `sent` counts a frame that is sent again once more. `skipped`: frames that the gate held back, by reason ("still",
    "interval"). `dropped`: frames that should have been answered and were not, by reason: "overtaken" by a newer one
    before they left, "service" (it had no room), "disconnect" (they were under way), "unreadable" (no picture;
    `damaged` of these were so in a video or at a camera already, which goes on).
    `reconnects`, by what was lost: "service", "source".
    """

    def __init__(self) -> None:
        self.sent = self.answers = self.failures = self.damaged = 0
        self.skipped, self.dropped, self.reconnects = Counter[str](), Counter[str](), Counter[str]()
        self._ages = deque[float](maxlen=MAX_AGES)
        self._began = time.monotonic()

    def add_answer(self, age: float, dropped: int) -> None:
        """An answer, `age` seconds after its frame was captured; the service had dropped so many before it."""
        self.answers += 1
        if dropped:
            self.dropped["service"] += dropped
        if math.isfinite(age):
            self._ages.append(age)

    def age(self, fraction: float) -> float:
        """The age in seconds that this fraction of the last answers did not pass; 0 before the first."""
        ages = sorted(self._ages.copy())
        return ages[min(len(ages) - 1, int(fraction * len(ages)))] if ages else 0.0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def summary(self) -> dict[str, Any]:
        """All of it as JSON can carry it."""
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
