"""The gate: what moves passes, what stands still does not, and never two frames too soon after one another."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tta_client import Frame, Statistics
from tta_client.camera import Gate, gated
from tta_client.camera.thumbnail import _with_opencv, _with_pillow

from tests.client.clips import jpeg

pytest.importorskip("PIL", reason="the motion gate needs OpenCV or Pillow (extra camera)")
STREET = np.random.default_rng(0).integers(60, 200, (12, 16, 3)).astype(np.uint8).repeat(20, 0).repeat(20, 1)
PERSON = STREET.copy()
PERSON[80:200, 100:160] = 255


def noisy(seed: int) -> np.ndarray:
    grain = np.random.default_rng(seed).normal(0, 8, STREET.shape)
    return np.clip(STREET + grain, 0, 255).astype(np.uint8)


def frames(times: list[float], pictures: list | None = None) -> list[Frame]:
    return [Frame(n, pictures[n - 1] if pictures else b"", captured=at) for n, at in enumerate(times, 1)]


@given(st.lists(st.floats(0, 3), min_size=1, max_size=60), st.floats(0.0, 5.0))
def test_frames_are_never_closer_than_the_interval(gaps: list[float], shortest: float) -> None:
    times, statistics = list(np.cumsum(gaps)), Statistics()
    passed = list(gated(frames(times), Gate(shortest=shortest), statistics))
    assert passed[0].frame_id == 1
    assert all(b.captured - a.captured >= shortest * 0.75 and b.frame_id > a.frame_id for a, b in pairwise(passed))
    assert len(passed) + statistics.skipped["interval"] == len(times)
    for before, after in pairwise(passed):  # and the first that may pass does
        assert all(t - before.captured < shortest for t in times[before.frame_id : after.frame_id - 1])


@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_only_what_differs_from_the_last_one_sent_passes(there: list[bool]) -> None:
    shown = [PERSON if one else STREET for one in there]
    passed = gated(frames([n / 10 for n in range(len(there))], shown), Gate(motion=0.01), statistics := Statistics())
    changes = [n for n in range(1, len(there)) if there[n] != there[n - 1]]
    assert [f.frame_id - 1 for f in passed] == [0, *changes]
    assert statistics.skipped["still"] == len(there) - 1 - len(changes)


def test_noise_is_no_motion_and_a_slow_change_is_seen_in_the_end() -> None:
    quiet = frames([float(n) for n in range(20)], [noisy(n) for n in range(20)])
    assert [f.frame_id for f in gated(quiet, Gate(motion=0.01), Statistics())] == [1]
    dusk = frames([float(n) for n in range(20)], [(STREET * (1 - n / 40)).astype(np.uint8) for n in range(20)])
    assert 2 <= len(list(gated(dusk, Gate(motion=0.01), Statistics()))) <= 6


def test_after_the_longest_interval_one_passes_though_nothing_moved() -> None:
    still = frames([n / 2 for n in range(21)], [STREET] * 21)
    assert [f.captured for f in gated(still, Gate(0.01, longest=3.0), Statistics())] == [0.0, 3.0, 6.0, 9.0]


def test_what_was_lost_on_its_way_is_shown_again() -> None:
    statistics = Statistics()
    passing = gated(frames([1.0, 2.0, 3.0, 4.0], [STREET, PERSON, PERSON, PERSON]), Gate(motion=0.01), statistics)
    assert [next(passing).frame_id, next(passing).frame_id] == [1, 2]
    statistics.dropped["disconnect"] += 1  # the frame with the person in it
    assert [f.frame_id for f in passing] == [3]


@pytest.mark.parametrize("shrink", [_with_opencv, _with_pillow])
def test_arrays_files_and_gray_pictures_give_the_same_thumbnail(shrink) -> None:
    pytest.importorskip("cv2" if shrink is _with_opencv else "PIL", reason="extra camera")
    small = shrink(STREET)
    assert small.shape == (48, 64) and small.dtype == np.float32
    assert np.abs(small - shrink(jpeg(STREET))).mean() < 3
    assert np.abs(shrink(STREET[..., 0]) - STREET[::5, ::5, 0]).mean() < 15
    assert shrink(b"no picture") is None and shrink(b"") is None


def test_what_cannot_be_read_passes_for_the_service_to_judge() -> None:
    assert len(list(gated(frames([1.0, 2.0], [b"no picture", b"nor this"]), Gate(motion=0.5), Statistics()))) == 2


@pytest.mark.parametrize("wrong", [{"motion": 1.0}, {"motion": -0.1}, {"shortest": -1}, {"shortest": 2, "longest": 1}])
def test_a_gate_that_makes_no_sense(wrong: dict) -> None:
    with pytest.raises(ValueError):
        Gate(**wrong)
