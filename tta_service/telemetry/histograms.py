"""Histograms that are quick to scrape: each child formats the text of its bounds once and adds its counts to it.

Those of prometheus_client make an object and format a line for each bucket at each scrape, 20 to 30 times as long, and
hold up the requests meanwhile: `benchmarks/histograms.py` measures both.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from threading import Lock

from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

Labels = tuple[str, ...]
_lock = Lock()  # of all children, which it guards for a few additions at a time


class HistogramChild:
    """The values under one set of label values: their count in each bucket, their sum, each bucket's last trace."""

    __slots__ = ("bounds", "counts", "exemplars", "lines", "sum")

    def __init__(self, bounds: Sequence[float], lines: Sequence[str]) -> None:
        self.bounds, self.lines = bounds, lines
        self.counts, self.sum = [0] * (len(bounds) + 1), 0.0
        self.exemplars: dict[int, Exemplar] = {}

    def text(self, exemplars: bool) -> str:
        """The lines of this child, with exemplars where the format has them."""
        with _lock:
            counts, total, traced = list(accumulate(self.counts)), self.sum, dict(self.exemplars)
        lines = [f"{line}{count}.0" for line, count in zip(self.lines, counts, strict=False)]
        for bucket, one in traced.items() if exemplars else ():
            lines[bucket] += f' # {{trace_id="{one.labels["trace_id"]}"}} {one.value!r} {one.timestamp!r}'
        return "\n".join([*lines, f"{self.lines[-2]}{counts[-1]}.0", f"{self.lines[-1]}{floatToGoString(total)}", ""])


class Histogram(dict[Labels, HistogramChild]):
    """A histogram: its children by label values, each made on first use. `buckets` are rising upper bounds.

    Raises ValueError for another number of label values.
    """

    def __init__(self, name: str, help: str, labels: Sequence[str], buckets: Iterable[float]) -> None:
        self.name, self._help, self.label_names = name, help, tuple(labels)
        self._bounds = tuple(map(float, buckets))

    def __missing__(self, values: Labels) -> HistogramChild:
        return self.setdefault(values, HistogramChild(self._bounds, self._lines(values)))

    def text(self, exemplars: bool = False) -> Iterator[str]:
        """The Prometheus text. For a histogram OpenMetrics differs from it only in having exemplars."""
        yield f"# HELP {self.name} {self._help}\n# TYPE {self.name} histogram\n"
        for child in list(self.values()):
            yield child.text(exemplars)

    def _lines(self, values: Labels) -> list[str]:
        if len(values) != len(self.label_names):
            raise ValueError(f"{self.name} has the labels {self.label_names}, not {len(values)}")
        labels = ",".join(f'{label}="{_escape(value)}"' for label, value in zip(self.label_names, values, strict=True))
        les = [*map(floatToGoString, self._bounds), "+Inf"]
        buckets = [f'{self.name}_bucket{{{labels}{"," if labels else ""}le="{le}"}} ' for le in les]
        braced = f"{{{labels}}}" if labels else ""
        return [*buckets, f"{self.name}_count{braced} ", f"{self.name}_sum{braced} "]


def observe(values: Iterable[tuple[HistogramChild, float]], trace: str = "") -> None:
    """Add a value to each of these children; `trace` is the id of the trace in which they happened, "" for none."""
    with _lock:
        for child, value in values:
            bucket = bisect_left(child.bounds, value)
            child.counts[bucket] += 1
            child.sum += value
            if trace:
                child.exemplars[bucket] = Exemplar({"trace_id": trace}, value, time.time())


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
