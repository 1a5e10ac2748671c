"""/metrics over real HTTP."""

from __future__ import annotations

import resource
import socket
import threading
import urllib.error
import urllib.request

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families

from tests.patience import PATIENCE, until
from tests.telemetry.conftest import observe
from tests.telemetry.reports import make_report
from tta_service.core.request import STAGES
from tta_service.telemetry.exposition import serve
from tta_service.telemetry.metrics import Metrics


def scrape(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=PATIENCE) as reply:
        assert reply.headers["Content-Type"].startswith("text/plain")
        return reply.read().decode()


def test_metrics_are_served_until_closed():
    metrics = Metrics(("zero_shot",))
    observe(metrics, make_report())
    exposition = serve(metrics.registry)
    families = {family.name: family for family in text_string_to_metric_families(scrape(exposition.address))}
    assert families["tta_requests"].samples[0].value == 1
    exposition.close()
    with pytest.raises(urllib.error.URLError):
        scrape(exposition.address)


def test_several_servers_in_one_process_and_no_thread_left():
    before = set(threading.enumerate())
    expositions = [serve(Metrics(()).registry) for _ in range(3)]
    assert len({exposition.address for exposition in expositions}) == 3
    for exposition in expositions:
        scrape(exposition.address)
        exposition.close()
    until(lambda: set(threading.enumerate()) <= before)  # the threads of the last connections end by themselves


def test_a_taken_port_is_an_os_error():
    exposition = serve(Metrics(()).registry)
    try:
        with pytest.raises(OSError):
            serve(Metrics(()).registry, port=int(exposition.address.rpartition(":")[2]))
    finally:
        exposition.close()


def test_prometheus_gets_the_format_that_it_asks_for():
    metrics = Metrics(("zero_shot",))
    observe(metrics, make_report())
    exposition = serve(metrics.registry)
    try:
        wish = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"}
        asked = urllib.request.Request(f"http://{exposition.address}/metrics", headers=wish)
        with urllib.request.urlopen(asked, timeout=PATIENCE) as reply:
            assert reply.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
            families = {family.name: family for family in open_families(reply.read().decode())}
        assert families["tta_requests"].type == "counter"
        counts = [s.value for s in families["tta_stage_duration_seconds"].samples if s.name.endswith("_count")]
        assert counts == [1.0] * len(STAGES)
    finally:
        exposition.close()


@pytest.mark.parametrize("method, path, code", [("POST", "/metrics", 405), ("GET", "/secrets", 404)])
def test_nothing_else_is_served(method: str, path: str, code: int):
    exposition = serve(Metrics(()).registry)
    try:
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(
                urllib.request.Request(f"http://{exposition.address}{path}", method=method), timeout=PATIENCE
            )
        assert refused.value.code == code
    finally:
        exposition.close()


@pytest.mark.slow
def test_silent_connections_leave_files_to_the_service():
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, files[1]))
    try:
        exposition = serve(Metrics(()).registry)
        host, _, port = exposition.address.rpartition(":")
        before = threading.active_count()
        silent = [socket.create_connection((host, int(port)), PATIENCE) for _ in range(60)]
        assert [one.recv(1) for one in silent[32:]] == [b""] * 28  # closed at once
        assert threading.active_count() - before <= 32
        for one in silent:
            one.close()
        until(lambda: threading.active_count() <= before)
        scrape(exposition.address)
        exposition.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, files)
