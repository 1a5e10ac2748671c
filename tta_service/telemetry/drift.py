"""Drift: how far recent images are from the first ones. It shows a moved camera or a lost focus at little cost.

The first `START` answers of a strategy set the reference: their mean entropy and mean feature. From then on the recent
mean follows with weight 1/`START` for each answer (half of it is from the last 44). Published are the difference of the
entropies (−1..1) and the Euclidean distance of the mean features (0..2). Noise keeps both above 0 on unchanging images:
about 0.15 of the spread of single images.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy
from numpy.typing import NDArray

START = 64


@dataclass(slots=True)
class _Means:
    """The means over one strategy's answers."""

    count: int
    start: NDArray[Any]  # [1 + d] entropy and feature, mean of the first ones
    recent: NDArray[Any]  # [1 + d] moving mean


class Drift:
    """The drift of each strategy by itself. `update` may be called from any thread."""

    def __init__(self) -> None:
        self._means: dict[str, _Means] = {}
        self._lock = Lock()

    def update(self, strategy: str, entropy: float, feature: NDArray[Any]) -> tuple[float, float] | None:
        """Add an answer with its relative entropy and feature [d].

        Returns the entropy difference and the feature distance; None until the reference is complete.
        """
        now = numpy.concatenate(([entropy], feature))
        with self._lock:
            means = self._means.get(strategy)
            if means is None or len(means.start) != len(now):
                self._means[strategy] = _Means(1, now, now)
                return None
            means.count += 1
            if means.count <= START:
                means.start = means.start + (now - means.start) / means.count
                means.recent = means.start
                return None
            means.recent = means.recent + (now - means.recent) / START
            difference = means.recent - means.start
        return float(difference[0]), float(numpy.linalg.norm(difference[1:]))
