"""The virtual camera moves over real photographs under changing conditions, and is determined by its seed."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("PIL", reason="the virtual camera needs Pillow (extra camera)")

from tta_client.camera import Virtual
from tta_client.camera.photographs import LABELS, find_photographs

from tests.client.camera.clips import photographed

pytestmark = photographed


def test_equal_seeds_give_equal_pictures() -> None:
    one, two = (list(Virtual(frames=8, seed=3, width=64, height=48)) for _ in range(2))
    assert all(np.array_equal(a.image, b.image) for a, b in zip(one, two))
    other = Virtual(seed=4, width=64, height=48).frame(1)
    assert not np.array_equal(one[0].image, other.image)


def test_a_frame_depends_on_its_number_alone() -> None:
    camera = Virtual(frames=50, width=64, height=48, shot=5, drift=4)
    assert np.array_equal(list(camera)[36].image, camera.frame(37).image)


def test_it_moves_and_shows_every_photograph() -> None:
    count = len(find_photographs())
    frames = list(Virtual(frames=5 * count, shot=5, width=64, height=48, strength=0.0))
    assert len({f.scene.split(",")[0] for f in frames}) == count
    assert all(f.scene.split(",")[0] in LABELS for f in frames)
    step = np.abs(frames[2].image.astype(int) - frames[1].image)
    assert 0 < step.mean() < 60


def test_each_condition_changes_the_picture_as_documented() -> None:
    strongest_at = {"dusk": 45, "noise": 75, "fog": 105, "blur": 135}  # the middle of each drift of 30
    changing = Virtual(seed=1, width=128, height=96, shot=1000)
    clear = Virtual(seed=1, width=128, height=96, shot=1000, strength=0.0)
    changed = {name: (clear.frame(n).image.astype(float), changing.frame(n)) for name, n in strongest_at.items()}
    assert all(name in frame.scene for name, (_, frame) in changed.items())
    before, dusk = changed["dusk"]
    assert dusk.image.mean() < 0.3 * before.mean()
    before, noise = changed["noise"]
    assert (noise.image - before).std() > 30
    before, fog = changed["fog"]
    assert fog.image.std() < 0.4 * before.std()
    before, blur = changed["blur"]
    assert roughness(blur.image) < 0.5 * roughness(before)


def test_only_a_camera_with_a_rate_is_live() -> None:
    assert Virtual(fps=10).live and not Virtual().live


def roughness(pixels: np.ndarray) -> float:
    return float(np.abs(np.diff(pixels.astype(float), axis=1)).mean())
