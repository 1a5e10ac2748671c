"""`look_on_device` gives the views of `look`, tested on the CPU and on a simulated device."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.fake_gpu import GPU, fake_gpu
from tta_service.clip.load import load
from tta_service.core.errors import BadParameters
from tta_service.images.gpu import views as on_device
from tta_service.images.gpu.views import look_on_device, make_look
from tta_service.images.views import AUGMENTS, draw, look

from ..files import photo

CPU = torch.device("cpu")
SIZES = [
    (90, 70, 32),
    (30, 20, 64),
    (64, 64, 64),
    (301, 203, 64),
    (1, 1, 32),
    (1, 300, 32),
    (2000, 3, 32),
    (500, 20, 32),
]


def pixels(width: int, height: int, noise: int = 40) -> torch.Tensor:
    grain = np.random.default_rng(0).integers(-noise, noise + 1, (height, width, 3))
    levels = (np.array(photo(width, height)) + grain).clip(0, 255).astype(np.uint8)
    return torch.from_numpy(levels).permute(2, 0, 1)


def levels_apart(one, other) -> torch.Tensor:
    return (one.pixels.int() - other.pixels.int()).abs()


def same(one, other) -> bool:
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in ("pixels", "boxes", "flipped"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize(("augment", "count"), [("crop", 24), ("named", 10), ("augmix", 3)])
@pytest.mark.parametrize("width, height, size", SIZES)
def test_a_grey_level_at_most_from_look(width, height, size, augment, count, dtype):
    picture = pixels(width, height)
    mine, theirs = look_on_device(CPU, picture, size, count, 3, augment, dtype), look(picture, size, count, 3, augment)
    assert torch.equal(mine.boxes, theirs.boxes)
    assert torch.equal(mine.flipped, theirs.flipped)
    assert mine.pixels.shape == theirs.pixels.shape and mine.pixels.dtype == torch.uint8
    assert mine.pixels.is_contiguous()
    apart = levels_apart(mine, theirs)
    assert apart.max() <= 1
    assert apart.float().mean() < 2e-3


def test_large_crops_come_from_the_half_size_picture():
    picture = pixels(500, 402)
    assert draw(402, 500, 64, 24, 3).large[1:].sum() > 10
    apart = levels_apart(look_on_device(CPU, picture, 64, 24, 3), look(picture, 64, 24, 3))
    assert apart.max() <= 1
    assert apart.float().mean() < 2e-3


def test_pieces_are_the_whole(monkeypatch):
    """However many views fit at a time."""
    picture = pixels(200, 150)
    whole = look_on_device(CPU, picture, 32, 20, 1)
    for share in (1, 2, 4):
        monkeypatch.setattr(on_device, "AT_ONCE", share << 20)
        assert on_device.at_once(32, 152, 200) < 20
        assert torch.equal(look_on_device(CPU, picture, 32, 20, 1).pixels, whole.pixels)


@pytest.mark.parametrize("augment", AUGMENTS)
def test_rows_do_not_depend_on_how_many_are_cut(augment):
    many = look_on_device(CPU, pixels(120, 90), 32, 10, 11, augment)
    assert same(look_on_device(CPU, pixels(120, 90), 32, 10, 11, augment), many)
    for count in (1, 2, 7):
        assert same(look_on_device(CPU, pixels(120, 90), 32, count, 11, augment), many.first(count))


def test_the_pocket_model_sees_no_difference():
    clip = load(device="cpu")
    picture = pixels(320, 240, noise=8)
    mine, theirs = look_on_device(CPU, picture, clip.image_size, 8, 0), look(picture, clip.image_size, 8, 0)
    assert (clip.encode_image(mine.pixels) * clip.encode_image(theirs.pixels)).sum(-1).min() > 0.9999


def test_pictures_that_cannot_be_cut_into_views_are_refused():
    with pytest.raises(BadParameters, match="'warp'; there are crop, augmix, named"):
        look_on_device(CPU, pixels(9, 9), 32, 4, 0, "warp")
    with pytest.raises(BadParameters, match="10 named views, not 11"):
        look_on_device(CPU, pixels(9, 9), 32, 11, 0, "named")


def test_the_cpu_keeps_its_own_way():
    picture = pixels(90, 70)
    assert same(make_look(CPU, 32)(picture, 6, 2, "crop"), look(picture, 32, 6, 2, "crop"))


@pytest.mark.parametrize("augment", AUGMENTS)
def test_one_upload_no_download_and_nothing_mixed(augment):
    """On a GPU that is not there: the picture goes over once, as bytes, and the views stay."""
    with fake_gpu() as seen:
        views = make_look(GPU, 32)(pixels(200, 150), 10, 2, augment)
        assert views.pixels.device == GPU
        assert views.pixels.shape == (10, 3, 32, 32) and views.pixels.dtype == torch.uint8
    assert not seen.downloads
    picture, *others = seen.uploads
    assert picture == (10 * 3 * 32 * 32 if augment == "augmix" else 3 * 200 * 150)
    assert sum(others) < 25_000  # where the views lie
    expected = look(pixels(200, 150), 32, 10, 2, augment)
    assert torch.equal(views.boxes, expected.boxes) and torch.equal(views.flipped, expected.flipped)


def test_memory_is_bounded():
    picture = torch.zeros(1080, 1920, 3, dtype=torch.uint8).permute(2, 0, 1)
    with fake_gpu() as seen:
        views = make_look(GPU, 224)(picture, 64, 0, "crop")
        assert seen.held == views.pixels.numel()  # nothing else is left
    assert seen.most < 256e6
