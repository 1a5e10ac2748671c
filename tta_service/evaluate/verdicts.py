"""Helps, hurts, or neither can be said: two standard errors, and Holm's correction over the whole table."""

from __future__ import annotations

import math
from collections.abc import Sequence

LEVEL = 0.05


def two_sided(mean: float, error: float, differing: float) -> float:
    """p of a normal deviate as large as mean / error, but never below that of the exact sign test.

    Where `differing` pictures differ in all, they side with one of both by chance alone with 2 · ½^differing: few
    pictures that happen to agree have a small spread, or none, and prove nothing.
    """
    normal = math.erfc(abs(mean) / error / math.sqrt(2)) if error else float(mean == 0)
    return max(normal, min(1.0, 2 * 0.5**differing))


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted p-values in the same order. Holm, Scandinavian Journal of Statistics 6, 1979."""
    order = sorted(range(len(p)), key=lambda i: p[i])
    adjusted, least = [0.0] * len(p), 0.0
    for rank, i in enumerate(order):
        least = max(least, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = least
    return adjusted


def judge_family(tests: Sequence[tuple[float, float, float]]) -> list[tuple[float, str]]:
    """Adjusted p-values and verdicts of paired differences: their means, standard errors, and pictures that differ."""
    adjusted = holm([two_sided(*one) for one in tests])
    return [(p, verdict(mean, error, p)) for (mean, error, _), p in zip(tests, adjusted)]


def verdict(mean: float, error: float, adjusted: float) -> str:
    """ "helps", "hurts" or "" for a paired difference."""
    if abs(mean) <= 2 * error or adjusted >= LEVEL:
        return ""
    return "helps" if mean > 0 else "hurts"
