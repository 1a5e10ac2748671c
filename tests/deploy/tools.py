"""Helpers for the tests of the deployment: Debian's promtool and prometheus, the metric names, the silent list."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from tta_service.core.catalogue import reducers, strategies
from tta_service.telemetry.collectors import Counts
from tta_service.telemetry.metrics import Metrics

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "rules.yml"
ADDED = {"up", "scrape_samples_scraped"}
ENDINGS = {"counter": ("_total",), "gauge": ("",), "info": ("_info",), "histogram": ("_bucket", "_sum", "_count")}


def program(name: str) -> str:
    """Its path. Skips the test where Debian's package is not installed."""
    if found := shutil.which(name):
        return found
    package = "prometheus" if name == "promtool" else name
    pytest.skip(f"no {name} here (Debian: apt-get install {package})")


def registry() -> Metrics:
    """The numbers of a server, as the service builds them, before anything has happened."""
    metrics = Metrics(strategies.names(), reducers.names())
    metrics.register_counts(Counts)
    return metrics


def families() -> Iterator[Metric]:
    """All families of our registry, those without values too."""
    return text_string_to_metric_families(registry().registry.render()[0].decode())


@cache
def exported() -> set[str]:
    """The names of all series that our registry can make, and of those that Prometheus adds."""
    return {f"{family.name}{ending}" for family in families() for ending in ENDINGS[family.type]} | ADDED


def names(expression: str) -> set[str]:
    """The metrics that an expression reads: words outside of braces, brackets and quotes that are no PromQL."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]", " ", bare)
    bare = re.sub(r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\([^)]*\)", " ", bare)
    words = re.findall(r"(?<![\w:.])[A-Za-z_:][\w:]*(?!\s*\()(?![\w:])", bare)
    return set(words) - {"or", "and", "unless", "bool"}


def silent() -> dict[str, str]:
    """Metrics that have no data without special hardware or setup, with the reason."""
    lines = (DEPLOY / "silent.txt").read_text().splitlines()
    pairs = (line.split(": ", 1) for line in lines if line and not line.startswith("#"))
    return dict(pairs)
