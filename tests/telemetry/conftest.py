"""The metrics of a server, and their values as Prometheus reads them."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tta_service.core.errors import BadImage
from tta_service.core.events import Event
from tta_service.telemetry.metrics import Metrics


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(("zero_shot", "tda"), code_of=lambda error: {BadImage: "INVALID_ARGUMENT"}.get(type(error), "OTHER"))


def observe(metrics: Metrics, event: Event) -> None:
    metrics.handlers[type(event)](event)


def scrape(metrics: Metrics) -> str:
    return metrics.registry.render()[0].decode()


def read_metric(metrics: Metrics, name: str, **labels: str) -> float | None:
    for family in text_string_to_metric_families(scrape(metrics)):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return sample.value
    return None
