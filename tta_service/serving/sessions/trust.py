"""What a session remembers to say how far its answers can be trusted, and which frames it asks about."""

from __future__ import annotations

import math
import random
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...confidence.calibration import Calibration
from ...confidence.decision import judge, lowest_admitted, quantile_of
from ...confidence.smoothing import Frame, stable_label
from ...core.lessons import Reason
from ...core.moving_average import MovingAverage
from ...core.request import Report
from ...core.trust import Smoothing, Trust

COSINES = 512  # of the last frames
PACE = 256  # frames of a moving average
SHARE = 1 / 3  # uniformly drawn questions for every other one: one in four
SHARED = ""  # in place of a strategy's name: of a snapshot by an older version, for the first strategy that answers
RAREST = 0.01  # share of frames that are drawn at least


class SessionTrust:
    """The last cosines and labels of a session, for one label set; another one begins anew. Some kB, not counted."""

    def __init__(self) -> None:
        self._labels = ""
        self._cosines, self._sorted = deque[float](), list[float]()  # in the order of frames, and of their values
        self._frames = dict[str, deque[Frame]]()  # by strategy: two of them may answer the same scene
        self._stable = dict[str, int | None]()
        self._others = MovingAverage[float](PACE, 0.0)  # share of frames that were asked about for another reason

    def lowest_admitted(self, labels: str, below: float) -> float:
        """The cosine under which the share `below` of the recent ones lies; −inf: there is nothing to compare with."""
        return lowest_admitted(self._sorted if labels == self._labels else (), below)

    def judge(self, report: Report, calibration: Calibration, none: float) -> Trust:
        """How far the report's answer can be trusted; its frame joins the recent ones."""
        options, labels = report.request.trust, report.request.labels.id
        if labels != self._labels:
            self._labels = labels
            for kept in (self._cosines, self._sorted, self._frames, self._stable):
                kept.clear()
        quantile, scores = quantile_of(report.cosine, self._sorted), report.scores
        trust = judge(options, calibration, scores, report.zero_shot_scores, report.cosine, quantile, none)
        self._add_cosine(report.cosine)
        if not options.smooth:
            return trust
        return self._smooth(report.request.strategy.name, options.smooth, trust, scores.best)

    def _add_cosine(self, cosine: float) -> None:
        if not math.isfinite(cosine):
            return
        self._cosines.append(cosine)
        insort(self._sorted, cosine)
        if len(self._cosines) > COSINES:
            del self._sorted[bisect_left(self._sorted, self._cosines.popleft())]

    def _smooth(self, strategy: str, smoothing: Smoothing, trust: Trust, label: int) -> Trust:
        if strategy not in self._frames and SHARED in self._frames:
            self._frames[strategy], self._stable[strategy] = self._frames.pop(SHARED), self._stable.pop(SHARED)
        frames, before = self._frames.setdefault(strategy, deque[Frame]()), self._stable.get(strategy)
        frames.append((label, 0.0 if trust.decision == "none_of_these" else trust.confidence))
        while len(frames) > smoothing.window:
            frames.popleft()
        self._stable[strategy] = stable = stable_label(smoothing, frames, before)
        return replace(trust, stable=stable, changed=stable != before)

    def choose_reason(self, report: Report, trust: Trust, place: str) -> Reason | None:
        """Why a person is asked about the frame, if one is. `place` names the frame, and is all that chance reads.

        One question in four is about a frame that is drawn whatever its answer.
        """
        request = report.request
        reason = Reason.ASKED if request.ask else Reason.DEFERRED if trust.decision == "defer" else None
        drawn = request.trust.draws and random.Random(place).random() < max(RAREST, SHARE * self._others.value)
        self._others.add(float(reason is not None))
        return Reason.UNIFORM if drawn else reason

    def encode(self) -> dict[str, Any]:
        """For JSON."""
        cosines = [round(cosine, 5) for cosine in self._cosines]
        return {
            "labels": self._labels,
            "cosines": cosines,
            "frames": [],  # older versions keep them for all strategies together
            "stable": None,
            "frames_of": {
                strategy: [(label, round(confidence, 5)) for label, confidence in frames]
                for strategy, frames in self._frames.items()
            },
            "stable_of": self._stable,
            "others": self._others.value,
        }

    def restore(self, described: Mapping[str, Any]) -> None:
        """Goes on from what `encode` gave."""
        self._labels = described["labels"]
        for cosine in map(float, described["cosines"]):
            self._add_cosine(cosine)
        for strategy, frames in described.get("frames_of", {SHARED: described["frames"]}).items():
            self._frames[strategy] = deque((label, float(confidence)) for label, confidence in frames)
        self._stable.update(described.get("stable_of", {SHARED: described["stable"]}))
        self._others = MovingAverage[float](PACE, float(described["others"]))
