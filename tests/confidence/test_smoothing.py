"""Stable labels over time."""

from __future__ import annotations

from collections import deque

import pytest

from tta_service.confidence.smoothing import is_steady, stable_label
from tta_service.core.trust import Smoothing

USUAL = Smoothing(window=5, enter=0.5, leave=0.3)


def play(frames: list[tuple[int, float]], smoothing: Smoothing = USUAL) -> list[int | None]:
    window, stable, found = deque[tuple[int, float]](maxlen=smoothing.window), None, list[int | None]()
    for one in frames:
        window.append(one)
        found.append(stable := stable_label(smoothing, window, stable))
    return found


@pytest.mark.parametrize("window", range(3, 20))
def test_no_single_frame_flips_a_steady_state(window: int) -> None:
    smoothing = Smoothing(window, enter=0.5, leave=0.5 if window > 2 else 0.3)
    assert is_steady(smoothing)
    for place in range(window + 1, 2 * window):
        frames = [(0, 1.0)] * 3 * window
        frames[place] = (1, 1.0)
        assert set(play(frames, smoothing)[window:]) == {0}


def test_what_would_flip_is_not_steady() -> None:
    assert not is_steady(Smoothing(2, 0.5, 0.3)) and not is_steady(Smoothing(5, 0.9, 0.85))


def test_a_label_enters_late_and_leaves_late() -> None:
    assert play([(0, 1.0)] * 3) == [None, None, 0]
    assert play([(0, 1.0)] * 5 + [(1, 1.0)] * 5)[5:] == [0, 0, 1, 1, 1]
    assert play([(0, 1.0)] * 5 + [(1, 0.2), (2, 0.2)] * 3)[5:] == [0, 0, 0, None, None, None]


def test_between_the_two_thresholds_the_state_stays() -> None:
    assert play([(0, 0.45)] * 10) == [None] * 10
    assert play([(0, 0.9)] * 5 + [(0, 0.45)] * 10)[5:] == [0] * 10
