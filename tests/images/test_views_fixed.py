"""The plain view against CLIP's own transform, and the named views against Pillow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torchvision import transforms
from torchvision.transforms import InterpolationMode

from tta_service.images import views as plain

from .files import photo


def tensor(picture: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None]


def levels(view: torch.Tensor, picture: Image.Image) -> int:
    """The largest difference in grey levels."""
    return int(np.abs(view.permute(1, 2, 0).numpy().astype(int) - np.asarray(picture)).max())


def clips_own(picture: Image.Image, size: int) -> Image.Image:
    resize = transforms.Resize(size, interpolation=InterpolationMode.BICUBIC)
    return transforms.CenterCrop(size)(resize(picture))


SIZES = [(500, 375), (375, 500), (64, 64), (63, 65), (640, 427), (30, 20), (7, 3), (1, 1), (1001, 333), (120, 500)]


@pytest.mark.parametrize("size", [64, 224])
@pytest.mark.parametrize("width, height", SIZES)
def test_the_centre_is_clips_own_transform(width, height, size):
    view, _ = plain.centre_view(tensor(photo(width, height)), size)
    assert view.shape == (3, size, size)
    assert levels(view, clips_own(photo(width, height), size)) <= 2


def test_the_place_of_the_centre():
    assert plain.centre_view(tensor(photo(500, 375)), 224)[1] == pytest.approx(
        (37 * 500 / 298, 0, 224 * 500 / 298, 375)
    )
    assert plain.centre_view(tensor(photo(64, 64)), 64)[1] == (0, 0, 64, 64)


@pytest.mark.parametrize("width, height", [(600, 10), (601, 10), (10, 600), (9, 601)])
def test_a_long_strip_keeps_its_middle(width, height):
    """Shortened before the resize: the same picture up to the rounding of the longer side."""
    view, _ = plain.centre_view(tensor(photo(width, height)), 64)
    difference = view.permute(1, 2, 0).numpy().astype(int) - np.asarray(clips_own(photo(width, height), 64))
    assert np.abs(difference).mean() < 1


@pytest.mark.parametrize("shape", [(1, 8192), (8192, 1), (2, 8000)])
def test_the_thinnest_strip_needs_little_memory(shape):
    strip = torch.randint(0, 256, (1, 3, *shape), dtype=torch.uint8)
    for view, (left, top, width, height) in plain.named_views(strip, 64):
        assert view.shape == (3, 64, 64)
        assert left >= 0 <= top
        assert left + width <= shape[1]
        assert top + height <= shape[0]


@pytest.mark.parametrize("width, height", [(500, 375), (300, 400), (64, 64), (50, 30)])
def test_the_named_views_are_pillows(width, height):
    size, picture = 64, photo(width, height)
    views = dict(zip(plain.NAMED, plain.named_views(tensor(picture), size)))
    whole = transforms.Resize(73, interpolation=InterpolationMode.BICUBIC)(picture)
    right, bottom = whole.width - size, whole.height - size
    corners = {
        "top_left": (0, 0),
        "top_right": (right, 0),
        "bottom_left": (0, bottom),
        "bottom_right": (right, bottom),
        "centre": (round(right / 2), round(bottom / 2)),
    }
    expected = {name: whole.crop((x, y, x + size, y + size)) for name, (x, y) in corners.items()}
    expected["plain"] = clips_own(picture, size)
    expected["flip"] = ImageOps.mirror(expected["plain"])
    for name, part in zip(("nine_tenths", "three_quarters", "three_fifths"), (0.9, 0.75, 0.6)):
        side = round(part * min(width, height))
        left, top = (width - side) // 2, (height - side) // 2
        expected[name] = picture.crop((left, top, left + side, top + side)).resize(
            (size, size), Image.Resampling.BICUBIC
        )
    assert tuple(views) == tuple(plain.NAMED)
    for name, (view, _) in views.items():
        assert levels(view, expected[name]) <= 2, name


def test_the_places_of_the_named_views():
    places = dict(zip(plain.NAMED, (place for _, place in plain.named_views(tensor(photo(160, 160)), 64))))
    assert places["plain"] == places["flip"] == (0, 0, 160, 160)
    assert places["bottom_right"] == pytest.approx((160 * 9 / 73, 160 * 9 / 73, 160 * 64 / 73, 160 * 64 / 73))
    assert places["three_quarters"] == (20, 20, 120, 120)
