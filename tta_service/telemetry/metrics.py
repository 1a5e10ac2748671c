"""Events become numbers: one function for each kind of event."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy
from numpy.typing import NDArray
from prometheus_client import GCCollector, PlatformCollector, ProcessCollector

from ..core.errors import DeadlineTooShort, MemoryFull, NotReady, Overloaded, TTAError
from ..core.events import Called, Closed, Dropped, Event, Forward, Refused
from ..core.request import Report
from .collector import CountsCollector, DeviceCollector, ReadCounts
from .series import Registry, Series

AT_THE_DOOR: dict[type[TTAError], str] = {
    Overloaded: "overloaded",
    NotReady: "not_ready",
    DeadlineTooShort: "deadline",
    MemoryFull: "memory",
}


def class_name(error: TTAError) -> str:
    return type(error).__name__


class Metrics:
    """The numbers of one server, in a registry of their own.

    `strategies` and `reducers` are the names that may become label values; any other one is counted as "other".
    `code_of` tells which gRPC code an error becomes (rpc knows, we do not). `observe` may be called from any thread.
    """

    def __init__(
        self,
        strategies: Collection[str],
        reducers: Collection[str] = ("none",),
        code_of: Callable[[TTAError], str] = class_name,
    ) -> None:
        self.registry = Registry()
        self._series = Series(self.registry)
        self._strategies, self._reducers, self._code_of = frozenset(strategies), frozenset(reducers), code_of
        self._by_kind: dict[type, Callable[[Any], None]] = {
            Report: self._report,
            Refused: self._refused,
            Dropped: self._dropped,
            Closed: self._closed,
            Forward: self._forward,
            Called: self._called,
        }
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self.registry.register(DeviceCollector())

    def observe(self, event: Event) -> None:
        self._by_kind[type(event)](event)

    def built(self, version: str, torch: str, model: str, device: str) -> None:
        """Publish what runs."""
        self._series.build.labels(version, torch, model, device).set(1)

    def pull(self, read: ReadCounts) -> None:
        """Publish counters that the serving room keeps; `read` is called at scrape time, in a foreign thread."""
        self.registry.register(CountsCollector(read))

    def _report(self, report: Report) -> None:
        series, policy = self._series, report.request.policy
        strategy = self._strategy(report.strategy.name)
        method, total = "ClassifyStream" if policy else "Classify", report.seconds.get("total", 0.0)
        series.requests.labels(method, strategy, "OK").inc()
        series.duration.labels(method, strategy, "OK").observe(total)
        for stage, seconds in report.seconds.items():
            if stage != "total":
                series.stage.labels(stage, strategy).observe(seconds)
        if policy:
            series.frames_answered.labels(policy).inc()
            series.frame_age.labels(policy).observe(total)
        if report.degraded:
            series.fallback.labels(self._strategy(report.request.strategy.name), report.degraded.reason).inc()
        self._adaptation(strategy, report.zero_shot.numpy(), report.logits.numpy())

    def _adaptation(self, strategy: str, before: NDArray[Any], after: NDArray[Any]) -> None:
        series = self._series
        series.flips.labels(strategy).inc(float(before.argmax() != after.argmax()))
        for histogram, logits in ((series.entropy_before, before), (series.entropy_after, after)):
            entropy = relative_entropy(logits)
            if numpy.isfinite(entropy):  # one NaN would spoil the sum for ever
                histogram.labels(strategy).observe(entropy)

    def _refused(self, event: Refused) -> None:
        code = self._code_of(event.error)
        self._series.requests.labels(event.method, self._strategy(event.strategy), code).inc()
        if reason := AT_THE_DOOR.get(type(event.error)):
            self._series.rejected.labels(reason).inc()

    def _dropped(self, event: Dropped) -> None:
        self._series.frames_dropped.labels(event.reason, event.policy).inc()

    def _closed(self, event: Closed) -> None:
        self._series.evictions.labels(event.reason).inc()

    def _forward(self, event: Forward) -> None:
        series, reducer = self._series, event.reducer if event.reducer in self._reducers else "other"
        series.batch_rows.labels(reducer).observe(event.rows)
        series.batch_requests.labels(reducer).observe(event.requests)
        series.forward.labels(reducer).observe(event.seconds)
        series.forward_failures.labels(reducer).inc(float(event.failed))

    def _called(self, event: Called) -> None:
        call = (event.service, event.method, event.kind)
        if event.code is None:
            self._series.started.labels(*call).inc()
            return
        self._series.handled.labels(*call, event.code).inc()
        if event.kind == "unary":
            self._series.handling.labels(*call).observe(event.seconds)

    def _strategy(self, name: str) -> str:
        return name if name in self._strategies else ("other" if name else "unknown")


def relative_entropy(logits: NDArray[Any]) -> float:
    """Entropy of softmax(logits) [c] divided by ln c, 0..1; logits may be −inf, all of them: NaN. One class has none.

    In numpy because it runs on the event loop for each answer, where ten small torch calls would cost five times more.
    """
    if len(logits) == 1:
        return 0.0
    with numpy.errstate(invalid="ignore", divide="ignore"):
        shifted = logits.astype(numpy.float64) - logits.max()
        p = numpy.exp(shifted)
        p /= p.sum()
        p = p[p != 0]  # 0·ln 0 = 0
        return float(-(p * numpy.log(p)).sum() / numpy.log(len(logits)))
