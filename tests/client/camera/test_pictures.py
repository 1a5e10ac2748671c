"""What happens to a frame between source and stream: pace, the newest one, the JPEG."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from tta_client import Features, Frame
from tta_client.camera import encoded, newest
from tta_client.camera.jpeg import with_opencv, with_pillow
from tta_client.camera.pace import first, paced
from tta_client.camera.thumbnail import _with_opencv, _with_pillow

from tests.client.clips import jpeg
from tests.images.files import exif, png
from tests.patience import PATIENCE

PILImage = pytest.importorskip("PIL.Image", reason="reading JPEGs back needs Pillow (extra camera)")
GRADIENT = np.linspace(0, 255, 900 * 600 * 3).reshape(600, 900, 3).astype(np.uint8)
RED = np.zeros((40, 60, 3), np.uint8)
RED[..., 0] = 250


def opened(data: bytes):
    return PILImage.open(io.BytesIO(data)).convert("RGB")


@pytest.fixture(params=[with_opencv, with_pillow])
def encode(request):
    pytest.importorskip({"with_opencv": "cv2", "with_pillow": "PIL"}[request.param.__name__], reason="extra camera")
    return request.param


def test_an_array_is_shrunk_to_its_shorter_side(encode) -> None:
    assert opened(encode(GRADIENT, 336, 90)).size == (504, 336)
    assert opened(encode(GRADIENT, 0, 90)).size == (900, 600)
    assert opened(encode(GRADIENT[:100], 336, 90)).size == (900, 100)


def test_colours_keep_their_places(encode) -> None:
    assert np.asarray(opened(encode(RED, 336, 95)))[20, 30, 0] > 230
    assert np.asarray(opened(encode(RED[..., 0], 336, 95)))[20, 30].tolist() == pytest.approx([250] * 3, abs=4)
    large = np.repeat(np.repeat(RED, 10, 0), 10, 1)
    assert np.asarray(opened(encode(jpeg(large), 336, 95)))[200, 300, 2] < 20


def test_a_small_file_goes_as_it_is_and_a_large_one_smaller(encode) -> None:
    small, large = jpeg(RED), jpeg(GRADIENT)
    assert encode(small, 336, 90) is small
    assert opened(encode(large, 336, 90)).size == (504, 336)


def test_the_camera_held_upright_stays_upright(encode) -> None:
    exif = PILImage.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise to see it
    out = io.BytesIO()
    PILImage.fromarray(GRADIENT).save(out, "JPEG", exif=exif)
    assert opened(encode(out.getvalue(), 300, 90)).size == (300, 450)


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(("order", "type"), [("<", "H"), (">", "H"), ("<", "I"), (">", "I"), (">", "B"), (">", "i")])
def test_every_spelling_of_the_orientation_is_understood(encode, turn: int, kind: str, order: str, type: str) -> None:
    """OpenCV alone takes a big-endian LONG for none at all."""
    upright = np.full((60, 40, 3), 30, np.uint8)
    upright[:30, :20] = 220  # the upper left
    image = PILImage.fromarray(upright)
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # PIL's names of the inverse
    stored = image.transpose(back[turn]) if turn > 1 else image
    out = io.BytesIO()
    stored.save(out, kind, exif=b"Exif\0\0" + exif(turn, order, type))
    seen = np.asarray(opened(encode(out.getvalue(), 30, 95)))
    assert seen.shape == (45, 30, 3)
    assert seen[10, 6].mean() > 200 and max(seen[10, 24].mean(), seen[36, 6].mean(), seen[36, 24].mean()) < 50
    for shrink in (_with_opencv, _with_pillow):
        assert shrink(out.getvalue())[10, 10] > 200 and shrink(out.getvalue())[40, 10] < 50


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_picture_of_sixteen_bits_keeps_its_content(encode, bits: int, channels: int) -> None:
    """As an array and as a file, whether its samples fill the 16 bits or leave the upper ones empty."""
    gray = np.linspace(0, 2**bits - 1, 80 * 90).reshape(80, 90).astype(np.uint16)
    deep = np.stack([gray] * channels, -1)
    eight = np.dstack([gray >> (bits - 8)] * 3)
    shrunk = np.asarray(PILImage.fromarray(eight.astype(np.uint8)).resize((45, 40)), float)
    given = [png(90, 80, rows(deep), depth=16, colour={1: 0, 2: 4, 3: 2, 4: 6}[channels])]
    if channels != 2:
        given.append(deep)
    for picture in given:
        seen = np.asarray(opened(encode(picture, 40, 95)), float)
        assert seen.shape == shrunk.shape and np.abs(seen - shrunk).max() < 8
        for shrink in (_with_opencv, _with_pillow):
            assert abs(shrink(picture).mean() - eight.mean()) < 4


def rows(samples: np.ndarray) -> bytes:
    """What a PNG of 16 bits deflates: a filter of none in front of each row."""
    flat = samples.astype(">u2").reshape(len(samples), -1).view("u1")
    return np.concatenate([np.zeros((len(flat), 1), "u1"), flat], 1).tobytes()


def test_what_is_no_picture_goes_on_for_others_to_judge(encode, tmp_path) -> None:
    large = tmp_path / "large.jpg"
    large.write_bytes(jpeg(GRADIENT))
    features = Features(np.zeros((1, 4), np.float32), "model")
    odd = [None, 3, "nowhere.jpg", tmp_path, RED.astype(np.float32), RED[None], features]
    sent = list(encoded(Frame(number, image) for number, image in enumerate([*odd, large, RED], 1)))
    assert all(frame.image is image for frame, image in zip(sent, odd))
    assert opened(sent[-2].image).size == (504, 336) and opened(sent[-1].image).size == (60, 40)


def test_a_lower_quality_is_a_smaller_file(encode) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (96, 96, 3), np.uint8)
    assert len(encode(noise, 336, 40)) < 0.7 * len(encode(noise, 336, 95))


def test_a_file_that_cannot_be_read_is_the_services_to_judge() -> None:
    frames = [Frame(1, b"no picture"), Frame(2, jpeg(GRADIENT)[:200]), Frame(3, b""), Frame(4, RED)]
    sent = list(encoded(frames))
    assert [f.image for f in sent[:3]] == [f.image for f in frames[:3]]
    assert opened(sent[3].image).size == (60, 40)


def test_nothing_is_touched_when_nothing_is_to_shrink() -> None:
    large = jpeg(GRADIENT)
    assert [f.image for f in encoded([Frame(1, large)], short_side=0)] == [large]


def test_newest_skips_what_was_overtaken() -> None:
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


def test_newest_raises_what_the_device_raised() -> None:
    def device() -> Iterator[Frame]:
        yield Frame(1, b"")
        raise OSError("unplugged")

    with pytest.raises(OSError, match="unplugged"):
        list(newest(device()))


def test_newest_lets_the_device_go() -> None:
    gone = threading.Event()

    def device() -> Iterator[Frame]:
        try:
            while True:
                yield Frame(1, b"")
        finally:
            gone.set()

    frames = newest(device())
    next(frames)
    frames.close()
    assert gone.wait(PATIENCE)


def test_first_and_paced_let_the_source_go() -> None:
    gone: list[bool] = []

    def device() -> Iterator[Frame]:
        try:
            while True:
                yield Frame(1, b"")
        finally:
            gone.append(True)

    assert len(list(first(paced(device(), fps=0), 3))) == 3
    assert gone == [True]


def test_paced_frames_are_captured_when_they_leave() -> None:
    early = Frame(1, b"", captured=0.0, wall_ns=0)
    out = list(paced([early, early, early], fps=200))
    assert all(f.captured > 0 and f.wall_ns > 0 for f in out)
