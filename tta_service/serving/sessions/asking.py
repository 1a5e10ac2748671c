"""Which frames a session asks about by itself: at most so many an hour, where a word is worth most, some by chance."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from ...confidence.asking import stack_features, tune_threshold, worth
from ...core.lessons import Reason
from ...core.moving_average import MovingAverage
from ...core.reducer import Reduction
from ...core.request import Report
from .lessons import LessonBook
from .memory import reduction_of
from .questions import QuestionBook

HOUR = 3600.0
MOST = 1000  # questions an hour
KNOWN = 512  # last pictures that were asked about, and as many that were taught
PACE = 256  # frames of the mean interval
Rate = Callable[[Tensor, Tensor, Tensor], float]  # of logits [c], a feature [d] and the known ones, unit [n, d]
EVERY = 4  # of so many questions one is about a frame that chance draws


class SessionAsking:
    """The budget of questions, and the worth by `rate` that a frame must pass. `now` is a clock that nobody sets."""

    def __init__(self, now: Callable[[], float] = time.monotonic, rate: Rate = worth) -> None:
        self._now, self._rate = now, rate
        self._threshold, self._asked = 0.0, deque[float](maxlen=MOST)  # the first frame passes
        self._interval, self._last = MovingAverage[float](PACE), None
        self._count = 0
        self._known: tuple[Any, Tensor] | None = None

    @property
    def begun(self) -> bool:
        """Whether it has seen a frame, here or elsewhere."""
        return self._threshold > 0

    def choose(
        self, per_hour: float, report: Report, lessons: LessonBook, questions: QuestionBook, place: str
    ) -> Reason | None:
        """Why a person is asked about the report's frame, if one is. `place` names it, and is all that chance reads."""
        if report.example is None:
            return None
        feature = report.example[0]
        known = self._known_features(
            report.request.labels.id, reduction_of(report.request), lessons, questions, feature
        )
        value, now = self._rate(report.logits, feature, known), self._now()
        if self._last is not None:
            self._interval.add(min(max(now - self._last, 0.0), HOUR))
        self._last = now
        share = per_hour * self._interval.value / HOUR  # of frames that the budget is enough for
        passed = value > self._threshold
        if not self._threshold:
            self._threshold = value
        elif value:  # what shows nothing new does not lower it
            self._threshold = tune_threshold(self._threshold, passed, min(share, 1.0))
        if not self._has_budget(per_hour, now):
            return None
        if self._count % EVERY == EVERY - 1:
            return Reason.UNIFORM if random.Random(place).random() < share else None
        return Reason.INFORMATIVE if passed else None

    def count(self) -> None:
        """The frame that was chosen last has become a question."""
        self._asked.append(self._now())
        self._count += 1

    def _has_budget(self, per_hour: float, now: float) -> bool:
        """Whether fewer than `per_hour` were asked within an hour; below one, none within its multiple of an hour."""
        most, over = max(1, int(per_hour)), HOUR * max(1.0, 1 / per_hour)
        return len(self._asked) < most or now - self._asked[-most] >= over

    def _known_features(
        self, labels: str, reduction: Reduction | None, lessons: LessonBook, questions: QuestionBook, like: Tensor
    ) -> Tensor:
        """[n, d] of pictures that were asked about or taught, stacked again when there are others."""
        key = labels, reduction, id(lessons), lessons.changes, questions.changes
        if self._known is None or self._known[0] != key:
            examples = [one.example for book in (lessons, questions) for one in list(book)[-KNOWN:]]
            features = [one.views[0] for one in examples if one.concerns(labels, reduction)]
            self._known = key, stack_features(features, len(like))
        return self._known[1]

    def encode(self) -> dict[str, Any]:
        """For JSON. Times are ages, since every server has a clock of its own."""
        now = self._now()
        return {
            "threshold": self._threshold,
            "asked": [round(now - one, 1) for one in self._asked],
            "interval": [self._interval.value, self._interval.seen],
            "count": self._count,
        }

    def restore(self, described: Mapping[str, Any]) -> None:
        """Goes on from what `encode` gave; the time between counts for nothing."""
        now = self._now()
        self._threshold = described["threshold"]
        self._asked.extend(now - one for one in described["asked"])
        self._interval.value, self._interval.seen = described["interval"]
        self._count = described["count"]
