"""Corruptions: seeded, growing with severity, and true to their names."""

from __future__ import annotations

import pytest
import torch

from tta_service.evaluate.corruptions import KINDS, MEASURED, TUNING, corrupt, motion, pixelate, quantise, salt


def picture(side: int = 64, width: int = 0) -> torch.Tensor:
    """Smooth, with some edges: what a photograph has."""
    down, across = torch.meshgrid(torch.arange(side), torch.arange(width or side), indexing="ij")
    waves = torch.stack([128 + 90 * torch.sin(down / 9), 128 + 90 * torch.cos(across / 7), 2.0 * down + across])
    waves[:, side // 4 : side // 2, side // 3 : side // 2] = 230
    return waves.clamp(0, 255).byte()


def apart(name: str, severity: int) -> float:
    seen = picture()
    return (corrupt(name, severity, seen, 3).float() - seen.float()).square().mean().item()


@pytest.mark.parametrize("name", sorted(KINDS))
def test_a_picture_stays_a_picture_and_its_seed_decides(name: str):
    seen = picture()
    one = corrupt(name, 3, seen, 7)
    assert one.shape == seen.shape and one.dtype == torch.uint8
    assert torch.equal(one, corrupt(name, 3, seen, 7))
    assert torch.equal(seen, picture())
    if name in ("noise", "fog", "frost", "salt", "night", "motion"):
        assert not torch.equal(one, corrupt(name, 3, seen, 8))


@pytest.mark.parametrize("name", sorted(KINDS))
def test_more_severe_is_further_away(name: str):
    found = [apart(name, severity) for severity in range(1, 6)]
    assert found[0] < found[2] < found[4]


def test_what_defaults_are_chosen_on_is_not_what_is_measured():
    assert not {*MEASURED} & {*TUNING}
    assert {*MEASURED, *TUNING} <= {*KINDS}


def test_none_is_the_picture_itself_and_the_rest_its_central_square():
    wide = picture(48, 80)
    assert corrupt("none", 0, wide, 1) is wide
    assert torch.equal(corrupt("pixelate", 3, wide, 1), corrupt("pixelate", 3, wide[:, :, 16:64], 1))
    with pytest.raises(ValueError, match="too small"):
        corrupt("noise", 1, picture(16), 0)
    with pytest.raises(ValueError, match="severity"):
        corrupt("noise", 6, picture(), 0)


def test_each_does_what_its_name_says():
    x = picture().float()[None] / 255
    draw = torch.Generator().manual_seed(0)
    assert quantise(x, 4, draw).unique().tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])
    blocks = pixelate(x, 0.5, draw)
    assert torch.equal(blocks[..., ::2, ::2], blocks[..., 1::2, 1::2])
    peppered = salt(x, 0.2, draw)
    assert (peppered != x).any(1).float().mean() == pytest.approx(0.2, abs=0.03)
    assert torch.allclose(motion(torch.full((2, 3, 40, 40), 0.4), 7, draw), torch.tensor(0.4), atol=1e-6)


def test_lengths_grow_with_the_picture():
    """The same scene at twice the size is blurred as much of itself."""
    small, large = picture(64), torch.nn.functional.interpolate(picture(64)[None].float(), scale_factor=2)[0].byte()
    there = corrupt("blur", 5, large, 0)[:, ::2, ::2].float()
    here = corrupt("blur", 5, small, 0).float()
    unscaled = (here - small).square().mean()
    assert (there - here).square().mean() < 0.35 * unscaled
