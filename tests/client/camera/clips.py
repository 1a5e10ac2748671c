"""Small clips made on the spot: each frame has its own gray, so that order and number can be checked."""

from __future__ import annotations

import io
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

photographed = pytest.mark.skipif(
    not any(map(find_spec, ("skimage", "sklearn"))), reason="the virtual camera needs photographs (extra virtual)"
)
"""What needs the virtual camera; asked without importing those packages, which takes seconds."""

GRAYS = tuple(range(20, 240, 20))  # 11 frames


def mp4(path: Path) -> Path:
    path.write_bytes(_encoded("mp4", "mpeg4", GRAYS))
    return path


def mpegts(grays: tuple[int, ...]) -> bytes:
    return _encoded("mpegts", "mpeg2video", grays)


def _encoded(container: str, codec: str, grays: tuple[int, ...]) -> bytes:
    av = pytest.importorskip("av", reason="video needs PyAV (extra camera)")
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for gray in grays:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((48, 64, 3), gray, np.uint8), format="rgb24")))
        out.mux(stream.encode())
    return file.getvalue()


def moving(path: Path, codec: str, frames: int = 30, gop: int = 10) -> Path:
    """A pattern that glides, 10 pictures a second of 128 x 96; the container goes by the file's ending."""
    av = pytest.importorskip("av", reason="video needs PyAV (extra camera)")
    chance = np.random.default_rng(0)
    wide = np.kron(chance.integers(0, 256, (12, 40, 3), np.uint8), np.ones((8, 8, 1), np.uint8))
    with av.open(str(path), "w", options={"movflags": "faststart"} if path.suffix == ".mp4" else {}) as out:
        stream = out.add_stream(codec, rate=10)
        stream.width, stream.height = 128, 96
        stream.pix_fmt = {"mjpeg": "yuvj420p", "gif": "rgb8"}.get(codec, "yuv420p")
        stream.codec_context.gop_size = gop
        for n in range(frames):
            shown = np.ascontiguousarray(wide[:, 3 * n % 192 : 3 * n % 192 + 128])
            out.mux(stream.encode(av.VideoFrame.from_ndarray(shown, format="rgb24")))
        out.mux(stream.encode())
    return path


def damage(path: Path, packet: int, kind: str = "zero", begin: float = 0.0, end: float = 1.0) -> None:
    """Overwrites a part of one video packet's payload."""
    av = pytest.importorskip("av", reason="video needs PyAV (extra camera)")
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        payload = [bytes(packet) for packet in container.demux(video=0) if packet.size][packet]
    at = data.find(payload)
    assert at >= 0
    first, last = at + int(begin * len(payload)), at + int(end * len(payload))
    noise = np.random.default_rng(1).integers(0, 256, last - first, np.uint8).tobytes()
    data[first:last] = bytes(last - first) if kind == "zero" else noise
    path.write_bytes(data)


def gif(path: Path, width: int = 64, height: int = 48) -> Path:
    images = pytest.importorskip("PIL.Image", reason="writing a GIF needs Pillow (extra camera)")
    first, *rest = [images.new("L", (width, height), gray) for gray in GRAYS]
    first.save(path, save_all=True, append_images=rest, duration=100)
    return path


def jpeg(pixels: np.ndarray, quality: int = 95) -> bytes:
    images = pytest.importorskip("PIL.Image", reason="writing a JPEG needs Pillow (extra camera)")
    out = io.BytesIO()
    images.fromarray(pixels).save(out, "JPEG", quality=quality)
    return out.getvalue()
