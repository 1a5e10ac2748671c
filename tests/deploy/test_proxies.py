"""Local addresses are reached directly, whatever proxies the environment names."""

from __future__ import annotations

import http.server
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from tests.patience import PATIENCE
from tta_service.telemetry.exposition import Registry, serve

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies that do not answer."""
    for name in ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)


def test_the_health_check_of_a_container_uses_no_proxy() -> None:
    server = serve(Registry())
    for host in ("127.0.0.1", "localhost"):
        url = f"http://{host}:{server.address.rpartition(':')[2]}/healthz"
        command = [sys.executable, ROOT / "deploy" / "health.py", url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        assert (done.returncode, done.stdout) == (0, "SERVING\n")
    server.close()


def test_the_demo_reads_metrics_without_a_proxy() -> None:
    from tta_service.demo import scrape
    from tta_service.demo.service import Addresses

    class Numbers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"tta_requests_total 3")

        def log_message(self, *_: object) -> None: ...

    with http.server.HTTPServer(("127.0.0.1", 0), Numbers) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        assert scrape(Addresses("", f"http://127.0.0.1:{server.server_port}/metrics")) == "tta_requests_total 3"


def test_spans_reach_a_local_collector_without_a_proxy() -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.grpc", reason="opentelemetry (extra tracing)")
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as wire

    from tta_service.core.errors import BadImage
    from tta_service.core.events import Refused
    from tta_service.telemetry.tracing import otlp

    class Collector(wire.TraceServiceServicer):
        asked = threading.Event()

        def Export(self, request: object, context: object) -> pb.ExportTraceServiceResponse:
            self.asked.set()
            return pb.ExportTraceServiceResponse()

    server, collector = grpc.server(ThreadPoolExecutor(2)), Collector()
    wire.add_TraceServiceServicer_to_server(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    tracing = otlp(f"http://127.0.0.1:{port}")
    tracing.handlers[Refused](Refused(BadImage("it is empty", "image"), "Classify", "zero_shot"))
    tracing.close()
    assert collector.asked.is_set()
    server.stop(None).wait()
