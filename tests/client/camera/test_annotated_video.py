"""An annotated video of photographs, made by the whole command, read back picture by picture."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from tta_client.camera import VirtualSource, open_source
from tta_client.camera.annotate import annotate
from tta_client.camera.cli import main

from tests.client.camera.clips import photographed
from tests.client.camera.results import make_answer

av = pytest.importorskip("av", reason="video needs PyAV (extra camera)")
pytest.importorskip("PIL", reason="drawing needs Pillow (extra camera)")
LABELS = "cat", "rocket", "coffee cup", "astronaut", "temple"
CLOCK = 1000  # ticks of a second
TIMES = [number * 40 + 15 * (number % 3) + 700 * (number > 20) for number in range(40)]  # uneven, with a gap


def record(path: Path) -> Path:
    """Photographs, ten pictures of each."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 448, 336, "yuv420p", 4_000_000
        stream.codec_context.time_base = stream.time_base = Fraction(1, CLOCK)
        for frame, time in zip(VirtualSource(len(TIMES), shot=10, strength=0.0), TIMES):
            picture = av.VideoFrame.from_ndarray(frame.image, format="rgb24")
            picture.pts, picture.time_base = time, Fraction(1, CLOCK)
            out.mux(stream.encode(picture))
        out.mux(stream.encode())
    return path


@pytest.mark.slow
@photographed
def test_each_picture_has_its_own_label_and_time(service: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    clip, out = record(tmp_path / "clip.mp4"), tmp_path / "out.mp4"
    words = [str(clip), "--labels", ",".join(LABELS), "--strategy", "mta", "--param", "views=8", "--server", service]
    assert main([*words, "--save", str(out), "--json"]) == 0
    *rows, _ = map(json.loads, capsys.readouterr().out.splitlines())
    assert [row["frame"] for row in rows] == list(range(1, len(TIMES) + 1)) and len({row["label"] for row in rows}) > 1
    pictures = [frame.image for frame in open_source(str(clip))]
    with av.open(str(out)) as video:
        shown = [(frame.time, frame.to_ndarray(format="rgb24").astype(int)) for frame in video.decode(video=0)]
    assert [round(time, 3) for time, _ in shown] == [(time - TIMES[0]) / CLOCK for time in TIMES]
    for number, (row, picture, (_, found)) in enumerate(zip(rows, pictures, shown, strict=True)):
        near = {at: np.abs(found[:290] - pictures[at][:290]).mean() for at in range(len(pictures))}  # above the caption
        assert min(near, key=near.__getitem__) == number  # each picture is its own, no neighbour
        share = (row["confidence"] or {}).get("confidence", row["score"])
        heads = {label: annotate(picture, make_answer(label, score=share)) for label in LABELS}
        lines = {label: np.abs(found - drawn)[300:318, :300].mean() for label, drawn in heads.items()}
        assert min(lines, key=lines.__getitem__) == row["label"]
