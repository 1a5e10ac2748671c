"""How long something takes, learnt while it happens: no constant of any machine."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

MIN_SAMPLES = 3  # times that a size was seen until it speaks for itself
SAFE_DEVIATIONS = 3.0  # mean deviations above the mean: about one in a hundred takes longer


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds that are `likely`, and how far they usually are off."""

    likely: float = 0.0
    spread: float = 0.0

    @property
    def safe(self) -> float:
        """Rarely more than this."""
        return self.likely + SAFE_DEVIATIONS * self.spread

    @property
    def least(self) -> float:
        """Hardly less than this."""
        return max(0.0, self.likely - self.spread)

    def __add__(self, other: Estimate) -> Estimate:
        return Estimate(self.likely + other.likely, math.hypot(self.spread, other.spread))

    def times(self, factor: float) -> Estimate:
        return Estimate(self.likely * factor, self.spread * factor)


class JacobsonEstimator:
    """Mean and mean deviation of what was seen lately: the round-trip estimator of TCP (Jacobson, 1988).

    What is far off counts only as far as four deviations, so that one hiccup changes little and a lasting change is
    followed within a few. Trust is lost sooner than it is regained.
    """

    def __init__(self) -> None:
        self._mean = self._deviation = 0.0
        self.count = 0

    def add(self, value: float) -> None:
        self.count += 1
        if self.count == 1:
            self._mean, self._deviation = value, value / 4
            return
        off = value - self._mean
        most = max(4 * self._deviation, abs(self._mean) / 4)
        off = max(-most, min(most, off))
        self._mean += off / min(8, self.count)
        self._deviation += (abs(off) - self._deviation) / min(self.count, 4 if abs(off) > self._deviation else 16)

    @property
    def estimate(self) -> Estimate:
        """Nothing, as long as nothing was seen."""
        return Estimate(self._mean, self._deviation)


class BySize:
    """Something that depends on a count, learnt apart for 1, 2, 3–4, 5–8, 9–16 … of it."""

    def __init__(self) -> None:
        self._sizes: dict[int, JacobsonEstimator] = {}

    def add(self, count: int, value: float) -> None:
        self._sizes.setdefault(_size(count), JacobsonEstimator()).add(value)

    def nearest(self, count: int) -> list[tuple[int, Estimate]]:
        """Its own size, and what is known of it; else the two nearest ones that were seen, the nearer first."""
        size = _size(count)
        trusted = [at for at, estimator in self._sizes.items() if estimator.count >= MIN_SAMPLES] or self._sizes
        nearest = sorted(trusted, key=lambda at: (abs(at - size), at))[:2]
        return [(1 << at, self._sizes[at].estimate) for at in (nearest[:1] if size in nearest[:1] else nearest)]


class UnitCost:
    """Seconds that a count of things takes: learnt for each one of them."""

    def __init__(self) -> None:
        self._each = BySize()

    def add(self, count: int, seconds: float) -> None:
        self._each.add(count, seconds / max(1, count))

    def of(self, count: int) -> Estimate | None:
        """None: nothing is known. Of a size never seen: on the straight line through the two nearest ones."""
        count = max(1, count)
        nearest = self._each.nearest(count)
        if not nearest:
            return None
        guess = nearest[0][1].times(count)
        if len(nearest) == 1:
            return guess
        (x, here), (other, there) = nearest
        slope = (there.likely * other - here.likely * x) / (other - x)
        return Estimate(max(0.0, here.likely * x + slope * (count - x)), guess.spread)


class InterpolatedCost:
    """Seconds of a forward by its rows as warm-up measured it, straight between the sizes that were tried."""

    def __init__(self, seconds: Mapping[int, float]) -> None:
        self._points = sorted(seconds.items())

    def __bool__(self) -> bool:
        return bool(self._points)

    def at(self, rows: int) -> float:
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
