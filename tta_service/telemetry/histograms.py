"""Histograms that are quick to scrape: a child's lines are its bounds, written once, and its counts.

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
    """One child: how many values fell into each bucket, their sum, and the last trace of each bucket."""

    __slots__ = ("_bounds", "_counts", "_exemplars", "_lines", "_lock", "_sum")

    def __init__(self, bounds: Sequence[float], lines: Sequence[str]) -> None:
        self._bounds, self._lines, self._lock = bounds, lines, Lock()
        self._counts, self._sum = [0] * (len(bounds) + 1), 0.0
        self._exemplars: dict[int, Exemplar] = {}

    def observe(self, value: float, trace: str = "") -> None:
        """`trace`: the id of a trace in which it happened."""
        bucket = bisect_left(self._bounds, value)
        with self._lock:
            self._counts[bucket] += 1
            self._sum += value
            if trace:
                self._exemplars[bucket] = Exemplar({"trace_id": trace}, value, time.time())

    def read(self) -> tuple[list[int], float, dict[int, Exemplar]]:
        """Cumulative counts by bucket, the sum, exemplars by bucket; of one moment."""
        with self._lock:
            counts, total, exemplars = list(self._counts), self._sum, dict(self._exemplars)
        return list(accumulate(counts)), total, exemplars

    def text(self, exemplars: bool) -> str:
        counts, total, traced = self.read()
        lines = [f"{line}{count}.0" for line, count in zip(self._lines, counts, strict=False)]
        for bucket, one in traced.items() if exemplars else ():
            lines[bucket] += f' # {{trace_id="{one.labels["trace_id"]}"}} {one.value!r} {one.timestamp!r}'
        return "\n".join([*lines, f"{self._lines[-2]}{counts[-1]}.0", f"{self._lines[-1]}{floatToGoString(total)}", ""])


class Histogram:
    """A family. `labels(…)` gives the child of these values, made on first use."""

    def __init__(self, name: str, help: str, labels: Sequence[str], buckets: Sequence[float]) -> None:
        self.name, self._help, self._labels = name, help, tuple(labels)
        self._bounds = tuple(map(float, buckets))
        self._les = [*map(floatToGoString, self._bounds), "+Inf"]
        self._children_by_values: dict[tuple[str, ...], HistogramChild] = {}
        self._lock = Lock()

    def labels(self, *values: str) -> HistogramChild:
        if tally := self._children_by_values.get(values):
            return tally
        with self._lock:
            return self._children_by_values.setdefault(values, HistogramChild(self._bounds, self._lines(values)))

    def collect(self) -> Metric:
        """For whoever reads families, not text."""
        family = HistogramMetricFamily(self.name, self._help, labels=self._labels)
        for values, tally in self._children():
            counts, total, exemplars = tally.read()
            buckets: list[Any] = [(le, float(counts[i]), exemplars.get(i)) for i, le in enumerate(self._les)]
            family.add_metric(values, buckets, total)
        return family

    def text(self, exemplars: bool = False) -> Iterator[str]:
        """In the Prometheus format, which for a histogram is that of OpenMetrics but for the exemplars."""
        yield f"# HELP {self.name} {self._help}\n# TYPE {self.name} histogram\n"
        for _, tally in self._children():
            yield tally.text(exemplars)

    def _children(self) -> list[tuple[tuple[str, ...], HistogramChild]]:
        with self._lock:
            return list(self._children_by_values.items())

    def _lines(self, values: tuple[str, ...]) -> list[str]:
        if len(values) != len(self._labels):
            raise ValueError(f"{self.name} has the labels {self._labels}, not {len(values)}")
        labels = ",".join(f'{label}="{_escape(value)}"' for label, value in zip(self._labels, values, strict=True))
        buckets = [f'{self.name}_bucket{{{labels}{"," if labels else ""}le="{le}"}} ' for le in self._les]
        braced = f"{{{labels}}}" if labels else ""
        return [*buckets, f"{self.name}_count{braced} ", f"{self.name}_sum{braced} "]


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
