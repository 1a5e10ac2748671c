"""Folders that are watched, JPEGs on standard input, regions, names and modes of webcams, decoders."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tta_client import Frame
from tta_client.camera import FolderSource, open_source, webcam
from tta_client.camera.cli import main
from tta_client.camera.command import parse_arguments, parse_command
from tta_client.camera.region import Region, apply_region, parse_region
from tta_client.camera.video import VideoSource
from tta_client.camera.watching import PipeSource, WatchedSource, read_jpeg
from tta_client.camera.webcam import Mode, WebcamSource, find_device

from tests.client.camera import clips
from tests.client.peer import Peer

JPEGS = [clips.jpeg(np.full((24, 32, 3), gray, np.uint8)) for gray in (10, 120, 240)]


def with_thumbnail(data: bytes) -> bytes:
    """The JPEG with another one, which ends in an EOI, in its first segment."""
    inside = b"Exif\0\0" + JPEGS[0]
    return data[:2] + b"\xff\xe1" + (len(inside) + 2).to_bytes(2, "big") + inside + data[2:]


def test_a_watched_folder_gives_what_is_there_what_comes_and_what_is_written_anew(tmp_path: Path) -> None:
    frames = iter(WatchedSource(str(tmp_path / "in"), interval=0.01))
    (tmp_path / "in").mkdir()
    first, second = tmp_path / "in" / "b.jpg", tmp_path / "in" / "a.jpg"
    first.write_bytes(b"1")
    (tmp_path / "in" / "notes.txt").write_text("")
    assert next(frames).image == b"1"
    second.write_bytes(b"22")
    assert next(frames).image == b"22"
    first.write_bytes(b"333")
    third = next(frames)
    assert (third.frame_id, third.image, third.scene) == (3, b"333", "b.jpg")


def test_a_picture_that_grows_is_waited_for_and_a_folder_that_goes_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each pause between two looks is a step of what happens to the folder."""
    folder = tmp_path / "in"
    folder.mkdir()

    def write(text: str) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "1.jpg").write_text(text)

    def remove() -> None:
        (folder / "1.jpg").unlink()
        folder.rmdir()

    steps = iter([lambda: write("a"), lambda: write("ab"), lambda: None, remove, lambda: write("c"), lambda: None])
    monkeypatch.setattr("time.sleep", lambda seconds: next(steps)())
    assert [frame.image for frame in islice(WatchedSource(str(folder)), 2)] == [b"ab", b"c"]


def test_what_cannot_be_read_in_a_watched_folder_is_passed_on_by_its_name(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")  # without a writer: reading it would block
    (tmp_path / "folder.png").mkdir()
    frames = list(islice(WatchedSource(str(tmp_path), interval=0.01), 2))
    assert {frame.image for frame in frames} == {tmp_path / "pipe.jpg", tmp_path / "folder.png"}


def test_the_command_watches_until_it_has_enough(address: str, peer: Peer, tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(b"x" * (number + 1))
    words = [str(tmp_path), "--watch", "--frames", "3", "--labels", "cat,dog,bird", "--server", address]
    assert main(words) == 0 and [frame.image.encoded for frame in peer.frames] == [b"x", b"xx", b"xxx"]


def test_pictures_of_a_pipe_are_told_apart_by_their_segments() -> None:
    sent = [JPEGS[0], with_thumbnail(JPEGS[1]), JPEGS[2]]
    stream = io.BytesIO(b"between" + sent[0] + b"\xff" + sent[1] + b"\r\n--frame\r\n" + sent[2] + b"\xff")
    frames = list(PipeSource(stream=stream))
    assert [frame.image for frame in frames] == sent and [frame.frame_id for frame in frames] == [1, 2, 3]


def test_a_progressive_picture_with_restarts_is_one(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).save(out, "JPEG", quality=95, progressive=True, restart_marker_rows=1)
    assert read_jpeg(io.BytesIO(out.getvalue() + JPEGS[0])) == out.getvalue()


@pytest.mark.parametrize(("data", "sentence"), [(JPEGS[0][:-20], "breaks off in a picture"), (b"x", "holds no JPEG")])
def test_a_pipe_that_breaks_off_says_so(data: bytes, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        list(PipeSource(stream=io.BytesIO(data)))


@pytest.mark.slow
def test_the_command_reads_standard_input(address: str) -> None:
    words = ["-", "--no-live", "--labels", "cat,dog,bird", "--server", address, "--short-side", "0"]
    command = [sys.executable, "-m", "tta_client.camera.cli", *words]
    done = subprocess.run(command, input=b"".join(JPEGS), capture_output=True, timeout=120)
    assert done.returncode == 0 and b"3 answers to 3 sent" in done.stdout, done.stderr


def test_a_region_is_cut_and_what_is_outside_the_polygon_is_covered() -> None:
    pixels = np.arange(100 * 200 * 3, dtype=np.uint32).astype(np.uint8).reshape(100, 200, 3)
    region = parse_region("0.5,0.25,0.5,0.5", "")
    assert (region.apply(pixels) == pixels[25:75, 100:]).all()
    covered = parse_region("", "0,0 0.5,0 0.5,1 0,1").apply(pixels)
    assert (covered[:, :100] == pixels[:, :100]).all() and (covered[:, 102:] == covered[0, 199]).all()
    assert not Region() and parse_region("0,0,1,1", "") == Region()
    assert parse_region("0.99,0.99,0.01,0.01", "").apply(pixels[:3, :3]).shape == (1, 1, 3)


def test_frames_are_cut_whatever_they_are_and_what_is_no_picture_stays() -> None:
    frames = [Frame(1, JPEGS[1]), Frame(2, np.zeros((24, 32), np.uint8)), Frame(3, b"none")]
    cut = [frame.image for frame in apply_region(frames, parse_region("0,0,0.5,1", ""))]
    assert cut[0].shape == cut[1].shape == (24, 16, 3) and cut[2] == b"none" and abs(int(cut[0].mean()) - 120) < 3


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["0", "--crop", "0.5,0,0.6,1"], "--crop is LEFT,TOP,WIDTH,HEIGHT within the frame"),
        (["0", "--crop", "0,0,100,100"], "each from 0 to 1"),
        (["0", "--crop", "0,0"], "--crop is LEFT"),
        (["0", "--mask", "0,0 1,1"], "--mask is the corners of a polygon"),
        (["0", "--mask", "0,0 1,1 a,b"], "--mask is X,Y X,Y X,Y"),
        (["0", "--resolution", "big"], "--resolution is WIDTHxHEIGHT"),
        (["rtsp://gate/1", "--resolution", "640x480"], "are for cameras of this machine"),
        (["rtsp://gate/1", "--watch"], "--watch is for folders"),
        (["nowhere", "--watch"], "--watch: there is no folder"),
        (["0", "--decoder", "cuda"], "--decoder is for videos and URLs"),
        (["-", "-"], "standard input is one source"),
    ],
)
def test_what_does_not_go_together_is_refused(words: list[str], sentence: str, capsys: Any) -> None:
    with pytest.raises(SystemExit):
        parse_command([*words, "--labels", "a,b"])
    assert sentence in " ".join(capsys.readouterr().err.split())


def test_a_webcam_has_a_mode_and_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["--labels", "a,b", "--resolution", "1280x720", "--device-fps", "15", "--pixel-format", "yuyv"]
    source = parse_arguments(["device:BRIO", *words]).source
    assert isinstance(source, WebcamSource) and (source.index, source.mode) == ("BRIO", Mode(1280, 720, 15.0, "yuyv"))
    assert parse_arguments(["/dev/video2", "--labels", "a,b"]).source.index == "/dev/video2"  # type: ignore[attr-defined]
    for number, name in ((10, "USB Camera"), (2, "Logitech BRIO"), (0, "Logitech BRIO")):
        (tmp_path / f"video{number}").mkdir()
        (tmp_path / f"video{number}" / "name").write_text(f"{name}\n")
    monkeypatch.setattr(webcam, "DEVICES", tmp_path)
    assert (find_device("brio"), find_device("usb"), find_device("/dev/x")) == ("/dev/video0", "/dev/video10", "/dev/x")
    with pytest.raises(OSError, match="no camera is called 'c920'; there are: Logitech BRIO, USB Camera"):
        next(iter(WebcamSource("c920")))


def test_rtsp_goes_over_what_is_asked_for() -> None:
    source = parse_arguments(["rtsp://gate/1", "--labels", "a,b", "--rtsp-transport", "udp"]).source
    assert isinstance(source, VideoSource) and source.options == {"rtsp_transport": "udp"}


def test_without_a_device_that_decodes_auto_decodes_as_ever_and_a_name_is_an_error(tmp_path: Path) -> None:
    clip = str(clips.mp4(tmp_path / "clip.mp4"))
    plain = [frame.image for frame in open_source(clip)]
    found = [frame.image for frame in VideoSource(clip, decoder="auto")]
    assert len(found) == len(plain) and np.abs(np.int16(found) - np.int16(plain)).max() <= 2
    with pytest.raises(OSError, match="--decoder magic: it is not to be had here; FFmpeg knows"):
        list(VideoSource(clip, decoder="magic"))


def test_folders_that_are_not_watched_are_as_before(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(b"x")
    source = parse_arguments([os.fspath(tmp_path), "--labels", "a,b"]).source
    assert source == FolderSource(str(tmp_path))
