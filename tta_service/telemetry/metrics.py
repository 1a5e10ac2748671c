"""The metrics of one server: each kind of event updates its instruments."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import torch
from prometheus_client import GCCollector, PlatformCollector, ProcessCollector

from ..core.errors import BadImage, DeadlineTooShort, MemoryFull, NotReady, Overloaded, TTAError
from ..core.events import (
    Called,
    Canary,
    Closed,
    Dropped,
    Forward,
    Messaged,
    Received,
    Refused,
    Responded,
    Streaming,
)
from ..core.request import Report
from . import Handlers
from .answer_metrics import AnswerMetrics
from .collectors import Counts, GPUReader, PullCollector, gpu_families, load_nvml, read_allocator, show_counts
from .exposition import Registry
from .histograms import observe
from .instruments import SECONDS, Instruments, LabelValues

CGROUPS = ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes")
REJECTED: dict[type[TTAError], str] = {
    Overloaded: "overloaded",
    NotReady: "not_ready",
    DeadlineTooShort: "deadline",
    MemoryFull: "memory",
}

DROPPED: dict[type[TTAError], str] = {  # why a frame of a stream was refused; anything else: "error"
    BadImage: "decode_error",
    DeadlineTooShort: "deadline",
    NotReady: "draining",
    Overloaded: "overloaded",
}


def class_name(error: TTAError) -> str:
    """The class of an error, as its code where no transport gives one."""
    return type(error).__name__


class Metrics:
    """The metrics of one server, in a registry of their own.

    `strategies` and `reducers` are the names that may become label values; any other one is counted as "other".
    `code_of` gives the gRPC code of an error, which only `rpc` knows. `trace_of` gives the trace id that becomes the
    exemplar of a duration. `latencies` are the buckets of all durations in seconds. `handlers` may be called from
    any thread.
    """

    def __init__(
        self,
        strategies: Collection[str],
        reducers: Collection[str] = ("none",),
        code_of: Callable[[TTAError], str] = class_name,
        trace_of: Callable[[Report], str] | None = None,
        latencies: Sequence[float] = SECONDS,
    ) -> None:
        self.registry = Registry()
        self._instruments = Instruments(self.registry, latencies)
        self._strategies, self._reducers, self._code_of = LabelValues(strategies), LabelValues(reducers), code_of
        self._answers = AnswerMetrics(
            self._instruments, self._strategies, self._reducers, trace_of or (lambda report: "")
        )
        self.handlers: Handlers = {
            Report: self._answers.record,
            Refused: self._count_refusal,
            Received: self._count_received,
            Streaming: self._count_streaming,
            Dropped: self._count_dropped,
            Closed: self._count_closed,
            Forward: self._count_forward,
            Canary: self._count_canary,
            Called: self._count_call,
            Messaged: self._count_message,
            Responded: self._count_response,
        }
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self.registry.register(PullCollector(read_allocator, read_allocator()))
        self.registry.register(PullCollector(GPUReader(load_nvml()).read, gpu_families()))
        if limit := memory_limit():
            self._instruments.memory_limit.set(limit)

    def set_build_info(self, version: str, torch: str, model: str, device: str, patches: int = 0) -> None:
        """Publish which build and model run. `patches`: tokens of a whole view, 0 where they are not known."""
        self._answers.patches = patches
        self._instruments.build[version, torch, model, device].set(1)
        self._instruments.model_loaded[(model,)].set(1)
        if device.startswith("cuda"):  # a series that starts at 1 shows no increase, so the alert would miss the first
            for strategy in (*self._strategies, "unknown"):
                self._instruments.out_of_memory[(strategy,)].inc(0)

    def set_memory_peak(self, strategy: str, device: str, peak: int) -> None:
        """Publish the most bytes that one answer of a strategy took above what the service holds at rest."""
        if device.startswith("cuda"):
            self._instruments.cuda_peak[self._strategies[strategy], device.partition(":")[2] or "0"].set(peak)
        else:
            self._instruments.rss_peak[(self._strategies[strategy],)].set(peak)

    def register_counts(self, read: Callable[[], Counts]) -> None:
        """Publish the counters of `serving`. `read` is called at scrape time, in the scraper's thread."""
        self.registry.register(PullCollector(lambda: show_counts(read()), show_counts(Counts())))

    def _count_refusal(self, event: Refused) -> None:
        code = self._code_of(event.error)
        self._instruments.requests[event.method, self._strategies[event.strategy], code].inc()
        if reason := REJECTED.get(type(event.error)):
            self._instruments.rejected[(reason,)].inc()
        if event.policy:
            self._instruments.frames_dropped[DROPPED.get(type(event.error), "error"), event.policy].inc()
        if _out_of_memory(event.error):
            self._instruments.out_of_memory[(self._strategies[event.strategy],)].inc()

    def _count_received(self, event: Received) -> None:
        self._instruments.frames_received[(event.policy,)].inc()

    def _count_streaming(self, event: Streaming) -> None:
        self._instruments.streams_open[(event.policy,)].inc(1 if event.open else -1)

    def _count_canary(self, event: Canary) -> None:
        observe([(self._instruments.canary[()], event.seconds)])
        self._instruments.canary_failures.inc(event.failed)

    def _count_dropped(self, event: Dropped) -> None:
        self._instruments.frames_dropped[event.reason, event.policy].inc()

    def _count_closed(self, event: Closed) -> None:
        self._instruments.evictions[(event.reason,)].inc()

    def _count_forward(self, event: Forward) -> None:
        instruments, reducer = self._instruments, self._reducers[event.reducer]
        sizes = (
            (instruments.batch_size["encode", reducer], event.rows),
            (instruments.batch_requests[(reducer,)], event.requests),
        )
        observe((*sizes, (instruments.forward[(reducer,)], event.seconds)))
        instruments.forward_failures[(reducer,)].inc(float(event.failed))

    def _count_call(self, event: Called) -> None:
        call = (event.service, event.method, event.kind)
        if event.code is None:
            self._instruments.started[call].inc()
            return
        self._instruments.handled[*call, event.code].inc()
        if event.kind == "unary":
            observe([(self._instruments.handling[call], event.seconds)])
        if event.method == "RestoreSession" and event.code != "OK":
            self._instruments.restores[("refused",)].inc()

    def _count_message(self, event: Messaged) -> None:
        counter = self._instruments.msg_sent if event.sent else self._instruments.msg_received
        counter[event.service, event.method, event.kind].inc()

    def _count_response(self, event: Responded) -> None:
        self._instruments.responses[event.method, str(event.code)].inc()
        observe([(self._instruments.responding[(event.method,)], event.seconds)])


def memory_limit(root: Path = Path("/")) -> int:
    """The bytes that this process may take, 0 where unknown: the container's limit, at most the machine's memory."""
    try:
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not on Windows
        machine = 0
    for path in CGROUPS:
        try:
            limit = int((root / path).read_text())
        except (OSError, ValueError):  # no such file, or "max"
            continue
        return min(limit, machine) if machine else limit
    return machine


def _out_of_memory(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, torch.OutOfMemoryError):
        error = error.__cause__
    return error is not None
