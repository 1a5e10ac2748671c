"""/metrics over real HTTP."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.telemetry.events import report
from tta_service.telemetry.exposition import serve
from tta_service.telemetry.metrics import Metrics


def scrape(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as reply:
        assert reply.headers["Content-Type"].startswith("text/plain")
        return reply.read().decode()


def test_metrics_are_served_until_closed():
    metrics = Metrics(("zero_shot",))
    metrics.observe(report())
    exposition = serve(metrics.registry)
    families = {family.name: family for family in text_string_to_metric_families(scrape(exposition.address))}
    assert families["tta_requests"].samples[0].value == 1
    exposition.close()
    with pytest.raises(urllib.error.URLError):
        scrape(exposition.address)


def test_several_servers_in_one_process_and_no_thread_left():
    before = threading.active_count()
    expositions = [serve(Metrics(()).registry) for _ in range(3)]
    assert len({exposition.address for exposition in expositions}) == 3
    for exposition in expositions:
        scrape(exposition.address)
        exposition.close()
    assert threading.active_count() == before


def test_a_taken_port_is_an_os_error():
    exposition = serve(Metrics(()).registry)
    try:
        with pytest.raises(OSError):
            serve(Metrics(()).registry, port=int(exposition.address.rpartition(":")[2]))
    finally:
        exposition.close()
