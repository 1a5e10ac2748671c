"""OpenTelemetry spans of answers, made from their reports: one for the answer and below it one for each stage.

When a caller sends its own span in the header `traceparent`, ours lies below it. A report holds how long each stage
took but not when it began, so the stages follow one another in the order of the pipeline. Spans may carry ids of
requests and sessions; labels of metrics never do.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, format_trace_id, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ..core.events import Refused
from ..core.request import Report
from . import Handlers, without_empty

STAGE_ORDER = ("queue", "text", "decode", "look", "encode", "turn", "adapt")
NANO = 1_000_000_000
W3C = TraceContextTextMapPropagator()


class Tracing:
    """Makes spans of answers and refusals. `close` sends those that are still buffered.

    It samples a `share` of all answers, unless the caller's `traceparent` has decided; of share 1 OTEL_TRACES_SAMPLER
    may take less. `now` is in nanoseconds.
    """

    def __init__(
        self, processor: SpanProcessor, share: float = 1.0, version: str = "", now: Callable[[], int] = time.time_ns
    ) -> None:
        ours = Resource.create({"service.name": "tta-service", "service.version": version})
        resource = ours.merge(OTELResourceDetector().detect())  # OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES
        told = share == 1 and "OTEL_TRACES_SAMPLER" in os.environ
        self._provider = TracerProvider(None if told else ParentBased(TraceIdRatioBased(share)), resource)
        self._provider.add_span_processor(processor)
        self._tracer, self._now = self._provider.get_tracer(__name__), now
        self._last: tuple[Report | Refused | None, str] = (None, "")
        self.handlers: Handlers = {Report: self._trace_answer, Refused: self._trace_refusal}

    def trace_of(self, event: Report | Refused) -> str:
        """The trace id of the last observed event, for exemplars and the log; "" when it has none or was another."""
        last, trace = self._last
        return trace if last is event else ""

    def close(self) -> None:
        """Send the buffered spans. Blocks until all are sent or given up."""
        self._provider.shutdown()

    def _trace_answer(self, report: Report) -> None:
        end, total = self._now(), report.seconds.get("total", 0.0)
        began = end - int(total * NANO)
        parent = W3C.extract({"traceparent": report.request.trace})
        span = self._tracer.start_span(_method(report), parent, kind=SpanKind.SERVER, start_time=began)
        self._last = report, _trace_id(span)
        if span.is_recording():
            span.set_attributes(attributes(report))
            context, stage_began = set_span_in_context(span), began
            for stage in STAGE_ORDER:
                if seconds := report.seconds.get(stage, 0.0):
                    stage_end = min(end, stage_began + int(seconds * NANO))
                    self._tracer.start_span(stage, context, start_time=stage_began).end(stage_end)
                    stage_began = stage_end
        span.end(end)

    def _trace_refusal(self, event: Refused) -> None:
        now, parent = self._now(), W3C.extract({"traceparent": event.trace})
        span = self._tracer.start_span(event.method, parent, kind=SpanKind.SERVER, start_time=now)
        self._last = event, _trace_id(span)
        kind = type(event.error).__name__
        attributes_of_error: dict[str, Any] = {
            "tta.strategy": event.strategy,
            "tta.session": event.session,
            "tta.request_id": event.request_id,
            "tta.frame_id": event.frame_id,
            "tta.policy": event.policy,
            "error.type": kind,
            "tta.field": event.error.field,
        }
        span.set_attributes(without_empty(**attributes_of_error))
        span.set_status(Status(StatusCode.ERROR, kind))
        span.end(now)


def otlp(endpoint: str, share: float = 1.0, version: str = "") -> Tracing:
    """A `Tracing` that sends spans to an OTLP collector by gRPC, in a thread of its own.

    `endpoint` is "http://host:4317", or "https://…" for TLS. A collector on this machine is reached without a proxy.
    """
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    is_local = urlsplit(endpoint).hostname in ("127.0.0.1", "::1", "localhost")
    options: Any = (("grpc.enable_http_proxy", 0),) if is_local else None
    return Tracing(BatchSpanProcessor(OTLPSpanExporter(endpoint, channel_options=options)), share, version)


def attributes(report: Report) -> dict[str, Any]:
    """The attributes of an answer's span, without the empty ones."""
    request = report.request
    values: dict[str, Any] = {
        "tta.strategy": report.strategy.name,
        "tta.reducer": request.reduction.reducer.name,
        "tta.views": report.views,
        "tta.batch_rows": report.batch_rows,
        "tta.session": report.session.id,
        "tta.request_id": request.request_id,
        "tta.frame_id": request.frame_id,
        "tta.label_set": request.labels.id,
        "tta.policy": request.policy,
        "tta.degraded": report.degraded.reason if report.degraded else "",
        "tta.escalated": report.escalated,
        "tta.guarded": report.guarded,
    }
    return without_empty(**values)


def _trace_id(span: Span) -> str:
    return format_trace_id(span.get_span_context().trace_id) if span.is_recording() else ""


def _method(report: Report) -> str:
    return "ClassifyStream" if report.request.streamed else "Classify"
