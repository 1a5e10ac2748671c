"""`look`: the views of a request, each reproducible by itself."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tta_service.core.errors import BadParameters
from tta_service.images.views import AUGMENTS, centre_view, look

from .files import photo


def pixels(width: int = 90, height: int = 70) -> torch.Tensor:
    return torch.from_numpy(np.array(photo(width, height))).permute(2, 0, 1)


def same(one, other) -> bool:
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in ("pixels", "boxes", "flipped"))


@pytest.mark.parametrize("augment", AUGMENTS)
@pytest.mark.parametrize("width, height", [(90, 70), (1, 1), (1, 400), (400, 1), (20, 500), (31, 33)])
def test_shapes_and_types(augment, width, height):
    views = look(pixels(width, height), 32, 6, 0, augment)
    assert views.pixels.shape == (6, 3, 32, 32)
    assert views.pixels.dtype == torch.uint8
    assert views.pixels.is_contiguous()
    assert views.boxes.shape == (6, 4)
    assert views.boxes.dtype == torch.float32
    assert views.flipped.dtype == torch.bool
    assert views.boxes.min() >= 0
    assert (views.boxes[:, :2] + views.boxes[:, 2:]).max() <= 1 + 1e-6


@pytest.mark.parametrize("augment", AUGMENTS)
def test_row_0_is_the_plain_view(augment):
    plain, _ = centre_view(pixels()[None], 32)
    views = look(pixels(), 32, 3, 5, augment)
    assert torch.equal(views.pixels[0], plain)
    assert not views.flipped[0]


@pytest.mark.parametrize("augment", AUGMENTS)
def test_rows_do_not_depend_on_how_many_are_cut(augment):
    many = look(pixels(), 32, 10, 11, augment)
    for count in (1, 2, 7):
        assert same(look(pixels(), 32, count, 11, augment), many.first(count))


@pytest.mark.parametrize("augment", AUGMENTS)
def test_the_same_again_and_in_every_thread(augment):
    first = look(pixels(), 32, 8, 3, augment)
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda _: same(look(pixels(), 32, 8, 3, augment), first), range(12)))


def test_the_layout_in_memory_does_not_matter():
    rows = pixels(300, 200)
    planes = rows.clone(memory_format=torch.contiguous_format)
    assert rows.stride() != planes.stride()
    assert same(look(rows, 32, 6, 0), look(planes, 32, 6, 0))


def test_the_picture_is_not_modified():
    before = pixels()
    for augment in AUGMENTS:
        mine = before.clone()
        look(mine, 32, 5, 0, augment).pixels.zero_()
        assert torch.equal(mine, before)


def test_seeds_differ_and_named_views_have_none():
    for augment in ("crop", "augmix"):
        one, other = (look(pixels(), 32, 5, seed, augment) for seed in (0, 1))
        assert not torch.equal(one.boxes[1:], other.boxes[1:])
    assert same(look(pixels(), 32, 10, 0, "named"), look(pixels(), 32, 10, 1, "named"))


@pytest.mark.parametrize("width, height, size", [(256, 256, 32), (200, 256, 224), (256, 150, 64)])
def test_a_gradient_tells_where_a_crop_came_from(width, height, size):
    """Red grows from left to right, green from top to bottom: their means are the middle of the box."""
    y, x = np.mgrid[0:height, 0:width]
    gradient = torch.from_numpy(np.stack([x, y, 0 * x], -1).astype(np.uint8)).permute(2, 0, 1)
    views = look(gradient, size, 60, 2)
    means = views.pixels.float().mean((2, 3))  # [v, 3]
    middle = (views.boxes[:, :2] + views.boxes[:, 2:] / 2) * torch.tensor([width, height]) - 0.5
    assert (means[:, :2] - middle).abs().max() < 1
    rising = views.pixels[:, 0, 0, -1].int() > views.pixels[:, 0, 0, 0].int()
    assert torch.equal(rising, ~views.flipped)
    assert 15 < views.flipped.sum() < 45
    span = (views.pixels[:, 0].amax((1, 2)).float() - views.pixels[:, 0].amin((1, 2))) / width
    assert (span - views.boxes[:, 2] * (1 - 1 / size)).abs().max() < 3 / width


def test_an_augmix_view_is_its_crop_mixed():
    crop, mixed = (look(pixels(200, 150), 64, 16, 4, augment) for augment in ("crop", "augmix"))
    assert torch.equal(crop.boxes, mixed.boxes)
    assert torch.equal(crop.flipped, mixed.flipped)
    small, other = (F.avg_pool2d(views.pixels.float(), 32).flatten(1)[1:] for views in (crop, mixed))
    assert not torch.equal(crop.pixels[1:], mixed.pixels[1:])
    assert F.cosine_similarity(small, other).min() > 0.8


def test_pictures_that_cannot_be_cut_into_views_are_refused():
    with pytest.raises(BadParameters, match="'warp'; there are crop, augmix, named"):
        look(pixels(), 32, 4, 0, "warp")
    with pytest.raises(BadParameters, match="10 named views, not 11"):
        look(pixels(), 32, 11, 0, "named")
