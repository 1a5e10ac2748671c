"""The display matrix of a video: its pictures come out upright."""

from __future__ import annotations

import gc
import struct
from pathlib import Path

import numpy as np
import pytest
from tta_client.camera import open_source

from tests.client.camera.clips import moving

av = pytest.importorskip("av", reason="video needs PyAV (extra camera)")

ORIENTATIONS = {  # a, b, c, d of the display matrix, and what it does
    "as it is": ((1, 0, 0, 1), lambda p: p),
    "clockwise": ((0, 1, -1, 0), lambda p: np.rot90(p, -1)),
    "half": ((-1, 0, 0, -1), lambda p: np.rot90(p, 2)),
    "counterclockwise": ((0, -1, 1, 0), lambda p: np.rot90(p, 1)),
    "mirrored": ((-1, 0, 0, 1), np.fliplr),
    "upside down in a mirror": ((1, 0, 0, -1), np.flipud),
    "transposed": ((0, 1, 1, 0), lambda p: p.swapaxes(0, 1)),
    "transposed the other way": ((0, -1, -1, 0), lambda p: np.rot90(p, 2).swapaxes(0, 1)),
    "nearly clockwise": ((0.1, 0.99, -0.99, 0.1), lambda p: np.rot90(p, -1)),
    "nothing": ((0, 0, 0, 0), lambda p: p),
}


def write_matrix(path: Path, a: float, b: float, c: float, d: float) -> None:
    """Writes the display matrix of an MP4's track."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    fixed = [round(n * 65536) for n in (a, b, 0, c, d, 0, 0, 0)]
    data[at : at + 36] = struct.pack(">9i", *fixed, 1 << 30)
    path.write_bytes(data)


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
@pytest.mark.parametrize("name", ORIENTATIONS)
def test_the_display_matrix_is_applied(tmp_path: Path, codec: str, name: str) -> None:
    path = moving(tmp_path / "clip.mp4", codec, frames=3)
    stored = [frame.image for frame in open_source(str(path))]
    matrix, expected = ORIENTATIONS[name]
    write_matrix(path, *matrix)
    shown = [frame.image for frame in open_source(str(path))]
    assert len(shown) == 3 and all(image.flags.c_contiguous for image in shown)
    assert all(map(np.array_equal, shown, map(expected, stored)))


@pytest.mark.parametrize("name", ["as it is", "clockwise", "half", "counterclockwise"])
def test_the_orientation_equals_that_of_opencv(tmp_path: Path, name: str) -> None:
    cv2 = pytest.importorskip("cv2", reason="needs OpenCV (extra camera)")
    write_matrix(path := moving(tmp_path / "clip.mp4", "mpeg4", frames=1), *ORIENTATIONS[name][0])
    ours = next(iter(open_source(str(path)))).image
    good, theirs = cv2.VideoCapture(str(path)).read()
    assert good and ours.shape == theirs.shape
    assert np.abs(ours.astype(int) - theirs[:, :, ::-1]).mean() < 4


def test_pictures_need_no_search_for_cycles_to_be_freed(tmp_path: Path) -> None:
    """Their memory is FFmpeg's, of which Python's collector knows nothing."""
    path = moving(tmp_path / "clip.mp4", "mpeg4", frames=60)
    write_matrix(path, *ORIENTATIONS["clockwise"][0])
    gc.collect()
    gc.disable()
    try:
        assert len(list(open_source(str(path)))) == 60
        left = sum(type(one) is av.VideoFrame for one in gc.get_objects())
    finally:
        gc.enable()
    assert left < 5
