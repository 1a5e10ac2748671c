"""`decode` gives Pillow's pixels, upright and within limits, or an error of one sentence."""

from __future__ import annotations

import contextlib
import time
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from tta_service.core.errors import BadImage
from tta_service.core.request import Encoded, PixelFormat, Raw
from tta_service.images.decode import decode
from tta_service.images.files import ImageLimits
from tta_service.images.headers import MANY, PIECE, guess_pixels, read_header

from .files import chunk, encode, exif, photo, png

JPEG, PNG, WEBP = encode(photo(), "JPEG"), encode(photo(), "PNG"), encode(photo(), "WEBP")
USUAL = ImageLimits()


@pytest.fixture(autouse=True)
def silence(capfd):
    """No file may make us warn, or write to stderr."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    assert capfd.readouterr().err == ""


def pixels(data: bytes) -> np.ndarray:
    return decode(Encoded(data)).permute(1, 2, 0).numpy()


def assert_refused(image: bytes | Raw, words: str, limits: ImageLimits = USUAL) -> None:
    with pytest.raises(BadImage, match=words) as caught:
        decode(image if isinstance(image, Raw) else Encoded(image), limits)
    assert caught.value.field == "image"


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("how", [{}, {"progressive": True}, {"quality": 30, "subsampling": 2}])
def test_a_jpeg_is_what_pillow_sees(mode, how):
    data = encode(photo(mode=mode), "JPEG", **how)
    assert (pixels(data) == np.asarray(Image.open(BytesIO(data)).convert("RGB"))).all()


@pytest.mark.parametrize(
    ("size", "side", "expected"),
    [
        ((640, 480), 0, (480, 640)),
        ((640, 480), 241, (480, 640)),
        ((640, 480), 240, (240, 320)),
        ((640, 480), 119, (120, 160)),
        ((640, 480), 1, (60, 80)),
        ((481, 639), 100, (160, 121)),
        ((8000, 16), 64, (16, 8000)),
    ],
)
@pytest.mark.parametrize("how", [{}, {"progressive": True}])
def test_a_large_jpeg_is_decoded_at_the_smallest_scale_that_leaves_the_side(size, side, expected, how):
    data = encode(photo(*size), "JPEG", quality=95, **how)
    scaled, full = decode(Encoded(data), jpeg_side=side), decode(Encoded(data))
    assert scaled.shape == (3, *expected)
    averaged = torch.nn.functional.avg_pool2d(full.float(), -(-full.shape[2] // scaled.shape[2]))
    assert (scaled[:, : averaged.shape[1], : averaged.shape[2]] - averaged).abs().mean() < 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_at_a_smaller_scale_is_upright(orientation):
    data = encode(photo(300, 200), "JPEG", quality=95, exif=b"Exif\0\0" + exif(orientation))
    full, scaled = decode(Encoded(data)), decode(Encoded(data), jpeg_side=50)
    assert scaled.shape[1:] == (full.shape[1] // 4, full.shape[2] // 4)
    averaged = torch.nn.functional.interpolate(full[None].float(), scaled.shape[1:], mode="area")[0]
    assert (scaled.float() - averaged).abs().mean() < 2


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_other_colours_of_jpegs_are_scaled_too(mode):
    assert decode(Encoded(encode(photo(320, 200, mode), "JPEG")), jpeg_side=50).shape == (3, 50, 80)


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_only_jpegs_are_decoded_at_a_smaller_scale(format):
    data = encode(photo(320, 200), format)
    assert (decode(Encoded(data), jpeg_side=8) == decode(Encoded(data))).all()


def test_limits_count_the_pixels_of_the_file_whatever_the_scale():
    with pytest.raises(BadImage, match="at most 63999 in all"):
        decode(Encoded(encode(photo(320, 200), "JPEG")), ImageLimits(max_pixels=63_999), jpeg_side=50)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1", "LA", "RGBA"])
def test_a_png_is_what_pillow_sees(mode):
    data = encode(photo(mode=mode), "PNG")
    assert (pixels(data) == np.asarray(Image.open(BytesIO(data)).convert("RGB"))).all()


@pytest.mark.parametrize("how", [{}, {"lossless": True}])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_webp_is_what_pillow_sees(mode, how):
    data = encode(photo(mode=mode), "WEBP", **how)
    assert (pixels(data) == np.asarray(Image.open(BytesIO(data)).convert("RGB"))).all()


def test_the_layout_is_three_bytes_a_pixel():
    decoded = decode(Encoded(JPEG))
    assert decoded.shape == (3, 40, 60)
    assert decoded.dtype == torch.uint8
    assert decoded.permute(1, 2, 0).is_contiguous()


def test_alpha_is_dropped_not_composited():
    see_through = photo(mode="RGBA")
    see_through.putalpha(0)
    assert (pixels(encode(see_through, "PNG")) == np.asarray(photo())).all()
    palette = photo(mode="P")
    expected = np.asarray(palette.convert("RGB"))
    assert (pixels(encode(palette, "PNG", transparency=bytes(range(200)))) == expected).all()


def test_of_sixteen_bits_the_upper_eight_count():
    deep = np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64)
    assert (pixels(encode(Image.fromarray(deep), "PNG")) == (deep >> 8)[..., None]).all()
    rows = np.concatenate([np.zeros((64, 1), ">u1"), np.repeat(deep, 3, 1).astype(">u2").view("u1")], 1)
    assert (pixels(png(64, 64, rows.tobytes(), depth=16, colour=2)) == (deep >> 8)[..., None]).all()


@pytest.mark.parametrize("turn", range(1, 9))
def test_every_orientation_ends_upright(turn):
    for data in (encode(photo(), kind, exif=b"Exif\0\0" + exif(turn)) for kind in ("JPEG", "PNG", "WEBP")):
        assert (pixels(data) == np.asarray(ImageOps.exif_transpose(Image.open(BytesIO(data)).convert("RGB")))).all()
    motorola = encode(photo(), "PNG", exif=exif(turn, ">"))
    assert (pixels(motorola) == np.asarray(ImageOps.exif_transpose(Image.open(BytesIO(motorola))))).all()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("type", "BHIbhi")
def test_every_spelling_of_the_orientation_is_understood(kind, order, type):
    for turn in range(1, 9):
        usual, other = (encode(photo(), kind, exif=b"Exif\0\0" + exif(turn, *how)) for how in ((), (order, type)))
        assert (pixels(other) == pixels(usual)).all()


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (4, 2), (2, 3), (6, 4)], ids=["L", "LA", "RGB", "RGBA"])
def test_sixteen_bits_that_are_not_all_in_use_are_not_black(bits, colour, channels):
    """A picture of a 12-bit sensor looks like that of an 8-bit one. Alpha does not count."""
    deep = np.random.default_rng(bits).integers(0, 2**bits, (30, 40, channels), np.uint16)
    deep[0, 0, 0] = 2**bits - 1
    if channels in (2, 4):
        deep[..., -1] = 65535
    rows = np.concatenate([np.zeros((30, 1), "u1"), deep.reshape(30, -1).astype(">u2").view("u1")], 1)
    seen = deep[..., : 3 if channels > 2 else 1] >> (bits - 8)
    assert (pixels(png(40, 30, rows.tobytes(), depth=16, colour=colour)) == seen).all()


def test_a_black_picture_of_sixteen_bits_is_black():
    assert not pixels(png(4, 3, bytes(27), depth=16)).any()


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"II",
        b"II*\0\xff\xff\xff\xff",
        exif(0),
        exif(9),
        exif(6)[:-12],
        b"XX" + exif(6),
        b"II*\0\x08\0\0\0\xff\xff",
    ],
)
def test_an_unreadable_orientation_counts_as_upright(block):
    with_block = JPEG[:2] + b"\xff\xe1" + (len(block) + 8).to_bytes(2) + b"Exif\0\0" + block + JPEG[2:]
    assert (pixels(with_block) == pixels(JPEG)).all()


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_an_animation_gives_its_first_frame(kind):
    still, moving = photo(), ImageOps.mirror(photo())
    data = encode(still, kind, save_all=True, append_images=[moving, still], lossless=True)
    assert (pixels(data) == np.asarray(still)).all()


def test_metadata_costs_no_time_and_prints_no_warning():
    broken_animation = chunk(b"acTL", bytes(8))  # makes Pillow warn
    zeros = png(1, 1, bytes(2), extra=chunk(b"zTXt", b"k\0\0" + bytes(99)) + broken_animation)
    assert pixels(zeros).tolist() == [[[0, 0, 0]]]
    profile = encode(photo(), "JPEG", icc_profile=bytes(90_000), comment=b"x" * 999, dpi=(3, 3))
    assert (pixels(profile) == pixels(JPEG)).all()


def test_what_follows_the_picture_is_ignored():
    assert (pixels(JPEG + WEBP + b"\xff\xda\0\2" * 999) == pixels(JPEG)).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (8192, 1)])
def test_tiny_and_thin_pictures_are_decoded(size):
    for kind in ("JPEG", "PNG", "WEBP"):
        assert decode(Encoded(encode(photo(*size), kind))).shape == (3, size[1], size[0])


def test_errors_about_limits_name_the_size():
    assert_refused(JPEG, "has [0-9]+ bytes, at most 100", ImageLimits(max_bytes=100))
    assert_refused(JPEG, "60 × 40 pixels, a side may have 59", ImageLimits(max_side=59))
    for data in (JPEG, PNG, WEBP, encode(photo(), "WEBP", lossless=True), encode(photo(mode="RGBA"), "WEBP")):
        assert_refused(data, "60 × 40 pixels, at most 2399 in all", ImageLimits(max_pixels=2399))
        assert decode(Encoded(data), ImageLimits(len(data), 2400, 60)).shape == (3, 40, 60)


def test_a_decompression_bomb_is_refused_before_it_is_decompressed():
    bomb = png(12_000, 12_000, bytes(12_000 * 12_001))
    assert len(bomb) < 200_000
    anim = chunk_riff(b"VP8X", b"\x02\0\0\0" + (16382).to_bytes(3, "little") * 2)
    wide = JPEG.replace((40).to_bytes(2) + (60).to_bytes(2), b"\xff\xff\xff\xff")
    tracemalloc.start()
    for data, words in ((bomb, "12000 × 12000"), (anim, "16383 × 16383"), (wide, "65535 × 65535")):
        assert_refused(data, words)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * len(bomb)


def chunk_riff(kind: bytes, content: bytes) -> bytes:
    body = b"WEBP" + kind + len(content).to_bytes(4, "little") + content
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def test_a_header_that_contradicts_the_decoder_is_refused():
    """The size that was checked is the size that is decoded."""
    extended = encode(photo(mode="RGBA"), "WEBP", exif=exif(1))
    assert extended[12:16] == b"VP8X"
    assert_refused(extended[:24] + (5).to_bytes(3, "little") * 2 + extended[30:], "the WebP is damaged or cut short")
    twice = JPEG.index(b"\xff\xc0")
    assert_refused(
        JPEG[:twice] + JPEG[twice : twice + 19].replace(b"\0\x28\0\x3c", b"\0\x08\0\x08") + JPEG[twice:], "JPEG"
    )


def test_slow_files_are_refused():
    scan = JPEG.index(b"\xff\xda")
    assert_refused(JPEG[:2] + b"\xff\xfe\0\2" * 1001 + JPEG[2:], "more than 1000 markers")
    assert_refused(JPEG[:2] + b"\xff\x01" * 1001 + JPEG[2:], "more than 1000 markers")
    assert_refused(JPEG[:scan] + b"\xff\xff\0" * 1001 + JPEG[scan:], "more than 1000 markers")
    assert_refused(JPEG[:scan] + b"\xff" * 70_000 + JPEG[scan:], "more than 65536 bytes of padding")
    assert_refused(JPEG[:scan] + JPEG[scan:-2] * 33 + JPEG[-2:], "more than 32 scans")
    assert_refused(PNG[:33] + chunk(b"IDAT", b"") * 20_001 + PNG[33:], "more than 20000 chunks")
    assert_refused(WEBP[:12] + b"VP8X" + bytes(5_000_000), "more than 20000 chunks")


@pytest.mark.parametrize("end", [b"", b"\0", b"\xd0"])
def test_a_run_of_padding_takes_no_time(end: bytes):
    """Eight million bytes: tried at each of them, a search would take days."""
    started = time.process_time()
    assert_refused(JPEG[:2] + b"\xff" * 8_000_000 + end, "more than 65536 bytes of padding")
    assert_refused(JPEG[:2] + b"\xff" * 60_000 + end, "ends within its header")
    assert time.process_time() - started < 30


@pytest.mark.parametrize("shift", range(-3, 4))
def test_a_marker_is_found_wherever_pieces_of_the_search_meet(shift: int):
    scan = JPEG.index(b"\xff\xda")
    for inside in (bytes(PIECE + shift), b"\xff\0" * (PIECE // 2) + bytes(3 + shift), b"\xff" * 60_000):
        assert (pixels(JPEG[:scan] + inside + JPEG[scan:]) == pixels(JPEG)).all()


@pytest.mark.parametrize("padding", [b"\0", b"\xff\0"], ids=["zeros", "stuffing"])
def test_padding_before_the_scans_is_passed_over_at_once(padding: bytes):
    """Pillow would step over it in Python, a second for each million bytes; others would wait for the interpreter."""
    scan, seconds = JPEG.index(b"\xff\xda"), list[float]()
    for many in (1_000_000, 2_000_000):
        started = time.process_time()
        assert (pixels(JPEG[:scan] + padding * (many // len(padding)) + JPEG[scan:]) == pixels(JPEG)).all()
        seconds.append(time.process_time() - started)
    assert seconds[1] < 4 * seconds[0] + 0.05 and seconds[1] < 0.6


@pytest.mark.parametrize(
    "data", [JPEG, PNG, WEBP, encode(photo(), "WEBP", lossless=True)], ids=["jpeg", "png", "webp", "vp8l"]
)
def test_truncated_files_are_refused_wherever_they_end(data):
    for end in (*range(1, 60), *range(60, len(data) - 60, 37)):
        assert_refused(data[:end], "the ")
    for end in range(len(data) - 20, len(data)):  # a PNG may lack its closing words, never pixels
        try:
            assert (pixels(data[:end]) == pixels(data)).all()
        except BadImage as error:
            assert "cut short" in error.message


def test_other_files_are_refused():
    assert_refused(b"", "empty")
    assert_refused(bytes(1000), "neither a JPEG, a PNG nor a WebP")
    for kind in ("GIF", "BMP", "TIFF", "PPM", "ICO"):
        assert_refused(encode(photo(), kind), "neither a JPEG")
    assert_refused(JPEG[:2] + b"\xff\xd9", "ends within its header")
    assert_refused(chunk_riff(b"WAVE", bytes(40)), "no picture")
    assert_refused(png(0, 7, b""), "0 × 7")
    assert_refused(png(7, 7, b"")[:30], "ends within")
    assert_refused(PNG[:60] + bytes(40) + PNG[100:], "the PNG is damaged or cut short")


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([b"", JPEG[:3], PNG[:8], PNG[:33], WEBP[:16], JPEG[:200], WEBP[:40]]), st.binary(max_size=400))
def test_random_bytes_are_refused_or_decoded(start, rest):
    one_outcome(start + rest)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([JPEG, PNG, WEBP]), st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=6))
def test_damaged_files_are_refused_or_decoded(data, hits):
    damaged = bytearray(data)
    for at, value in hits:
        damaged[at % len(data)] = value
    one_outcome(bytes(damaged))


def one_outcome(data: bytes) -> None:
    limits = ImageLimits(max_pixels=100_000, max_side=2000)
    try:
        decoded = decode(Encoded(data), limits)
    except BadImage as error:
        assert error.field == "image"
        assert error.message
    else:
        assert decoded.dtype == torch.uint8
        assert decoded[0].numel() <= limits.max_pixels


def test_raw_frames_become_pixels():
    frame = np.asarray(photo())
    grey = frame[..., 0].copy()
    rgb = decode(Raw(60, 40, PixelFormat.RGB24, frame.tobytes()))
    bgr = decode(Raw(60, 40, PixelFormat.BGR24, frame[..., ::-1].tobytes()))
    assert (rgb.permute(1, 2, 0).numpy() == frame).all()
    assert torch.equal(rgb, bgr)
    assert (decode(Raw(60, 40, PixelFormat.GRAY8, grey.tobytes())).numpy() == grey).all()


def test_raw_frames_must_have_their_size():
    for format, wanted in (("RGB24", 7200), ("BGR24", 7200), ("GRAY8", 2400), ("NV12", 3600)):
        assert decode(Raw(60, 40, PixelFormat(format), bytes(wanted))).shape == (3, 40, 60)
        for length in (0, wanted - 1, wanted + 1):
            assert_refused(
                Raw(60, 40, PixelFormat(format), bytes(length)), f"{format} is {wanted} bytes, there are {length}"
            )
    assert_refused(Raw(5, 4, PixelFormat.NV12, bytes(30)), "even sides")
    assert_refused(Raw(0, 4, PixelFormat.RGB24, b""), "0 × 4")
    assert_refused(Raw(-3, 4, PixelFormat.RGB24, b""), "-3 × 4")
    assert_refused(Raw(60, 40, PixelFormat.GRAY8, bytes(2400)), "at most 2399", ImageLimits(max_pixels=2399))


def test_nv12_has_the_colours_of_opencv():
    cv2 = pytest.importorskip("cv2", reason="OpenCV, of the extra demo, is the reference here")
    planes = np.random.default_rng(0).integers(0, 256, (60, 64), dtype=np.uint8)
    ours = decode(Raw(64, 40, PixelFormat.NV12, planes.tobytes())).permute(1, 2, 0).numpy()
    theirs = cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_NV12)
    assert np.abs(ours.astype(int) - theirs).max() <= 1


def test_threads_do_not_disturb_each_other():
    files = [encode(photo(50 + i, 40), kind) for i in range(8) for kind in ("JPEG", "PNG", "WEBP")]
    alone = [pixels(data) for data in files]
    with ThreadPoolExecutor(4) as pool:
        for one, other in zip(alone * 4, pool.map(pixels, files * 4)):
            assert (one == other).all()


@pytest.mark.parametrize(
    "data",
    [
        *(encode(photo(), "JPEG", **how) for how in ({}, {"progressive": True}, {"comment": b"x" * 60_000})),
        *(encode(photo(), "WEBP", **how) for how in ({}, {"lossless": True}, {"exif": exif(6)})),
        encode(photo(), "PNG"),
    ],
)
def test_the_first_bytes_tell_the_size(data):
    assert guess_pixels(data) == 40 * 60
    for end in range(0, 200, 7):
        assert guess_pixels(data[:end]) in (0, 40 * 60, MANY)


@pytest.mark.parametrize("data", [b"", b"GIF89a", JPEG[:2] + b"\xff\xfe\0\3x" * 100 + JPEG[2:], b"\xff" * 10_000])
def test_a_file_whose_first_bytes_hide_its_size_counts_as_large(data):
    assert guess_pixels(data) == MANY


BLOCK = b"Exif\0\0II*\0\x08\0\0\0" + (5000).to_bytes(2, "little") + bytes(12 * 5000)
GROWING = {
    "comments of a JPEG": lambda n: JPEG[:2] + b"\xff\xfe\0\2" * n + JPEG[2:],
    "markers that stand alone": lambda n: JPEG[:2] + b"\xff\x01" * n + JPEG[2:],
    "padding of a JPEG": lambda n: JPEG[:2] + b"\xff" * (50 * n) + JPEG[2:],
    "restarts": lambda n: JPEG[:-2] + b"\xff\xd0" * n + JPEG[-2:],
    "EXIF of a JPEG": lambda n: JPEG[:2] + (b"\xff\xe1" + (len(BLOCK) + 2).to_bytes(2) + BLOCK) * (n // 500) + JPEG[2:],
    "chunks of a PNG": lambda n: PNG[:33] + chunk(b"tEXt", b"") * n + PNG[33:],
    "EXIF of a PNG": lambda n: PNG[:33] + chunk(b"eXIf", BLOCK) * (n // 500) + PNG[33:],
    "pixels of a PNG in pieces": lambda n: PNG[:33] + chunk(b"IDAT", b"") * n + PNG[33:],
    "chunks of a WebP": lambda n: chunk_riff(b"VP8X", bytes(10) + b"JUNK\0\0\0\0" * n),
    "EXIF tags": lambda n: JPEG[:2] + b"\xff\xe1" + (n + 16).to_bytes(2) + BLOCK[: n + 14] + JPEG[2:],
}


@pytest.mark.parametrize("make", GROWING.values(), ids=GROWING)
def test_headers_take_time_in_proportion_to_their_bytes(make):
    """Four times the file takes no more than eight times the time; the square would be sixteen times."""

    def seconds(data: bytes) -> float:
        taken = list[float]()
        for _ in range(5):
            began = time.thread_time()
            with contextlib.suppress(BadImage):
                read_header(data)
            taken.append(time.thread_time() - began)
        return min(taken)

    few, many = seconds(make(4000)), seconds(make(16_000))
    assert many < 8 * few + 0.002 and many < 0.2
