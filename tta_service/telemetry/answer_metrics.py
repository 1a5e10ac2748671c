"""An answer becomes numbers: how long it took, what adapting did to it, and what its explanation says."""

from __future__ import annotations

from collections.abc import Callable

import numpy

from ..core.request import Explanation, Report
from .drift import Drift
from .entropy import relative_entropy
from .instruments import Series
from .label_values import Names


class Answers:
    """Into the `series` of one server. `trace_of` gives the trace id that stands beside a duration as exemplar,
    `patches` is the number of tokens of a whole view, 0 where it is not known."""

    def __init__(self, series: Series, strategies: Names, reducers: Names, trace_of: Callable[[Report], str]) -> None:
        self._series, self._strategies, self._reducers, self._trace_of = series, strategies, reducers, trace_of
        self._drift, self.patches = Drift(), 0

    def observe(self, report: Report) -> None:
        series, policy = self._series, report.request.policy
        strategy = self._strategies.of(report.strategy.name)
        method, total = "ClassifyStream" if policy else "Classify", report.seconds.get("total", 0.0)
        series.requests.labels(method, strategy, "OK").inc()
        trace = self._trace_of(report)
        series.duration.labels(method, strategy, "OK").observe(total, trace)
        for stage, seconds in report.seconds.items():
            if stage != "total":
                series.stage.labels(stage, strategy).observe(seconds, trace)
        if policy:
            series.frames_answered.labels(policy).inc()
            series.frame_age.labels(policy).observe(total, trace)
        if report.degraded:
            series.fallback.labels(self._strategies.of(report.request.strategy.name), report.degraded.reason).inc()
        if report.session.memory_reset:
            series.memory_resets.labels(strategy).inc()
        if report.session.origin == "restored":
            series.restores.labels("restored").inc()
        if report.strategy.needs().gradient:
            series.steps.labels(strategy).inc(getattr(report.strategy, "steps", 1))
        self._adaptation(strategy, report)
        if report.explanation:
            self._explained(strategy, report, report.explanation)

    def _adaptation(self, strategy: str, report: Report) -> None:
        series, before, after = self._series, report.zero_shot.numpy(), report.logits.numpy()
        series.flips.labels(strategy).inc(float(before.argmax() != after.argmax()))
        doubt_before, doubt_after = relative_entropy(before), relative_entropy(after)
        for histogram, doubt in ((series.entropy_before, doubt_before), (series.entropy_after, doubt_after)):
            if numpy.isfinite(doubt):  # one NaN would spoil the sum for ever
                histogram.labels(strategy).observe(doubt)
        if report.feature is None or not numpy.isfinite(doubt_before):
            return
        if moved := self._drift.moved(strategy, doubt_before, report.feature.numpy()):
            series.drift_entropy.labels(strategy).set(moved[0])
            series.drift_feature.labels(strategy).set(moved[1])

    def _explained(self, strategy: str, report: Report, why: Explanation) -> None:
        series, reduction = self._series, report.request.reduction
        series.views_kept.labels(strategy).observe(float(why.kept.float().mean()))
        if "fill" in why.notes:
            series.fill.labels(strategy).set(why.notes["fill"])
        if "admitted" in why.notes:
            series.admissions.labels(strategy, "admitted" if why.notes["admitted"] else "refused").inc()
        if why.tokens_left and self.patches and reduction.scope == "all":
            left = sum(why.tokens_left) / len(why.tokens_left) / self.patches
            series.tokens_pruned.labels(self._reducers.of(reduction.reducer.name)).observe(1 - left)
