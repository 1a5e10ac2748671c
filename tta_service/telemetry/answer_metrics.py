"""Metrics of answers: how long each took, what adaptation changed, what its explanation says, and drift.

Drift is how far recent images are from the first ones. It shows a moved camera or a lost focus at little cost. The
first `START` answers of a strategy set the reference: their mean entropy and mean feature. From then on the recent mean
follows with weight 1/`START` for each answer (half of it is from the last 44). Published are the difference of the
entropies (−1..1) and the Euclidean distance of the mean features (0..2). Noise keeps both above 0 on unchanging images:
about 0.15 of the spread of single images.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from threading import Lock
from typing import Any

import numpy
from numpy.typing import NDArray

from ..core.moving_average import MovingAverage
from ..core.request import Explanation, Report
from ..core.strategy import needs_of
from .histograms import observe
from .instruments import Instruments, LabelValues

START = 64


class AnswerMetrics:
    """Records answers in the `instruments` of one server.

    `trace_of` gives the trace id that becomes the exemplar of a duration, "" for none. `patches` is the number of
    tokens of a whole view, 0 where it is not known.
    """

    def __init__(
        self,
        instruments: Instruments,
        strategies: LabelValues,
        reducers: LabelValues,
        trace_of: Callable[[Report], str],
    ) -> None:
        self._instruments, self._strategies, self._reducers = instruments, strategies, reducers
        self._trace_of, self._drift, self.patches = trace_of, Drift(), 0

    def record(self, report: Report) -> None:
        """Record one answer."""
        to, policy, strategy = self._instruments, report.request.policy, self._strategies[report.strategy.name]
        outcome = "ClassifyStream" if policy else "Classify", strategy, "OK"
        to.requests[outcome].inc()
        total = report.seconds.get("total", 0.0)
        durations = [(to.stage[stage, strategy], spent) for stage, spent in report.seconds.items() if stage != "total"]
        durations.append((to.duration[outcome], total))
        if policy:
            to.frames_answered[(policy,)].inc()
            durations.append((to.frame_age[(policy,)], total))
        observe(durations, self._trace_of(report))
        if report.degraded:
            to.fallback[self._strategies[report.request.strategy.name], report.degraded.reason].inc()
        if report.guarded:
            to.guarded[(strategy,)].inc()
        self._record_decision(strategy, report)
        for caution in report.cautions:
            to.warnings[(caution.kind.value,)].inc()
        if report.session.memory_reset:
            to.memory_resets[(strategy,)].inc()
        if report.session.origin == "restored":
            to.restores[("restored",)].inc()
        if needs_of(report.strategy).gradient:
            to.steps[(strategy,)].inc(getattr(report.strategy, "steps", 1))
        self._record_adaptation(strategy, report)
        if report.explanation:
            self._record_explanation(strategy, report, report.explanation)

    def _record_decision(self, strategy: str, report: Report) -> None:
        trust = report.trust
        if trust is None or not report.request.trust.decides:
            return
        self._instruments.decisions[strategy, trust.decision].inc()
        if trust.guaranteed:
            observe([(self._instruments.set_size[(strategy,)], float(len(trust.prediction_set)))])

    def _record_adaptation(self, strategy: str, report: Report) -> None:
        to, before, after = self._instruments, report.zero_shot_scores, report.scores
        to.flips[(strategy,)].inc(float(before.best != after.best))
        entropies = (
            (to.entropy_before[(strategy,)], before.relative_entropy),
            (to.entropy_after[(strategy,)], after.relative_entropy),
        )
        # one NaN would make the sum NaN from then on
        observe([one for one in entropies if math.isfinite(one[1])])
        if report.feature is None or not math.isfinite(before.relative_entropy):
            return
        if drift := self._drift.update(strategy, before.relative_entropy, report.feature.numpy()):
            to.drift_entropy[(strategy,)].set(drift[0])
            to.drift_feature[(strategy,)].set(drift[1])

    def _record_explanation(self, strategy: str, report: Report, explanation: Explanation) -> None:
        to, reduction, notes = self._instruments, report.request.reduction, explanation.notes
        shares = [(to.views_kept[(strategy,)], float(explanation.kept.float().mean()))]
        if explanation.tokens_left and self.patches and reduction.scope == "all":
            left = sum(explanation.tokens_left) / len(explanation.tokens_left) / self.patches
            shares.append((to.tokens_pruned[(self._reducers[reduction.reducer.name],)], 1 - left))
        observe(shares)
        if "fill" in notes:
            to.fill[(strategy,)].set(notes["fill"])
        if "admitted" in notes:
            to.admissions[strategy, "admitted" if notes["admitted"] else "refused"].inc()


class Drift:
    """The drift of each strategy by itself. `update` may be called from any thread."""

    def __init__(self) -> None:
        # [1 + d] each: entropy and feature
        self._recent: dict[str, MovingAverage[NDArray[Any]]] = {}
        self._reference: dict[str, NDArray[Any]] = {}
        self._lock = Lock()

    def update(self, strategy: str, entropy: float, feature: NDArray[Any]) -> tuple[float, float] | None:
        """Add an answer with its relative entropy and feature [d].

        Returns the entropy difference and the feature distance; None until the reference is complete.
        """
        now = numpy.concatenate(([entropy], feature))
        with self._lock:
            recent = self._recent.get(strategy)
            if recent is None or len(recent.value) != len(now):
                recent = self._recent[strategy] = MovingAverage(START)
                self._reference.pop(strategy, None)
            recent.add(now)
            if strategy not in self._reference:
                if recent.seen == START:
                    self._reference[strategy] = recent.value
                return None
            difference = recent.value - self._reference[strategy]
        return float(difference[0]), float(numpy.linalg.norm(difference[1:]))
