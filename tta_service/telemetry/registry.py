"""The registry of one server, and its text for scrapers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric

from .histograms import Histogram

END = b"# EOF\n"


class Registry(CollectorRegistry):
    """A registry without the `_created` series, which would be a third of all.

    prometheus_client can leave them out only for the whole process.
    """

    def __init__(self) -> None:
        super().__init__()
        self.histograms: list[Histogram] = []

    def histogram(self, name: str, help: str, labels: Iterable[str], buckets: Iterable[float]) -> Histogram:
        """A new histogram in this registry; `buckets` are the rising upper bounds."""
        self.histograms.append(histogram := Histogram(name, help, tuple(labels), tuple(buckets)))
        return histogram

    def collect(self) -> Iterable[Metric]:
        """All families, the histograms last."""
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
        is_open_metrics = body.endswith(END)  # the only format with exemplars
        pieces = [piece.encode() for one in self.histograms for piece in one.text(exemplars=is_open_metrics)]
        return b"".join([body.removesuffix(END), *pieces, END if is_open_metrics else b""]), content_type


class _Others:
    """The registry without its histograms, as an encoder reads it."""

    def __init__(self, registry: Registry) -> None:
        self.collect = registry.others
