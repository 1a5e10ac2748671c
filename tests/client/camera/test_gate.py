"""The gate passes frames that show motion, holds back still ones, and keeps an interval between frames."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tta_client import Frame, Statistics
from tta_client.camera import Gate, gated
from tta_client.camera.gate import make_thumbnail

from tests.client.camera.clips import jpeg

pytest.importorskip("cv2", reason="the motion gate needs OpenCV (extra camera)")
STREET = np.random.default_rng(0).integers(60, 200, (12, 16, 3)).astype(np.uint8).repeat(20, 0).repeat(20, 1)
PERSON = STREET.copy()
PERSON[80:200, 100:160] = 255


def add_noise(seed: int) -> np.ndarray:
    grain = np.random.default_rng(seed).normal(0, 8, STREET.shape)
    return np.clip(STREET + grain, 0, 255).astype(np.uint8)


def make_frames(times: list[float], pictures: list | None = None) -> list[Frame]:
    return [Frame(n, pictures[n - 1] if pictures else b"", captured=at) for n, at in enumerate(times, 1)]


@given(st.lists(st.floats(0, 3), min_size=1, max_size=60), st.floats(0.0, 5.0))
def test_frames_are_never_closer_than_the_interval(gaps: list[float], shortest: float) -> None:
    times, statistics = list(np.cumsum(gaps)), Statistics()
    passed = list(gated(make_frames(times), Gate(shortest=shortest), statistics))
    assert passed[0].frame_id == 1
    assert all(b.captured - a.captured >= shortest * 0.75 and b.frame_id > a.frame_id for a, b in pairwise(passed))
    assert len(passed) + statistics.skipped["interval"] == len(times)
    for before, after in pairwise(passed):  # and the first frame after the interval passes
        assert all(t - before.captured < shortest for t in times[before.frame_id : after.frame_id - 1])


@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_only_frames_that_differ_from_the_last_one_sent_pass(present: list[bool]) -> None:
    pictures = [PERSON if person else STREET for person in present]
    frames = make_frames([n / 10 for n in range(len(present))], pictures)
    passed = gated(frames, Gate(motion=0.01), statistics := Statistics())
    changes = [n for n in range(1, len(present)) if present[n] != present[n - 1]]
    assert [f.frame_id - 1 for f in passed] == [0, *changes]
    assert statistics.skipped["still"] == len(present) - 1 - len(changes)


def test_noise_is_no_motion_and_slow_changes_add_up() -> None:
    quiet = make_frames([float(n) for n in range(20)], [add_noise(n) for n in range(20)])
    assert [f.frame_id for f in gated(quiet, Gate(motion=0.01), Statistics())] == [1]
    dusk = make_frames([float(n) for n in range(20)], [(STREET * (1 - n / 40)).astype(np.uint8) for n in range(20)])
    assert 2 <= len(list(gated(dusk, Gate(motion=0.01), Statistics()))) <= 6


def test_after_the_longest_interval_a_still_frame_passes() -> None:
    still = make_frames([n / 2 for n in range(21)], [STREET] * 21)
    assert [f.captured for f in gated(still, Gate(0.01, longest=3.0), Statistics())] == [0.0, 3.0, 6.0, 9.0]


def test_after_a_lost_frame_the_next_one_passes() -> None:
    statistics = Statistics()
    passing = gated(make_frames([1.0, 2.0, 3.0, 4.0], [STREET, PERSON, PERSON, PERSON]), Gate(motion=0.01), statistics)
    assert [next(passing).frame_id, next(passing).frame_id] == [1, 2]
    statistics.dropped["disconnect"] += 1  # the frame with the person in it
    assert [f.frame_id for f in passing] == [3]


def test_arrays_files_and_gray_pictures_give_the_same_thumbnail() -> None:
    small = make_thumbnail(STREET)
    assert small.shape == (48, 64) and small.dtype == np.float32
    assert np.abs(small - make_thumbnail(jpeg(STREET))).mean() < 3
    assert np.abs(make_thumbnail(STREET[..., 0]) - STREET[::5, ::5, 0]).mean() < 15
    assert make_thumbnail(b"no picture") is None and make_thumbnail(b"") is None


def test_a_picture_that_cannot_be_read_passes() -> None:
    assert len(list(gated(make_frames([1.0, 2.0], [b"no picture", b"nor this"]), Gate(motion=0.5), Statistics()))) == 2


@pytest.mark.parametrize("wrong", [{"motion": 1.0}, {"motion": -0.1}, {"shortest": -1}, {"shortest": 2, "longest": 1}])
def test_invalid_parameters_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError):
        Gate(**wrong)
