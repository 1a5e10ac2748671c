"""AugMix against the mixture of normalised floats."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from tta_service.images import augmix
from tta_service.images.random_crops import uniforms

from .files import photo

MEAN, STD = np.array([0.481, 0.458, 0.408]), np.array([0.269, 0.261, 0.276])
VIEW = torch.from_numpy(np.array(photo(64, 64))).permute(2, 0, 1).contiguous()


def normalise(picture: Image.Image) -> np.ndarray:
    return (np.asarray(picture) / 255 - MEAN) / STD


def operation(picture: Image.Image, which: float, level: float, sign: float) -> Image.Image:
    """Severity 1, each operation written out."""
    level, sign, side = 0.1 + 0.9 * level, -1 if sign > 0.5 else 1, picture.width
    shear, shift = sign * 0.03 * level, sign * int(side / 3 * level / 10)

    def affine(*six: float) -> Image.Image:
        return picture.transform((side, side), Image.Transform.AFFINE, six, Image.Resampling.BILINEAR)

    return [
        lambda: ImageOps.autocontrast(picture),
        lambda: ImageOps.equalize(picture),
        lambda: ImageOps.posterize(picture, 4),
        lambda: picture.rotate(sign * int(3 * level), Image.Resampling.BILINEAR),
        lambda: ImageOps.solarize(picture, 256 - int(25.6 * level)),
        lambda: affine(1, shear, 0, 0, 1, 0),
        lambda: affine(1, 0, 0, shear, 1, 0),
        lambda: affine(1, 0, shift, 0, 1, 0),
        lambda: affine(1, 0, 0, 0, 1, shift),
    ][int(which * 9)]()


def test_equal_to_mixing_normalised_floats():
    picture = photo(64, 64)
    for row in uniforms(0, 40, augmix.DRAWS):
        chains = row[1:].reshape(3, 11)
        weights = -np.log(1 - chains[:, 0])
        total = np.zeros((64, 64, 3))
        for weight, chain in zip(weights / weights.sum(), chains):
            changed = picture
            for link in range(1 + int(3 * chain[1])):
                changed = operation(changed, *chain[2 + 3 * link : 5 + 3 * link])
            total += weight * normalise(changed)
        expected = row[0] * normalise(picture) + (1 - row[0]) * total
        got = normalise(augmix.mix(VIEW, row).permute(1, 2, 0).numpy())
        assert np.abs((got - expected) * STD).max() * 255 <= 0.5 + 1e-4


@pytest.mark.parametrize("kind", range(9))
def test_every_operation_is_drawn_and_does_something(kind):
    links = [(kind + 0.5) / 9, 0.99, 0.9] * 3
    row = np.array([0.0, *([0.5, 0.0, *links] * 3)])  # no share of the original, three equal chains of one link
    bright = VIEW.clone()
    bright[:, :3, :3] = 250  # something to solarise
    assert not torch.equal(augmix.mix(bright, row), bright)


def test_the_whole_share_leaves_the_picture():
    row = uniforms(0, 1, augmix.DRAWS)[0]
    row[0] = 1.0
    assert torch.equal(augmix.mix(VIEW, row), VIEW)


def test_a_draw_without_weights_gives_no_nan():
    row = np.zeros(augmix.DRAWS)
    assert augmix.mix(VIEW, row).dtype == torch.uint8
