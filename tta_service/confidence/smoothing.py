"""A stable label over time: one odd frame does not flip a state.

Each frame supports its label by its confidence; the support of a label is its sum over the last `window` frames,
divided by `window`. Two thresholds, as in a Schmitt trigger, keep a state from flickering.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..core.trust import Smoothing

Frame = tuple[int, float]  # label, confidence


def is_steady(smoothing: Smoothing) -> bool:
    """Whether no single frame can make a label stable, or end the state of a label that has all others."""
    return smoothing.enter * smoothing.window > 1 and smoothing.leave * smoothing.window <= smoothing.window - 1


def stable_label(smoothing: Smoothing, frames: Iterable[Frame], before: int | None) -> int | None:
    """The stable label after the window's frames, given the one before them."""
    support = dict[int, float]()
    for label, confidence in frames:
        support[label] = support.get(label, 0.0) + confidence / smoothing.window
    best = max(support, key=lambda label: support[label], default=None)
    if before is not None and support.get(before, 0.0) >= smoothing.leave:
        other = best is not None and best != before and support[best] >= smoothing.enter
        return best if other and support[best] > support[before] else before  # type: ignore[index]
    return best if best is not None and support[best] >= smoothing.enter else None
