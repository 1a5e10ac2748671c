"""Histograms that are quick to scrape: a child formats the text of its bounds once and adds its counts to it.

Those of prometheus_client make an object and a formatted line for each bucket: 25 ms for all stages of all strategies.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate
from threading import Lock
from typing import Any

from prometheus_client.metrics_core import HistogramMetricFamily, Metric
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString


class HistogramChild:
    """The values under one set of label values: their count in each bucket, their sum, each bucket's last trace."""

    __slots__ = ("_bounds", "_counts", "_exemplars", "_lines", "_lock", "_sum")

    def __init__(self, bounds: Sequence[float], lines: Sequence[str]) -> None:
        self._bounds, self._lines, self._lock = bounds, lines, Lock()
        self._counts, self._sum = [0] * (len(bounds) + 1), 0.0
        self._exemplars: dict[int, Exemplar] = {}

    def observe(self, value: float, trace: str = "") -> None:
        """Add one value; `trace` is the id of the trace in which it happened, "" for none."""
        bucket = bisect_left(self._bounds, value)
        with self._lock:
            self._counts[bucket] += 1
            self._sum += value
            if trace:
                self._exemplars[bucket] = Exemplar({"trace_id": trace}, value, time.time())

    def read(self) -> tuple[list[int], float, dict[int, Exemplar]]:
        """Cumulative counts by bucket, the sum and exemplars by bucket, all at one moment."""
        with self._lock:
            counts, total, exemplars = list(self._counts), self._sum, dict(self._exemplars)
        return list(accumulate(counts)), total, exemplars

    def text(self, exemplars: bool) -> str:
        """The lines of this child, with exemplars where the format has them."""
        counts, total, traced = self.read()
        lines = [f"{line}{count}.0" for line, count in zip(self._lines, counts, strict=False)]
        for bucket, one in traced.items() if exemplars else ():
            lines[bucket] += f' # {{trace_id="{one.labels["trace_id"]}"}} {one.value!r} {one.timestamp!r}'
        return "\n".join([*lines, f"{self._lines[-2]}{counts[-1]}.0", f"{self._lines[-1]}{floatToGoString(total)}", ""])


class Histogram:
    """A histogram with labels: one `HistogramChild` for each set of label values. `buckets` are rising upper bounds."""

    def __init__(self, name: str, help: str, labels: Sequence[str], buckets: Sequence[float]) -> None:
        self.name, self._help, self.label_names = name, help, tuple(labels)
        self._bounds = tuple(map(float, buckets))
        self._les = [*map(floatToGoString, self._bounds), "+Inf"]
        self._children_by_values: dict[tuple[str, ...], HistogramChild] = {}
        self._lock = Lock()

    def labels(self, *values: str) -> HistogramChild:
        """The child of these label values, made on first use. Raises ValueError for another number of labels."""
        if child := self._children_by_values.get(values):
            return child
        with self._lock:
            return self._children_by_values.setdefault(values, HistogramChild(self._bounds, self._lines(values)))

    def collect(self) -> Metric:
        """The histogram as a family, for code that reads families instead of text."""
        family = HistogramMetricFamily(self.name, self._help, labels=self.label_names)
        for values, child in self._children():
            counts, total, exemplars = child.read()
            buckets: list[Any] = [(le, float(counts[i]), exemplars.get(i)) for i, le in enumerate(self._les)]
            family.add_metric(values, buckets, total)
        return family

    def text(self, exemplars: bool = False) -> Iterator[str]:
        """The Prometheus text. For a histogram OpenMetrics differs from it only in having exemplars."""
        yield f"# HELP {self.name} {self._help}\n# TYPE {self.name} histogram\n"
        for _, child in self._children():
            yield child.text(exemplars)

    def _children(self) -> list[tuple[tuple[str, ...], HistogramChild]]:
        with self._lock:
            return list(self._children_by_values.items())

    def _lines(self, values: tuple[str, ...]) -> list[str]:
        if len(values) != len(self.label_names):
            raise ValueError(f"{self.name} has the labels {self.label_names}, not {len(values)}")
        labels = ",".join(f'{label}="{_escape(value)}"' for label, value in zip(self.label_names, values, strict=True))
        buckets = [f'{self.name}_bucket{{{labels}{"," if labels else ""}le="{le}"}} ' for le in self._les]
        braced = f"{{{labels}}}" if labels else ""
        return [*buckets, f"{self.name}_count{braced} ", f"{self.name}_sum{braced} "]


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
