"""A thumbnail is a small JPEG of the whole picture, without what the file says of it."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from tta_service.core.request import Encoded, PixelFormat, Raw
from tta_service.images.decode import decode
from tta_service.images.thumbnails import make_thumbnail

from .files import encode, photo


def thumbnail(picture: Encoded | Raw, side: int) -> Image.Image:
    opened = Image.open(BytesIO(make_thumbnail(decode(picture), side)))
    assert opened.format == "JPEG" and opened.mode == "RGB"
    return opened


@pytest.mark.parametrize(
    ("size", "side", "wanted"),
    [((640, 480), 224, (224, 168)), ((480, 640), 224, (168, 224)), ((30, 20), 224, (30, 20)), ((900, 1), 32, (32, 1))],
    ids=str,
)
def test_the_longer_side_has_at_most_so_many_pixels_and_none_is_invented(
    size: tuple[int, int], side: int, wanted: tuple[int, int]
) -> None:
    width, height = size
    assert thumbnail(Raw(width, height, PixelFormat.GRAY8, bytes(width * height)), side).size == wanted


def test_it_shows_the_whole_picture() -> None:
    original = photo()
    small = thumbnail(Encoded(encode(original, "PNG")), 64)
    expected = np.asarray(original.convert("RGB").resize(small.size, Image.Resampling.LANCZOS), dtype=float)
    assert np.abs(np.asarray(small, dtype=float) - expected).mean() < 8  # grey levels


def test_it_holds_no_metadata_of_the_picture() -> None:
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    file = BytesIO()
    photo().save(file, "JPEG", exif=exif, comment=b"taken at home")
    assert b"at home" in file.getvalue()
    small = thumbnail(Encoded(file.getvalue()), 64)
    assert not small.getexif() and b"at home" not in make_thumbnail(decode(Encoded(file.getvalue())), 64)
