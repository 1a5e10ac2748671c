"""Cameras and recordings on the network: damage, broken transfers, and which URL is which."""

from __future__ import annotations

import itertools
import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from tta_client import Reconnect, Statistics
from tta_client.camera import Lasting, open_source
from tta_client.camera.cli import main
from tta_client.camera.command import parse_arguments
from tta_client.camera.sources import attach_statistics
from tta_client.camera.video import SnapshotSource, VideoSource
from tta_client.camera.video_reader import MAX_DAMAGED

from tests.client.camera import clips
from tests.client.camera.clips import jpeg, moving
from tests.client.camera.playback import Recorder, file, pictures, web

pytest.importorskip("av", reason="video needs PyAV (extra camera)")
QUICKLY = Reconnect(shortest=0.01, longest=0.05)


def shades(every: int, begin: int = 1) -> Iterator[bytes]:
    """JPEGs without end; each `every`th is damaged."""
    for number in itertools.count(begin):
        good = jpeg(np.full((48, 64, 3), number % 250, np.uint8))
        yield good[:30] + bytes(400) if every and number % every == 0 else good


@pytest.mark.parametrize("every", [40, 3, 2])
def test_a_camera_with_damaged_frames_stays_open(every: int, caplog: pytest.LogCaptureFixture) -> None:
    counts, wanted = Statistics(), 100
    with web(pictures(lambda: shades(every))) as camera:
        frames = iter(Lasting(attach_statistics(open_source(f"{camera.url}/door"), counts), QUICKLY, counts))
        seen = list(islice(frames, wanted))
        frames.close()  # type: ignore[attr-defined]
        assert len(camera.asked) == 1 and not counts.reconnects
    good = [n for n in range(1, 1000) if n % every][:wanted]
    assert [frame.frame_id for frame in seen] == list(range(1, wanted + 1))
    assert np.abs([frame.image.mean() for frame in seen] - np.mod(good, 250)).max() < 4
    assert counts.damaged == sum(n % every == 0 for n in range(1, good[-1]))
    assert [record.message.count("a damaged frame is left out") for record in caplog.records] == [1]


def test_a_camera_whose_every_frame_is_damaged_is_an_os_error() -> None:
    counts = Statistics()
    with web(pictures(lambda: shades(1), pause=0.001)) as camera:
        with pytest.raises(OSError, match="127"):
            list(Lasting(attach_statistics(open_source(f"{camera.url}/door"), counts), QUICKLY, counts))
        assert len(camera.asked) == 1


def test_many_damaged_frames_in_a_row_make_the_camera_open_again() -> None:
    """The first connection turns bad, the second is good."""
    openings = iter([itertools.chain(islice(shades(0), 20), shades(1)), shades(0)])
    counts = Statistics()
    with web(pictures(lambda: next(openings), pause=0.001)) as camera:
        frames = iter(Lasting(attach_statistics(open_source(f"{camera.url}/door"), counts), QUICKLY, counts))
        assert [frame.frame_id for frame in islice(frames, 40)] == list(range(1, 41))
        frames.close()  # type: ignore[attr-defined]
        assert len(camera.asked) == 2 and counts.reconnects == {"source": 1} and counts.damaged == MAX_DAMAGED


def test_a_camera_that_sends_only_damage_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tta_client.camera.video_reader.MAX_DAMAGED", 10**9)
    openings = iter([itertools.chain(islice(shades(0), 20), shades(1))])
    with web(pictures(lambda: next(openings))) as camera, pytest.raises(OSError, match=r"no picture for 0\.3 s"):
        list(VideoSource(f"{camera.url}/door", live=True, read_seconds=0.3))


@pytest.mark.parametrize("breaks", [0, 1, 2])
def test_a_recording_behind_a_url_is_read_to_its_end(tmp_path: Path, breaks: int) -> None:
    path = moving(tmp_path / "recording.mp4", "mpeg4", frames=200)
    with web(file(path, breaks)) as server:
        source = open_source(f"{server.url}/recording.mp4?token=x")
        assert not source.live
        assert [frame.frame_id for frame in source] == list(range(1, 201))


@pytest.mark.parametrize(
    ("url", "live"),
    [
        ("http://host/a/recording.mp4", False),
        ("https://host/RECORDING.MKV?token=1#t", False),
        ("http://host/one.jpg", False),
        ("http://host/mjpg/video.cgi?x=.mp4", True),
        ("http://host/live.m3u8", True),
        ("http://host/", True),
        ("rtsp://host/recording.mp4", True),
    ],
)
def test_urls_of_recordings_and_of_cameras(url: str, live: bool) -> None:
    assert open_source(url).live is live
    assert open_source(url, live=not live).live is not live
    words = [url, "--labels", "a,b"]
    assert parse_arguments(words).policy == ("latest" if live else "block")
    assert (
        parse_arguments([*words, "--live"]).policy == "latest"
        and parse_arguments([*words, "--no-live"]).policy == "block"
    )


@pytest.mark.parametrize("url", ["HTTP://bob:x@[::1/x", "rtsp://bob:x@[::1/x"])
def test_a_url_that_cannot_be_read_is_named_in_its_error(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([url, "--labels", "a,b"])
    shown = url.lower().replace("bob:x", "***")
    assert f"error: '{shown}': Invalid IPv6 URL" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["0", "--no-live"],
        ["virtual:", "--live"],
        ["rtsp://a", "--interval", "1"],
        *(["device:cam", one, value] for one, value in (("--ffmpeg", "a=b"), ("--rtsp-transport", "udp"))),
        ["virtual:", "--rtsp-transport", "tcp"],
        ["-", "--ffmpeg", "a=b"],
    ],
)
def test_options_for_other_sources_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([*words, "--labels", "a,b"])
    assert words[1] in capsys.readouterr().err


def snapshots(answers: Iterator[bytes], kind: str = "image/jpeg"):
    def answer(request) -> None:
        body = next(answers)
        request.send_response(200 if body else 503)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


@pytest.mark.parametrize("path", ["snapshot.jpg", "cgi-bin/snapshot?user=1"])
def test_a_snapshot_is_polled(path: str) -> None:
    with web(snapshots(shades(0))) as camera:
        source = open_source(f"{camera.url}/{path}", interval=0.2)
        assert isinstance(source, SnapshotSource) and source.live
        began = time.monotonic()
        seen = list(islice(source, 4))
        assert [frame.frame_id for frame in seen] == [1, 2, 3, 4]
        assert np.abs([frame.image.mean() for frame in seen] - np.arange(1, 5)).max() < 3
        for number, (asked, frame) in enumerate(zip(camera.asked, seen)):  # each may be late, and none is early
            assert frame.captured >= asked >= began + 0.2 * number


def test_a_damaged_snapshot_is_left_out_and_an_absent_one_is_a_loss() -> None:
    def answers() -> Iterator[bytes]:
        good = jpeg(np.full((48, 64, 3), 90, np.uint8))
        yield from (good, good[:30] + bytes(400), b"no picture", good, b"", good)
        yield from itertools.repeat(good)

    counts = Statistics()
    with web(snapshots(answers())) as camera:
        source = attach_statistics(open_source(f"{camera.url}/snapshot", interval=0.01), counts)
        frames = Lasting(source, QUICKLY, counts)
        assert [frame.frame_id for frame in islice(frames, 4)] == [1, 2, 3, 4]
    assert counts.damaged == 2 and counts.reconnects == {"source": 1}


def test_snapshots_of_pngs_and_a_single_picture_behind_a_url(tmp_path: Path) -> None:
    images = pytest.importorskip("PIL.Image")
    images.new("RGB", (64, 48), (10, 200, 30)).save(path := tmp_path / "one.png")
    with web(file(path)) as server:
        (only,) = open_source(f"{server.url}/one.png")
        polled = list(islice(open_source(f"{server.url}/picture", interval=0.01), 2))
        assert all(tuple(frame.image[0, 0]) == (10, 200, 30) for frame in (only, *polled))
        with pytest.raises(OSError, match="--interval"):
            list(open_source(f"{server.url}/picture"))


@pytest.mark.parametrize("seconds", [8.0, None])
def test_a_recording_that_breaks_off_is_opened_again_and_a_complete_one_ends(seconds: float | None) -> None:
    part, whole = clips.mpegts((40,) * 100), clips.mpegts((40,) * 200)  # 4 s, 8 s
    counts = Statistics()
    with closing(Recorder([part, whole], seconds)) as recorder:
        frames = iter(Lasting(open_source(recorder.url), QUICKLY, counts))
        seen = list(frames if seconds else islice(frames, 150))  # FFmpeg reads the first packets to find the format
        frames.close()  # type: ignore[attr-defined]
    assert recorder.opened == 2 and counts.reconnects == {"source": 1}
    assert len(seen) >= 150 and [f.frame_id for f in seen] == list(range(1, len(seen) + 1))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_loopback_does_not_go_through_a_proxy(host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy, web(file(moving(tmp_path / "a.mp4", "mpeg4"))) as server:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.delenv("no_proxy", raising=False)
        assert len(list(open_source(f"http://{host}:{server.server_port}/a.mp4"))) == 30


def test_damaged_frames_are_counted_and_are_no_failure_of_the_command(address: str, tmp_path: Path, capsys) -> None:
    path = moving(tmp_path / "clip.avi", "mjpeg")
    clips.damage(path, 12)
    words = [str(path), "--server", address, "--labels", "cat,dog"]
    assert main([*words, "--json"]) == 0
    *results, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert [r["frame"] for r in results] == list(range(1, 30)) and last["summary"]["dropped"] == {"unreadable": 1}
    assert main(words) == 0
    assert "29 answers to 29 sent, 0 failures, 0 skipped, 1 dropped (1 unreadable)" in capsys.readouterr().out
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert main(words) == 1
    printed = capsys.readouterr()
    assert "breaks off" in printed.err and "clip.avi" in printed.err and " answers to " in printed.out


def test_the_command_polls(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    with web(snapshots(shades(0))) as camera:
        words = [f"{camera.url}/x.jpg", "--interval", "0.05", "--frames", "3", "--server", address, "--labels", "a,b"]
        assert main(words) == 0
    assert "3 answers" in capsys.readouterr().out


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_a_camera_that_takes_the_connection_and_says_nothing_is_told_of(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        source = VideoSource(f"{scheme}://127.0.0.1:{mute.getsockname()[1]}/1", live=True, open_seconds=0.3)
        with pytest.raises(OSError, match=r"/1 has not answered within 0\.3 s"):
            next(iter(source))
