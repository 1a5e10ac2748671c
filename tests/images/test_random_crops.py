"""Random crops: numbers as in plain integers, torchvision's distribution, and the pixels of their boxes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import RandomResizedCrop

from tta_service.images import random_crops as crops
from tta_service.images.random_crops import uniforms

from .files import photo


def picture(width: int, height: int) -> torch.Tensor:
    return torch.from_numpy(np.array(photo(width, height))).permute(2, 0, 1)[None]


@pytest.mark.parametrize("width, height", [(500, 375), (200, 300), (1000, 90)])
def test_the_boxes_have_torchvisions_distribution(width, height):
    torch.manual_seed(0)
    image = torch.empty(3, height, width, dtype=torch.uint8)
    theirs = [RandomResizedCrop.get_params(image, [0.08, 1], [3 / 4, 4 / 3]) for _ in range(4000)]
    theirs = np.array([(left, top, w, h) for top, left, h, w in theirs])
    ours = crops.crop_boxes(height, width, uniforms(0, 4000, crops.DRAWS))
    for measure in (lambda b: b.T, lambda b: [b[:, 2] * b[:, 3], b[:, 2] / b[:, 3]]):
        for one, other in zip(measure(ours), measure(theirs)):
            assert kolmogorov(one, other) < 0.04


def kolmogorov(one: np.ndarray, other: np.ndarray) -> float:
    """The largest distance between the distributions; 0.036 is passed by one in a hundred pairs of 4000."""
    at = np.unique(np.concatenate([one, other]))
    shares = [np.searchsorted(np.sort(sample), at, "right") / len(sample) for sample in (one, other)]
    return float(np.abs(shares[0] - shares[1]).max())


@pytest.mark.parametrize("width, height", [(1, 1), (1, 500), (500, 1), (2, 3), (8192, 3), (640, 480)])
def test_boxes_lie_inside(width, height):
    left, top, w, h = crops.crop_boxes(height, width, uniforms(5, 500, crops.DRAWS)).T
    assert min(left.min(), top.min()) >= 0
    assert min(w.min(), h.min()) >= 1
    assert (left + w).max() <= width
    assert (top + h).max() <= height


def test_the_fallback_is_torchvisions():
    """Ten attempts that fit nowhere: the largest central crop within the ratios."""
    draws = np.ones((1, crops.DRAWS))
    assert crops.crop_boxes(10, 1000, draws).tolist() == [[493, 0, 13, 10]]
    assert crops.crop_boxes(1000, 10, draws).tolist() == [[0, 493, 10, 13]]


def test_half_of_the_crops_are_mirrored():
    assert abs(crops.flips(uniforms(0, 4000, crops.DRAWS)).mean() - 0.5) < 0.03


def cut(image: torch.Tensor, boxes: np.ndarray, size: int, *, mirrored: bool = False) -> np.ndarray:
    snapped, large = crops.snap_to_even(boxes, size)
    out = torch.empty(len(boxes), 3, size, size, dtype=torch.uint8)
    crops.cut(image, snapped, large, np.full(len(boxes), mirrored), out)
    return out.permute(0, 2, 3, 1).numpy()


def reference(image: torch.Tensor, box: np.ndarray, size: int) -> np.ndarray:
    left, top, width, height = box.tolist()
    part = Image.fromarray(image[0].permute(1, 2, 0).numpy()).crop((left, top, left + width, top + height))
    return np.asarray(part.resize((size, size), Image.Resampling.BILINEAR)).astype(int)


def noisy(width: int, height: int) -> torch.Tensor:
    noise = np.random.default_rng(0).integers(-40, 40, (height, width, 3))
    return torch.from_numpy((np.array(photo(width, height)) + noise).clip(0, 255).astype(np.uint8)).permute(2, 0, 1)[
        None
    ]


@pytest.mark.parametrize("width, height, size", [(300, 200, 224), (150, 200, 64), (40, 30, 64), (127, 99, 64)])
def test_small_crops_are_pillows(width, height, size):
    image, boxes = noisy(width, height), crops.crop_boxes(height, width, uniforms(2, 30, crops.DRAWS))
    boxes = boxes[boxes[:, 2:].min(1) < 2 * size]
    for got, box in zip(cut(image, boxes, size), boxes):
        assert np.abs(got - reference(image, box, size)).max() <= 1


@pytest.mark.parametrize("width, height, size", [(900, 700, 224), (401, 333, 64)])
def test_large_crops_are_nearly_pillows(width, height, size):
    boxes = crops.crop_boxes(height, width, uniforms(2, 60, crops.DRAWS))
    boxes, large = crops.snap_to_even(boxes, size)
    assert large.sum() > 10
    assert (boxes[large] % 2 == 0).all()
    for image, most in ((picture(width, height), 0.7), (noisy(width, height), 4)):  # white noise is the worst there is
        for got, box in zip(cut(image, boxes[large], size), boxes[large]):
            assert np.abs(got - reference(image, box, size)).mean() < most


def test_a_mirrored_crop_is_the_mirrored_crop():
    boxes = crops.crop_boxes(200, 300, uniforms(9, 8, crops.DRAWS))
    image = picture(300, 200)
    assert (cut(image, boxes, 64, mirrored=True) == cut(image, boxes, 64)[:, :, ::-1]).all()


WORD = 2**64


def by_hand(seed: int, view: int, draw: int) -> float:
    def mix(x: int) -> int:
        x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % WORD
        x = (x ^ x >> 27) * 0x94D049BB133111EB % WORD
        return x ^ x >> 31

    golden = 0x9E3779B97F4A7C15
    key = mix((mix(seed % WORD) + (view + 1) * golden) % WORD)
    return (mix((key + (draw + 1) * golden) % WORD) >> 11) / 2**53


@pytest.mark.parametrize("seed", [0, 1, 7, 2**63, 2**64 - 1, 2**64 + 7, -1])
def test_equal_to_the_same_in_plain_integers(seed):
    table = uniforms(seed, 5, 40)
    assert table.tolist() == [[by_hand(seed, view, draw) for draw in range(40)] for view in range(5)]


def test_the_first_numbers_never_change():
    """Answers are reproducible across versions of the service, hence this constant."""
    assert uniforms(0, 2, 2).tolist() == [
        [0.6524484863740322, 0.7012121095215252],
        [0.27623358227789463, 0.21586845960432577],
    ]


def test_rows_and_columns_do_not_depend_on_how_many_there_are():
    assert (uniforms(3, 64, 50)[:7, :9] == uniforms(3, 7, 9)).all()


def test_uniform_and_unrelated():
    table = uniforms(1, 2000, 50)
    assert 0 <= table.min() < 1e-3 < 1 - 1e-3 < table.max() < 1
    histogram = np.histogram(table, 20, (0, 1))[0] / table.size
    assert np.abs(histogram - 0.05).max() < 0.003
    neighbours = [
        table[:-1].ravel(),
        table[1:].ravel(),
        uniforms(2, 2000, 50)[:-1].ravel(),
        np.roll(table, 1, 1)[:-1].ravel(),
    ]
    assert np.abs(np.corrcoef(neighbours) - np.eye(4)).max() < 0.02
