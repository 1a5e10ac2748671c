"""What is registered, and how it is written for whoever scrapes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric

from .histograms import Histogram

END = b"# EOF\n"


class Registry(CollectorRegistry):
    """A registry of its own for each server, without the `_created` series (a third of all).

    prometheus_client can only leave them out for the whole process.
    """

    def __init__(self) -> None:
        super().__init__()
        self.histograms: list[Histogram] = []

    def histogram(self, name: str, help: str, labels: Iterable[str], buckets: Iterable[float]) -> Histogram:
        self.histograms.append(histogram := Histogram(name, help, tuple(labels), tuple(buckets)))
        return histogram

    def collect(self) -> Iterable[Metric]:
        yield from self.others()
        for histogram in self.histograms:
            yield histogram.collect()

    def others(self) -> Iterable[Metric]:
        """All but the histograms."""
        for family in super().collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family

    def render(self, accept: str) -> tuple[bytes, str]:
        """The text in the format that the HTTP header `accept` asks for, and its content type."""
        encode, content_type = choose_encoder(accept)
        others: Any = _Others(self)
        body = encode(others)
        opens = body.endswith(END)  # OpenMetrics, which alone knows exemplars
        pieces = [piece.encode() for histogram in self.histograms for piece in histogram.text(exemplars=opens)]
        return b"".join([body.removesuffix(END), *pieces, END if opens else b""]), content_type


class _Others:
    def __init__(self, registry: Registry) -> None:
        self.collect = registry.others
