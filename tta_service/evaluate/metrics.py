"""What a run is worth: accuracy, calibration, changed answers. Pure functions on arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .runs import Run

Numbers = NDArray[np.float64]
BINS = 20
FLOOR = 1e-6  # of a probability whose logarithm is taken: a vote share may be 0


def hits(run: Run, first: int = 1) -> Numbers:
    """[m] 1 where the right class is among the `first` best; equal scores in the order of the classes."""
    best = run.scores.argmax(1)[:, None]
    if first > 1:
        best = np.argsort(-run.scores, axis=1, kind="stable")[:, :first]
    return (best == run.label[:, None]).any(1).astype(float)


def zero_shot_hits(run: Run) -> Numbers:
    """[m] of the un-adapted answer to the same frames."""
    return (run.zero_shot == run.label).astype(float)


def calibration_error(scores: NDArray[np.floating], labels: NDArray[np.integer], bins: int = BINS) -> float:
    """ECE of Guo et al., ICML 2017, arXiv:1706.04599: equal-width bins (lo, hi], over all frames at once."""
    return float(sum(abs(right - sure) * share for sure, right, share in reliability(scores, labels, bins)))


def reliability(
    scores: NDArray[np.floating], labels: NDArray[np.integer], bins: int = BINS
) -> list[tuple[float, float, float]]:
    """Mean confidence, accuracy and share of the frames, of every bin that holds some."""
    sure, right = scores.max(1).astype(float), scores.argmax(1) == labels
    place = np.clip(np.ceil(sure * bins).astype(int) - 1, 0, bins - 1)
    found = []
    for one in np.unique(place):
        inside = place == one
        found.append((float(sure[inside].mean()), float(right[inside].mean()), float(inside.mean())))
    return found


def negative_log_likelihood(scores: NDArray[np.floating], labels: NDArray[np.integer]) -> Numbers:
    """[m] nats."""
    return -np.log(np.maximum(scores[np.arange(len(labels)), labels].astype(float), FLOOR))


def entropy(scores: NDArray[np.floating]) -> Numbers:
    """[m] nats; nothing has no surprise."""
    scores = scores.astype(float)
    return -(scores * np.log(np.where(scores > 0, scores, 1))).sum(1)


def mean_and_error(values: Numbers) -> tuple[float, float]:
    """Mean of independent values and its standard error."""
    spread = values.std(ddof=1) if len(values) > 1 else 0.0
    return float(values.mean()), float(spread / np.sqrt(max(1, len(values))))


def over_orders(by_order: Numbers) -> tuple[float, float]:
    """[r, n] values of the same pictures under several orders: mean, and its standard error.

    Two sources of chance add up: which pictures these are, and in which orders they came.
    """
    mean, error = mean_and_error(by_order.mean(0))
    _, between = mean_and_error(by_order.mean(1))
    return mean, float(np.hypot(error, between))


def block_error(values: Numbers, blocks: NDArray[np.integer], draws: int = 1000, seed: int = 0) -> float:
    """Standard error of the mean by bootstrap over whole blocks: frames of one block are not independent."""
    sums = np.bincount(blocks, values)
    sizes = np.bincount(blocks)
    sums, sizes = sums[sizes > 0], sizes[sizes > 0]
    if len(sums) < 2:
        return float("nan")
    drawn = np.random.default_rng(seed).integers(len(sums), size=(draws, len(sums)))
    return float((sums[drawn].sum(1) / sizes[drawn].sum(1)).std(ddof=1))
