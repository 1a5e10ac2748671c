"""The steps between source and stream: the rate limit, the latest frame, the JPEG."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tta_client import Features, Frame
from tta_client.camera import encoded, newest
from tta_client.camera.gate import limit_count, limit_rate, make_thumbnail
from tta_client.camera.pictures import encode_jpeg

from tests.client.camera.clips import jpeg
from tests.images.files import exif, png
from tests.patience import PATIENCE

pytest.importorskip("cv2", reason="making JPEGs needs OpenCV (extra camera)")
PILImage = pytest.importorskip("PIL.Image", reason="reading JPEGs back needs Pillow (extra camera)")
GRADIENT = np.linspace(0, 255, 900 * 600 * 3).reshape(600, 900, 3).astype(np.uint8)
RED = np.zeros((40, 60, 3), np.uint8)
RED[..., 0] = 250


def decode(data: bytes):
    return PILImage.open(io.BytesIO(data)).convert("RGB")


def test_an_array_is_shrunk_to_its_shorter_side() -> None:
    assert decode(encode_jpeg(GRADIENT, 336, 90)).size == (504, 336)
    assert decode(encode_jpeg(GRADIENT, 0, 90)).size == (900, 600)
    assert decode(encode_jpeg(GRADIENT[:100], 336, 90)).size == (900, 100)


def test_colours_keep_their_places() -> None:
    assert np.asarray(decode(encode_jpeg(RED, 336, 95)))[20, 30, 0] > 230
    assert np.asarray(decode(encode_jpeg(RED[..., 0], 336, 95)))[20, 30].tolist() == pytest.approx([250] * 3, abs=4)
    large = np.repeat(np.repeat(RED, 10, 0), 10, 1)
    assert np.asarray(decode(encode_jpeg(jpeg(large), 336, 95)))[200, 300, 2] < 20


def test_a_small_file_is_unchanged_and_a_large_one_is_shrunk() -> None:
    small, large = jpeg(RED), jpeg(GRADIENT)
    assert encode_jpeg(small, 336, 90) is small
    assert decode(encode_jpeg(large, 336, 90)).size == (504, 336)


def test_a_portrait_picture_stays_upright() -> None:
    exif = PILImage.Exif()
    exif[0x0112] = 6  # to be rotated clockwise by a quarter turn
    out = io.BytesIO()
    PILImage.fromarray(GRADIENT).save(out, "JPEG", exif=exif)
    assert decode(encode_jpeg(out.getvalue(), 300, 90)).size == (300, 450)


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(("order", "type"), [("<", "H"), (">", "H"), ("<", "I"), (">", "I"), (">", "B"), (">", "i")])
def test_every_encoding_of_the_orientation_is_read(turn: int, kind: str, order: str, type: str) -> None:
    """OpenCV itself ignores a big-endian LONG."""
    upright = np.full((60, 40, 3), 30, np.uint8)
    upright[:30, :20] = 220  # the upper left
    image = PILImage.fromarray(upright)
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # PIL's numbers of the inverse
    stored = image.transpose(back[turn]) if turn > 1 else image
    out = io.BytesIO()
    stored.save(out, kind, exif=b"Exif\0\0" + exif(turn, order, type))
    shown = np.asarray(decode(encode_jpeg(out.getvalue(), 30, 95)))
    assert shown.shape == (45, 30, 3)
    assert shown[10, 6].mean() > 200 and max(shown[10, 24].mean(), shown[36, 6].mean(), shown[36, 24].mean()) < 50
    thumbnail = make_thumbnail(out.getvalue())
    assert thumbnail[10, 10] > 200 and thumbnail[40, 10] < 50


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_picture_of_sixteen_bits_keeps_its_content(bits: int, channels: int) -> None:
    """As an array and as a file, whether its samples fill the 16 bits or leave the upper ones empty."""
    gray = np.linspace(0, 2**bits - 1, 80 * 90).reshape(80, 90).astype(np.uint16)
    deep = np.stack([gray] * channels, -1)
    eight = np.dstack([gray >> (bits - 8)] * 3)
    shrunk = np.asarray(PILImage.fromarray(eight.astype(np.uint8)).resize((45, 40)), float)
    pictures = [png(90, 80, filter_rows(deep), depth=16, colour={1: 0, 2: 4, 3: 2, 4: 6}[channels])]
    if channels != 2:
        pictures.append(deep)
    for picture in pictures:
        decoded = np.asarray(decode(encode_jpeg(picture, 40, 95)), float)
        assert decoded.shape == shrunk.shape and np.abs(decoded - shrunk).max() < 8
        assert abs(make_thumbnail(picture).mean() - eight.mean()) < 4


def filter_rows(samples: np.ndarray) -> bytes:
    """The bytes that a PNG of 16 bits deflates: the filter type 0 before each row."""
    flat = samples.astype(">u2").reshape(len(samples), -1).view("u1")
    return np.concatenate([np.zeros((len(flat), 1), "u1"), flat], 1).tobytes()


def test_what_is_no_picture_is_passed_on_unchanged(tmp_path) -> None:
    large = tmp_path / "large.jpg"
    large.write_bytes(jpeg(GRADIENT))
    features = Features(np.zeros((1, 4), np.float32), "model")
    odd = [None, 3, "nowhere.jpg", tmp_path, RED.astype(np.float32), RED[None], features]
    sent = list(encoded(Frame(number, image) for number, image in enumerate([*odd, large, RED], 1)))
    assert all(frame.image is image for frame, image in zip(sent, odd))
    assert decode(sent[-2].image).size == (504, 336) and decode(sent[-1].image).size == (60, 40)


def test_a_lower_quality_is_a_smaller_file() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (96, 96, 3), np.uint8)
    assert len(encode_jpeg(noise, 336, 40)) < 0.7 * len(encode_jpeg(noise, 336, 95))


def test_a_file_that_cannot_be_read_is_passed_on_unchanged() -> None:
    frames = [Frame(1, b"no picture"), Frame(2, jpeg(GRADIENT)[:200]), Frame(3, b""), Frame(4, RED)]
    sent = list(encoded(frames))
    assert [f.image for f in sent[:3]] == [f.image for f in frames[:3]]
    assert decode(sent[3].image).size == (60, 40)


def test_without_a_short_side_files_are_unchanged() -> None:
    large = jpeg(GRADIENT)
    assert [f.image for f in encoded([Frame(1, large)], short_side=0)] == [large]


def test_keep_latest_skips_frames_that_were_overtaken() -> None:
    taken, delivered = threading.Event(), threading.Event()

    def device() -> Iterator[Frame]:
        yield Frame(1, b"")
        assert taken.wait(PATIENCE)
        for number in range(2, 1001):
            yield Frame(number, b"")
        delivered.set()

    frames = newest(device())
    assert next(frames).frame_id == 1
    taken.set()
    assert delivered.wait(PATIENCE)
    assert [f.frame_id for f in frames] == [1000]


def test_keep_latest_raises_the_error_of_the_device() -> None:
    def device() -> Iterator[Frame]:
        yield Frame(1, b"")
        raise OSError("unplugged")

    with pytest.raises(OSError, match="unplugged"):
        list(newest(device()))


def test_keep_latest_closes_the_device() -> None:
    closed = threading.Event()

    def device() -> Iterator[Frame]:
        try:
            while True:
                yield Frame(1, b"")
        finally:
            closed.set()

    frames = newest(device())
    next(frames)
    frames.close()
    assert closed.wait(PATIENCE)


def test_the_limits_of_rate_and_count_close_the_source() -> None:
    closed: list[bool] = []

    def device() -> Iterator[Frame]:
        try:
            while True:
                yield Frame(1, b"")
        finally:
            closed.append(True)

    assert len(list(limit_count(limit_rate(device(), fps=0), 3))) == 3
    assert closed == [True]


def test_rate_limited_frames_are_captured_when_delivered() -> None:
    early = Frame(1, b"", captured=0.0, wall_ns=0)
    out = list(limit_rate([early, early, early], fps=200))
    assert all(f.captured > 0 and f.wall_ns > 0 for f in out)


def test_what_is_no_regular_file_is_not_read(tmp_path: Path) -> None:
    """Neither a pipe that nothing is written to, nor a device that never ends: both stay paths, and fail when sent."""
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "endless.jpg").symlink_to("/dev/zero")
    frames = [Frame(1, tmp_path / "pipe.jpg"), Frame(2, tmp_path / "endless.jpg")]
    assert [frame.image for frame in encoded(frames)] == [frame.image for frame in frames]
