"""Events become numbers: one function for each kind of event."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from prometheus_client import GCCollector, PlatformCollector, ProcessCollector

from ..core.errors import BadImage, DeadlineTooShort, MemoryFull, NotReady, Overloaded, TTAError
from ..core.events import (
    Called,
    Canary,
    Closed,
    Dropped,
    Event,
    Forward,
    Messaged,
    Received,
    Refused,
    Streaming,
)
from ..core.request import Report
from .answer_metrics import Answers
from .collector import CountsCollector, DeviceCollector, ReadCounts
from .instruments import SECONDS, Series
from .label_values import Names
from .nvml import GPUCollector, library
from .process_memory import memory_limit
from .registry import Registry

AT_THE_DOOR: dict[type[TTAError], str] = {
    Overloaded: "overloaded",
    NotReady: "not_ready",
    DeadlineTooShort: "deadline",
    MemoryFull: "memory",
}

NO_ANSWER: dict[type[TTAError], str] = {  # why a frame of a stream was refused; anything else: "error"
    BadImage: "decode_error",
    DeadlineTooShort: "deadline",
    NotReady: "draining",
    Overloaded: "overloaded",
}


def class_name(error: TTAError) -> str:
    return type(error).__name__


class Metrics:
    """The numbers of one server, in a registry of their own.

    `strategies` and `reducers` are the names that may become label values; any other one is counted as "other".
    `code_of` tells which gRPC code an error becomes (rpc knows, we do not), `trace_of` the trace id that stands beside
    a duration as exemplar, `latencies` are the buckets of all durations. `observe` may be called from any thread.
    """

    def __init__(
        self,
        strategies: Collection[str],
        reducers: Collection[str] = ("none",),
        code_of: Callable[[TTAError], str] = class_name,
        trace_of: Callable[[Report], str] = lambda report: "",
        latencies: Sequence[float] = SECONDS,
    ) -> None:
        self.registry = Registry()
        self._series = Series(self.registry, latencies)
        self._strategies, self._reducers, self._code_of = Names(strategies), Names(reducers), code_of
        self._answers = Answers(self._series, self._strategies, self._reducers, trace_of)
        self._by_kind: dict[type, Callable[[Any], None]] = {
            Report: self._answers.observe,
            Refused: self._refused,
            Received: self._received,
            Streaming: self._streaming,
            Dropped: self._dropped,
            Closed: self._closed,
            Forward: self._forward,
            Canary: self._canary,
            Called: self._called,
            Messaged: self._messaged,
        }
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self.registry.register(DeviceCollector())
        self.registry.register(GPUCollector(library()))
        if limit := memory_limit():
            self._series.memory_limit.set(limit)

    def observe(self, event: Event) -> None:
        self._by_kind[type(event)](event)

    def built(self, version: str, torch: str, model: str, device: str, patches: int = 0) -> None:
        """Publish what runs. `patches`: tokens of a whole view, 0 where they are not known."""
        self._answers.patches = patches
        self._series.build.labels(version, torch, model, device).set(1)
        self._series.model_loaded.labels(model).set(1)
        if device.startswith(
            "cuda"
        ):  # a series that is born at 1 has never risen, and the alert would not see the first
            for strategy in (*self._strategies, "unknown"):
                self._series.out_of_memory.labels(strategy)

    def measured(self, strategy: str, device: str, peak: int) -> None:
        """Publish the most bytes that one answer of a strategy took beside what is held anyway."""
        if device.startswith("cuda"):
            self._series.cuda_peak.labels(self._strategies.of(strategy), device.partition(":")[2] or "0").set(peak)
        else:
            self._series.rss_peak.labels(self._strategies.of(strategy)).set(peak)

    def pull(self, read: ReadCounts) -> None:
        """Publish counters that the serving room keeps; `read` is called at scrape time, in a foreign thread."""
        self.registry.register(CountsCollector(read))

    def _refused(self, event: Refused) -> None:
        code = self._code_of(event.error)
        self._series.requests.labels(event.method, self._strategies.of(event.strategy), code).inc()
        if reason := AT_THE_DOOR.get(type(event.error)):
            self._series.rejected.labels(reason).inc()
        if event.policy:
            self._dropped(Dropped(NO_ANSWER.get(type(event.error), "error"), event.policy))
        if _out_of_memory(event.error):
            self._series.out_of_memory.labels(self._strategies.of(event.strategy)).inc()

    def _received(self, event: Received) -> None:
        self._series.frames_received.labels(event.policy).inc()

    def _streaming(self, event: Streaming) -> None:
        self._series.streams_open.labels(event.policy).inc(1 if event.open else -1)

    def _canary(self, event: Canary) -> None:
        self._series.canary.labels().observe(event.seconds)
        self._series.canary_failures.inc(event.failed)

    def _dropped(self, event: Dropped) -> None:
        self._series.frames_dropped.labels(event.reason, event.policy).inc()

    def _closed(self, event: Closed) -> None:
        self._series.evictions.labels(event.reason).inc()

    def _forward(self, event: Forward) -> None:
        series, reducer = self._series, self._reducers.of(event.reducer)
        series.batch_size.labels("encode", reducer).observe(event.rows)
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
        if event.method == "RestoreSession" and event.code != "OK":
            self._series.restores.labels("refused").inc()

    def _messaged(self, event: Messaged) -> None:
        counter = self._series.msg_sent if event.sent else self._series.msg_received
        counter.labels(event.service, event.method, event.kind).inc()


def _out_of_memory(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, torch.OutOfMemoryError):
        error = error.__cause__
    return error is not None
