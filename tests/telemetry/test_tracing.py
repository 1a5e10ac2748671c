"""Reports become spans, read back from OpenTelemetry's own exporters."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

pytest.importorskip("opentelemetry.sdk")
pytest.importorskip("opentelemetry.exporter.otlp.proto.grpc")

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp_pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as otlp_grpc
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.telemetry.reports import make_report
from tta_service.app.observers import make_tracing as find_tracing
from tta_service.core.errors import BadImage
from tta_service.core.events import Event, Refused
from tta_service.core.request import STAGES, Report
from tta_service.telemetry import combine_observers
from tta_service.telemetry.access_log import AccessLog
from tta_service.telemetry.logging import configure_logging
from tta_service.telemetry.metrics import Metrics
from tta_service.telemetry.tracing import Tracing, otlp

Read = Callable[[], tuple[ReadableSpan, ...]]


def make_tracing(share: float = 1.0) -> tuple[Tracing, Read]:
    exporter = InMemorySpanExporter()
    return Tracing(SimpleSpanProcessor(exporter), share, now=lambda: 10**18), exporter.get_finished_spans


def trace(tracing: Tracing, event: Event) -> None:
    tracing.handlers[type(event)](event)


def test_an_answer_is_a_span_with_its_stages_below_it():
    tracing, read = make_tracing()
    trace(tracing, make_report(policy="latest"))
    *stages, answer = read()
    assert (answer.name, answer.parent) == ("ClassifyStream", None)
    assert answer.end_time == 10**18 and answer.end_time - answer.start_time == 80_000_000
    assert {span.name for span in stages} == set(STAGES) and len(stages) == len(STAGES)
    assert all(span.parent == answer.context and span.end_time - span.start_time == 10_000_000 for span in stages)
    assert [later.start_time for later in stages[1:]] == [span.end_time for span in stages[:-1]]
    assert answer.attributes["tta.strategy"] == "zero_shot" and answer.attributes["tta.session"] == "gate"
    assert not [value for value in answer.attributes.values() if "thing" in str(value)]  # no label of a user


def test_the_environment_names_the_resource(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OTEL_SERVICE_NAME", "belt")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "site=north")
    tracing, read = make_tracing()
    trace(tracing, make_report())
    named = read()[0].resource.attributes
    assert (named["service.name"], named["site"]) == ("belt", "north") and "service.version" in named
    monkeypatch.delenv("OTEL_SERVICE_NAME")
    tracing, read = make_tracing()
    trace(tracing, make_report())
    assert read()[0].resource.attributes["service.name"] == "tta-service"


def test_a_stage_that_took_no_time_has_no_span_and_none_outlives_the_answer():
    tracing, read = make_tracing()
    trace(tracing, replace(make_report(), seconds={"decode": 0.0, "encode": 0.5, "adapt": 0.5, "total": 0.6}))
    *stages, answer = read()
    assert [span.name for span in stages] == ["encode", "adapt"]
    assert max(span.end_time for span in stages) <= answer.end_time


def test_a_refusal_is_a_failed_span():
    tracing, read = make_tracing()
    trace(tracing, Refused(BadImage("broken", "image"), "ClassifyStream", "tda", "latest", session="gate", frame_id=0))
    (span,) = read()
    assert not span.status.is_ok and span.attributes is not None
    expected = {"error.type": "BadImage", "tta.field": "image", "tta.strategy": "tda", "tta.policy": "latest"}
    assert dict(span.attributes) == {**expected, "tta.session": "gate", "tta.frame_id": 0}


def test_durations_carry_the_trace_of_their_span():
    tracing, read = make_tracing()
    metrics = Metrics(("zero_shot",), trace_of=tracing.trace_of)
    combine_observers(tracing.handlers, metrics.handlers)(make_report())
    text, _ = metrics.registry.render("application/openmetrics-text; version=1.0.0")
    trace = f"{read()[-1].context.trace_id:032x}"
    lines = [line for line in text.decode().splitlines() if f'# {{trace_id="{trace}"}}' in line]
    assert len(lines) == 1 + len(STAGES)


CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"  # W3C Trace Context, 3.2.4


@pytest.mark.parametrize("event", [make_report(), Refused(BadImage("broken", "image"), "Classify", "tda")], ids=type)
def test_the_span_is_a_child_of_the_callers(event: Event):
    tracing, read = make_tracing(share=0)  # the caller has decided
    trace(tracing, with_trace(event, f"{CALLER}-01"))
    span = read()[-1]
    assert span.parent and f"00-{span.parent.trace_id:032x}-{span.parent.span_id:016x}" == CALLER
    assert span.context.trace_id == span.parent.trace_id


def test_a_caller_who_does_not_trace_is_not_traced():
    tracing, read = make_tracing(share=1)
    trace(tracing, with_trace(make_report(), f"{CALLER}-00"))
    assert read() == ()


def test_a_malformed_traceparent_begins_a_trace_of_its_own():
    tracing, read = make_tracing()
    trace(tracing, with_trace(make_report(), "00-0-0-01"))
    assert read()[-1].parent is None


def with_trace(event: Event, trace: str) -> Event:
    if isinstance(event, Refused):
        return replace(event, trace=trace)
    assert isinstance(event, Report)
    return replace(event, request=replace(event.request, trace=trace))


def test_none_of_the_answers_is_traced_when_the_share_is_0():
    tracing, read = make_tracing(share=0)
    done = make_report()
    trace(tracing, done)
    assert read() == () and tracing.trace_of(done) == ""


def test_the_log_has_the_trace_of_the_span():
    tracing, read = make_tracing()
    stream = io.StringIO()
    with configure_logging(stream, "json"):
        observe = combine_observers(tracing.handlers, AccessLog(trace_of=tracing.trace_of).handlers)
        observe(make_report())
        observe(Refused(BadImage("broken", "image"), "Classify", "tda"))
    *_, answered, refused = [f"{span.context.trace_id:032x}" for span in read()]
    assert [json.loads(line)["trace_id"] for line in stream.getvalue().splitlines()] == [answered, refused]


def test_the_sampler_of_the_environment_holds_where_no_share_is_set(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    for share, spans in ((1.0, 0), (0.999999, 1)):
        tracing, read = make_tracing(share)
        trace(tracing, make_report())
        assert len(read()[-1:]) == spans


@pytest.mark.parametrize("name", ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"])
def test_the_collector_of_the_environment_is_found(monkeypatch: pytest.MonkeyPatch, name: str):
    for variable in [variable for variable in os.environ if variable.startswith("OTEL_")]:
        monkeypatch.delenv(variable)
    assert find_tracing("", 1.0) is None
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert isinstance(find_tracing("", 1.0), Tracing)
    for variable, value in {
        "OTEL_SDK_DISABLED": "true",
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    }.items():
        with monkeypatch.context() as one:
            one.setenv(variable, value)
            assert find_tracing("", 1.0) is None


class Collector(otlp_grpc.TraceServiceServicer):
    def __init__(self) -> None:
        self.spans: list[str] = []

    def Export(self, request, context):
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.spans += [span.name for span in scope.spans]
        return otlp_pb.ExportTraceServiceResponse()


def test_closing_sends_all_to_the_collector():
    with ThreadPoolExecutor(1) as threads:
        server, collector = grpc.server(threads), Collector()
        otlp_grpc.add_TraceServiceServicer_to_server(collector, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        tracing = otlp(f"http://127.0.0.1:{port}")
        trace(tracing, make_report())
        tracing.close()
        server.stop(None).wait()
    assert sorted(collector.spans) == sorted(["Classify", *STAGES])
