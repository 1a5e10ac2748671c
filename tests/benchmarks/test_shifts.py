"""The corruptions that the tables are measured under: each does what its name says, more at each severity, by seed."""

from __future__ import annotations

import pytest
import skimage.data
import torch
from torch.nn import functional as F

from benchmarks.shifts import SHIFTS, apply_shift


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    """[2, 3, 64, 64] uint8: a cat and a cup."""
    photographs = [
        torch.from_numpy(open()).permute(2, 0, 1)[None] for open in (skimage.data.chelsea, skimage.data.coffee)
    ]
    return torch.cat([F.interpolate(p, size=(64, 64), mode="bilinear", antialias=True) for p in photographs])


@pytest.mark.parametrize("name", SHIFTS)
def test_each_severity_moves_the_picture_further(pictures, name):
    distances = []
    for severity in range(1, 6):
        moved = apply_shift(name, severity, pictures)
        assert moved.shape == pictures.shape and moved.dtype == torch.uint8
        distances.append((moved.float() - pictures.float()).abs().mean().item())
    assert distances == sorted(distances) and distances[0] > 1


@pytest.mark.parametrize("name", SHIFTS)
def test_the_same_seed_gives_the_same_pictures(pictures, name):
    assert torch.equal(apply_shift(name, 3, pictures, seed=5), apply_shift(name, 3, pictures, seed=5))


@pytest.mark.parametrize("name", ["noise", "fog"])
def test_another_seed_gives_others(pictures, name):
    assert not torch.equal(apply_shift(name, 3, pictures, seed=5), apply_shift(name, 3, pictures, seed=6))


def test_noise_has_the_stated_deviation():
    grey = torch.full((4, 3, 64, 64), 128, dtype=torch.uint8)
    assert (apply_shift("noise", 2, grey).float() / 255).std().item() == pytest.approx(0.08, rel=0.03)


@pytest.mark.parametrize("name", ["blur", "contrast"])
def test_a_picture_of_one_colour_stays(name):
    plain = torch.tensor([200, 90, 10], dtype=torch.uint8)[:, None, None].expand(1, 3, 32, 32)
    assert torch.equal(apply_shift(name, 5, plain), plain)


def test_contrast_keeps_the_mean_and_the_stated_share_of_the_difference(pictures):
    x, y = pictures.float(), apply_shift("contrast", 2, pictures).float()
    torch.testing.assert_close(y.mean((2, 3)), x.mean((2, 3)), rtol=0, atol=0.5)
    assert (y.std((2, 3)) / x.std((2, 3))).mean().item() == pytest.approx(0.5, rel=0.02)


def test_blur_spreads_a_point_evenly():
    point = torch.zeros(1, 3, 33, 33, dtype=torch.uint8)
    point[..., 16, 16] = 255
    spread = apply_shift("blur", 3, point)[0, 0].float()
    assert torch.equal(spread, spread.T) and torch.equal(spread, spread.flip(0))
    assert spread[16, 16].item() == pytest.approx(255 / (2 * torch.pi), rel=0.03)  # sigma 1 px


def test_brightness_adds_to_the_value_and_keeps_hue():
    colour = torch.tensor([100, 50, 25], dtype=torch.uint8)[:, None, None].expand(1, 3, 32, 32)
    brighter = apply_shift("brightness", 2, colour)[0, :, 0, 0].float()
    assert brighter[0].item() == pytest.approx(100 + 0.2 * 255, abs=0.5)
    torch.testing.assert_close(brighter / brighter[0], torch.tensor([1.0, 0.5, 0.25]), rtol=0, atol=0.01)


def test_fog_lightens_black_unevenly():
    dark = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    dark[..., :8] = 255  # something that says how bright the light is
    veiled = apply_shift("fog", 3, dark)[..., 8:].float()
    assert veiled.mean() > 30 and veiled.std() > 10
    assert torch.equal(veiled[:, 0], veiled[:, 1])  # without colour


def test_jpeg_works_in_blocks_of_eight():
    ramp = torch.linspace(0, 255, 64).byte().expand(1, 3, 64, 64)
    steps = apply_shift("jpeg", 5, ramp)[0, 0, 32].float().diff().abs()
    assert steps[7::8].mean() > 2 * steps.mean()


@pytest.mark.parametrize("severity", [0, 6])
def test_an_unknown_severity_is_refused(pictures, severity):
    with pytest.raises(ValueError, match=f"not {severity}"):
        apply_shift("fog", severity, pictures)
