"""Estimators of a duration that learn from measurements; no constant depends on a machine."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

MIN_SAMPLES = 3  # measurements of one size before its own estimate is trusted
SAFE_DEVIATIONS = 3.0  # mean deviations above the mean: about one in a hundred takes longer


@dataclass(frozen=True, slots=True)
class Estimate:
    """A duration in seconds: the `likely` value and the `spread`, its mean deviation."""

    likely: float = 0.0
    spread: float = 0.0

    @property
    def safe(self) -> float:
        """Seconds that are rarely exceeded."""
        return self.likely + SAFE_DEVIATIONS * self.spread

    @property
    def least(self) -> float:
        """Seconds that it hardly ever stays below."""
        return max(0.0, self.likely - self.spread)

    def __add__(self, other: Estimate) -> Estimate:
        return Estimate(self.likely + other.likely, math.hypot(self.spread, other.spread))

    def times(self, factor: float) -> Estimate:
        """Value and spread multiplied by `factor`."""
        return Estimate(self.likely * factor, self.spread * factor)


class JacobsonEstimator:
    """Moving mean and mean deviation of recent values: the round-trip estimator of TCP (Jacobson, 1988).

    A value is clipped to four deviations from the mean, so that one outlier changes little and a lasting change is
    followed within a few values. The deviation grows faster than it shrinks.
    """

    def __init__(self) -> None:
        self._mean = self._deviation = 0.0
        self.count = 0

    def add(self, value: float) -> None:
        """Learns one measured value."""
        self.count += 1
        if self.count == 1:
            self._mean, self._deviation = value, value / 4
            return
        off = value - self._mean
        limit = max(4 * self._deviation, abs(self._mean) / 4)
        off = max(-limit, min(limit, off))
        self._mean += off / min(8, self.count)
        self._deviation += (abs(off) - self._deviation) / min(self.count, 4 if abs(off) > self._deviation else 16)

    @property
    def estimate(self) -> Estimate:
        """Mean and deviation; zero before the first value."""
        return Estimate(self._mean, self._deviation)


class UnitCost:
    """A value for each of some items, learnt separately for the counts 1, 2, 3–4, 5–8, 9–16 …"""

    def __init__(self) -> None:
        self._sizes: dict[int, JacobsonEstimator] = {}

    def add(self, count: int, each: float) -> None:
        """Learns the value for each of `count` items."""
        size = _size(count)
        if size not in self._sizes:
            self._sizes[size] = JacobsonEstimator()
        self._sizes[size].add(each)

    def nearest(self, count: int) -> list[tuple[int, Estimate]]:
        """(count, value for each) of its own size; if that is unknown, of the two nearest known, nearest first."""
        size = _size(count)
        trusted = [at for at, estimator in self._sizes.items() if estimator.count >= MIN_SAMPLES] or self._sizes
        nearest = sorted(trusted, key=lambda at: (abs(at - size), at))[:2]
        return [(1 << at, self._sizes[at].estimate) for at in (nearest[:1] if size in nearest[:1] else nearest)]

    def of(self, count: int) -> Estimate:
        """The value of `count` items together; an unknown count lies on the line through the two nearest."""
        count = max(1, count)
        nearest = self.nearest(count)
        guess = nearest[0][1].times(count)
        if len(nearest) == 1:
            return guess
        (x, here), (other, there) = nearest
        slope = (there.likely * other - here.likely * x) / (other - x)
        return Estimate(max(0.0, here.likely * x + slope * (count - x)), guess.spread)


class InterpolatedCost:
    """Seconds of a forward by its rows, interpolated linearly between the sizes that were measured, at least one."""

    def __init__(self, seconds: Mapping[int, float]) -> None:
        self._points = sorted(seconds.items())

    def at(self, rows: int) -> float:
        """Seconds for `rows`; outside the measured sizes proportional to the nearest one."""
        below = [point for point in self._points if point[0] <= rows]
        above = [point for point in self._points if point[0] >= rows]
        if not above:
            return below[-1][1] * rows / below[-1][0]
        if not below:
            return above[0][1] * rows / above[0][0]
        (few, short), (many, long) = below[-1], above[0]
        return short if few == many else short + (long - short) * (rows - few) / (many - few)


def _size(count: int) -> int:
    return max(0, count - 1).bit_length()
