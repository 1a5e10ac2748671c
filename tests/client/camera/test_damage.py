"""Damaged or truncated videos: every sound frame is delivered, the others are counted, and the end is reported."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from tta_client import Statistics
from tta_client.camera import open_source
from tta_client.camera.packet_loss import PacketLoss
from tta_client.camera.sources import attach_statistics

from tests.client.camera.clips import damage, moving


def read_video(path: Path) -> tuple[list[np.ndarray], Statistics, str]:
    """Its pictures, the counters, and the error at its end."""
    pictures, counts, ending = [], Statistics(), ""
    try:
        for frame in attach_statistics(open_source(str(path)), counts):
            pictures.append(frame.image)  # noqa: PERF401 - what came before the error counts
    except OSError as error:
        ending = str(error)
    return pictures, counts, ending


@pytest.mark.parametrize("kind", ["zero", "noise"])
@pytest.mark.parametrize("packet", [1, 14, 29])
@pytest.mark.parametrize("name", ["mjpeg.avi", "mjpeg.mkv", "mpeg4.mp4", "mpeg4.avi", "libx264.mkv", "libx264.mp4"])
def test_a_damaged_packet_costs_its_own_frame(tmp_path: Path, caplog, name: str, packet: int, kind: str) -> None:
    whole, *_ = read_video(path := moving(tmp_path / name, name.split(".")[0]))
    damage(path, packet, kind)
    pictures, counts, ending = read_video(path)
    assert len(whole) == 30 and not ending
    assert len(pictures) == 29 and counts.dropped == {"unreadable": 1} == {"unreadable": counts.damaged}
    assert [r.levelno for r in caplog.records] == [logging.WARNING] and name in caplog.text
    if "mjpeg" in name:  # nothing builds on anything: all others are what they were
        assert all(map(np.array_equal, pictures, whole[:packet] + whole[packet + 1 :]))


@pytest.mark.parametrize("name", ["libx264.mkv", "libx265.mp4", "libvpx-vp9.webm", "mpeg4.mp4"])
@pytest.mark.parametrize("packet", [0, 10, 13, 20])
def test_frames_that_depend_on_a_lost_key_frame_are_counted(tmp_path: Path, name: str, packet: int) -> None:
    damage(path := moving(tmp_path / name, name.split(".")[0]), packet)
    pictures, counts, ending = read_video(path)
    assert not ending and len(pictures) >= 19
    assert len(pictures) + counts.damaged == 30 and counts.damaged >= 1


@pytest.mark.parametrize("name", ["libx264.mkv", "libx265.mp4", "mpeg4.avi"])
@pytest.mark.parametrize("part", [(0.5, 1.0), (0.3, 0.6)])
def test_a_picture_of_which_a_half_is_missing_is_a_damaged_one(tmp_path: Path, name: str, part) -> None:
    damage(path := moving(tmp_path / name, name.split(".")[0]), 15, "zero", *part)
    pictures, counts, ending = read_video(path)
    assert not ending and len(pictures) + counts.damaged == 30
    assert name == "libx265.mp4" or part[1] < 1 or counts.damaged == 1  # some look good to the decoder


def test_many_damaged_packets_are_one_warning(tmp_path: Path, caplog) -> None:
    path = moving(tmp_path / "clip.avi", "mjpeg")
    for packet in (29, 20, 11, 10, 2):  # from behind, as the first that looks alike is taken
        damage(path, packet)
    pictures, counts, ending = read_video(path)
    assert (len(pictures), counts.damaged, ending, len(caplog.records)) == (25, 5, "", 1)


def test_a_video_of_which_nothing_can_be_decoded_is_an_os_error(tmp_path: Path) -> None:
    path = moving(tmp_path / "clip.avi", "mjpeg", frames=5)
    for packet in range(5):
        damage(path, packet, "noise")
    pictures, counts, ending = read_video(path)
    assert not pictures and counts.damaged == 5 and "clip.avi holds no picture that can be decoded" in ending


@pytest.mark.parametrize("name", ["mjpeg.avi", "mpeg4.avi", "libx264.mkv", "libx264.mp4", "libvpx-vp9.webm", "gif.gif"])
def test_a_file_that_was_cut_off_is_told_after_what_is_there(tmp_path: Path, name: str) -> None:
    whole, _, ending = read_video(path := moving(tmp_path / name, name.split(".")[0]))
    assert len(whole) == 30 and not ending
    cut = int(0.6 * path.stat().st_size)
    with pytest.importorskip("av").open(str(path)) as container:
        there = sum(packet.pos + packet.size <= cut for packet in container.demux(video=0) if packet.size)
    path.write_bytes(path.read_bytes()[:cut])
    pictures, _, ending = read_video(path)
    assert there - 3 <= len(pictures) <= there + 1 < 30  # H.264 holds some back that build on what is missing
    assert all(map(np.array_equal, pictures[: there - 3], whole))
    assert name in ending and ("breaks off" in ending or "cut off" in ending)


def test_a_gif_that_is_damaged_in_the_middle_does_not_end_as_if_that_were_all(tmp_path: Path) -> None:
    damage(path := moving(tmp_path / "clip.gif", "gif"), 12, "noise")
    pictures, _, ending = read_video(path)
    assert len(pictures) >= 11 and "clip.gif is cut off or damaged" in ending


def test_names_with_signs_that_ffmpeg_interprets_are_plain_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = moving(Path("plain.avi"), "mjpeg", frames=3)
    for name in ("a:b.avi", "x[1].avi", "%03d.avi", "caf\udce9.avi"):
        path = path.rename(name)
        assert len(read_video(path)[0]) == 3


def test_packets_without_pictures_are_lost_only_around_a_failure() -> None:
    lost = list[int]()
    losses = PacketLoss(lambda: lost.append(1))

    def run(first: int, last: int, shown: bool, key: int = -1) -> None:
        for time in range(first, last):
            losses.packet_sent(time, time == key)
            if shown:
                losses.picture_decoded(time)

    run(0, 50, shown=False)  # a decoder that has its reasons
    run(50, 60, shown=True)
    assert not lost
    losses.packet_sent(60, key=True)
    losses.packet_failed(60)
    assert len(lost) == 1
    run(61, 65, shown=False)
    run(70, 140, shown=True, key=70)
    losses.finish()
    assert len(lost) == 1 + 4
    run(200, 250, shown=False)
    losses.finish()
    assert len(lost) == 1 + 4
