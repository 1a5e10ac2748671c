"""What may be given as a picture, and that none of it loses its content."""

from __future__ import annotations

import numpy as np
import pytest
from tta_client import Frame, Statistics
from tta_client.camera import encode_jpegs
from tta_client.camera.pictures import decode_picture
from tta_client.types.pixels import SampleDepth, to_pixels

from tests.client.peer import Peer
from tests.client.protocol.test_reconnect import Watch, both

RGB = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
GRAY = RGB[..., 0]


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_a_picture_that_leaves_its_upper_bits_empty_is_not_black(bits: int, order: str) -> None:
    """What a sensor of so many bits sees, however it is aligned, is the picture that one of eight bits would see."""
    samples = (np.linspace(0, 2**bits - 1, 4096).reshape(64, 64)).astype(order)
    assert (SampleDepth().to_uint8(samples) == samples >> (bits - 8)).all() and SampleDepth().to_uint8(
        samples
    ).dtype == np.uint8
    assert (to_pixels(samples)[..., None] == to_pixels(samples[..., None].repeat(3, -1))).all()


@both
def test_all_frames_of_a_source_are_scaled_alike(address: str, peer: Peer, watch: Watch) -> None:
    """A camera of 10 bits at night: its brightest sample needs sometimes 8 bits, sometimes 10."""
    pictures = [np.full((2, 3), brightest, np.uint16) for brightest in (1000, 200, 300, 40)]
    watch(address, pictures, Statistics())
    assert [frame.image.raw.pixels[0] for frame in peer.frames] == [250, 50, 75, 10]
    jpegs = encode_jpegs(map(Frame, range(1, 5), pictures))
    assert [int(np.median(decode_picture(frame.image, 0))) for frame in jpegs] == [250, 50, 75, 10]


def test_a_black_and_an_empty_picture_stay_what_they_are() -> None:
    assert not SampleDepth().to_uint8(np.zeros((4, 4), np.uint16)).any()
    assert to_pixels(np.zeros((0, 4), np.uint16)).shape == (0, 4)


def test_arrays_of_every_layout() -> None:
    assert to_pixels(RGB) is not None and (to_pixels(RGB) == RGB).all() and (to_pixels(GRAY) == GRAY).all()
    assert (to_pixels(GRAY[..., None]) == GRAY).all()
    assert (to_pixels(np.dstack([RGB, GRAY])) == RGB).all()
    opaque = np.dstack([RGB.astype(np.uint16) << 4, np.full((6, 8), 65535, np.uint16)])
    assert (to_pixels(opaque) == RGB).all()  # an alpha of 16 bits makes no picture of 16 bits


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "CMYK", "1", "I;16", "I"])
def test_pil_images_of_every_mode(mode: str) -> None:
    Image = pytest.importorskip("PIL.Image", reason="needs Pillow (extra camera)")
    if mode.startswith("I"):
        given = Image.fromarray(GRAY.astype(np.uint16) << 4).convert(mode)
        assert (to_pixels(given) == GRAY).all()
    else:
        given = Image.fromarray(RGB).convert(mode)
        assert (to_pixels(given) == np.asarray(given.convert("L" if mode in ("L", "LA", "1") else "RGB"))).all()


def test_a_pil_image_is_turned_upright() -> None:
    Image = pytest.importorskip("PIL.Image", reason="needs Pillow (extra camera)")
    turned = Image.fromarray(RGB)
    turned.getexif()[0x0112] = 6
    assert (to_pixels(turned) == np.rot90(RGB, -1)).all()


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        (None, "NoneType"),
        (3.5, "float"),
        ([[1, 2]], "list"),
        (RGB.astype(np.float32), r"float32 \[6, 8, 3\]"),
        (RGB.astype(np.int16), "int16"),
        (RGB.astype(np.uint32), "uint32"),
        (RGB[None], r"uint8 \[1, 6, 8, 3\]"),
        (RGB[..., :2], r"uint8 \[6, 8, 2\]"),
        (np.uint8(3), r"uint8 \[\]"),
    ],
)
def test_anything_else_is_refused_by_name(wrong: object, name: str) -> None:
    with pytest.raises(ValueError, match=f"an image is .*, not {name}"):
        to_pixels(wrong)
