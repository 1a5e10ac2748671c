"""Metrics of answers: how long each took, what adaptation changed, and what its explanation says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
from numpy.typing import NDArray

from ..core.request import Explanation, Report
from .drift import Drift
from .instruments import Instruments, LabelValues


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
        self._instruments, self._strategies, self._reducers, self._trace_of = (
            instruments,
            strategies,
            reducers,
            trace_of,
        )
        self._drift, self.patches = Drift(), 0

    def observe(self, report: Report) -> None:
        """Record one answer."""
        instruments, policy = self._instruments, report.request.policy
        strategy = self._strategies.of(report.strategy.name)
        method, total = "ClassifyStream" if policy else "Classify", report.seconds.get("total", 0.0)
        instruments.requests.labels(method, strategy, "OK").inc()
        trace = self._trace_of(report)
        instruments.duration.labels(method, strategy, "OK").observe(total, trace)
        for stage, seconds in report.seconds.items():
            if stage != "total":
                instruments.stage.labels(stage, strategy).observe(seconds, trace)
        if policy:
            instruments.frames_answered.labels(policy).inc()
            instruments.frame_age.labels(policy).observe(total, trace)
        if report.degraded:
            instruments.fallback.labels(self._strategies.of(report.request.strategy.name), report.degraded.reason).inc()
        if report.session.memory_reset:
            instruments.memory_resets.labels(strategy).inc()
        if report.session.origin == "restored":
            instruments.restores.labels("restored").inc()
        if report.strategy.needs().gradient:
            instruments.steps.labels(strategy).inc(getattr(report.strategy, "steps", 1))
        self._observe_adaptation(strategy, report)
        if report.explanation:
            self._observe_explanation(strategy, report, report.explanation)

    def _observe_adaptation(self, strategy: str, report: Report) -> None:
        instruments, before, after = self._instruments, report.zero_shot.numpy(), report.logits.numpy()
        instruments.flips.labels(strategy).inc(float(before.argmax() != after.argmax()))
        entropies = relative_entropy(before), relative_entropy(after)
        for histogram, entropy in zip((instruments.entropy_before, instruments.entropy_after), entropies):
            if numpy.isfinite(entropy):  # one NaN would make the sum NaN from then on
                histogram.labels(strategy).observe(entropy)
        if report.feature is None or not numpy.isfinite(entropies[0]):
            return
        if drift := self._drift.update(strategy, entropies[0], report.feature.numpy()):
            instruments.drift_entropy.labels(strategy).set(drift[0])
            instruments.drift_feature.labels(strategy).set(drift[1])

    def _observe_explanation(self, strategy: str, report: Report, explanation: Explanation) -> None:
        instruments, reduction = self._instruments, report.request.reduction
        instruments.views_kept.labels(strategy).observe(float(explanation.kept.float().mean()))
        if "fill" in explanation.notes:
            instruments.fill.labels(strategy).set(explanation.notes["fill"])
        if "admitted" in explanation.notes:
            instruments.admissions.labels(strategy, "admitted" if explanation.notes["admitted"] else "refused").inc()
        if explanation.tokens_left and self.patches and reduction.scope == "all":
            left = sum(explanation.tokens_left) / len(explanation.tokens_left) / self.patches
            instruments.tokens_pruned.labels(self._reducers.of(reduction.reducer.name)).observe(1 - left)


def relative_entropy(logits: NDArray[Any]) -> float:
    """The entropy of softmax(logits) [c] divided by ln c: 0 certain, 1 undecided, 0 for one class.

    Logits may be −inf; the result is NaN when all are. In numpy because it runs on the event loop for each answer,
    where ten small torch calls would cost five times more.
    """
    if len(logits) == 1:
        return 0.0
    with numpy.errstate(invalid="ignore", divide="ignore"):
        shifted = logits.astype(numpy.float64) - logits.max()
        p = numpy.exp(shifted)
        p /= p.sum()
        p = p[p != 0]  # 0·ln 0 = 0
        return float(-(p * numpy.log(p)).sum() / numpy.log(len(logits)))
