"""Every kind of source: its frames, their order, and how it ends."""

from __future__ import annotations

import functools
import http.server
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from tta_client.camera import Folder, Virtual, open_source
from tta_client.camera.video import VideoSource
from tta_client.camera.webcam import WebcamSource

from tests.client.camera import clips
from tests.client.camera.clips import GRAYS, gif, jpeg, mp4


@pytest.mark.parametrize("make", [mp4, gif])
def test_a_video_yields_every_frame_in_order(tmp_path: Path, make) -> None:
    source = open_source(str(make(tmp_path / f"clip.{make.__name__}")))
    frames = list(source)
    assert not source.live
    assert [f.frame_id for f in frames] == list(range(1, len(GRAYS) + 1))
    assert all(f.image.shape == (48, 64, 3) for f in frames)
    assert np.abs([f.image.mean() for f in frames] - np.array(GRAYS)).max() < 4


def test_a_folder_yields_its_pictures_by_name(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.png", "c.txt", "d.webp"):
        (tmp_path / name).write_bytes(name.encode())
    frames = list(open_source(str(tmp_path)))
    assert [(f.frame_id, f.scene, f.image) for f in frames] == [
        (1, "a.png", b"a.png"),
        (2, "b.jpg", b"b.jpg"),
        (3, "d.webp", b"d.webp"),
    ]
    assert [f.scene for f in open_source(f"{tmp_path}/*.jpg")] == ["b.jpg"]
    assert [f.scene for f in open_source(f"{tmp_path}/b.jpg")] == ["b.jpg"]


def test_a_name_that_exists_is_not_a_pattern(tmp_path: Path) -> None:
    """Brackets, stars and question marks in names of files and of the folders around them."""
    folder, other = tmp_path / "shots[1]*", tmp_path / "shots1"
    for place in (folder, other):
        place.mkdir()
        for name in ("img[1].jpg", "img1.jpg", "what?.png"):
            (place / name).write_bytes(f"{place.name}/{name}".encode())
    assert [f.image for f in open_source(f"{folder}/img[1].jpg")] == [b"shots[1]*/img[1].jpg"]
    assert [f.image for f in open_source(f"{folder}/what?.png")] == [b"shots[1]*/what?.png"]
    assert [f.scene for f in open_source(f"{folder}/*.jpg")] == ["img1.jpg", "img[1].jpg"]
    assert [f.image for f in open_source(f"{folder}/img?.jpg")] == [b"shots[1]*/img1.jpg"]
    assert [f.image for f in open_source(f"{tmp_path}/shots[12]/*[!1].png")] == [b"shots1/what?.png"]
    assert len(list(open_source(str(folder)))) == 3 and len(list(open_source(f"{tmp_path}/**/*.jpg"))) == 4


def test_a_picture_that_cannot_be_read_goes_on_as_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own frame fails later; the others are complete."""
    for name in ("a.jpg", "c.jpg", "e.jpg"):
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "b.jpg").symlink_to("nowhere")
    (tmp_path / "d.jpg").mkdir()
    os.mkfifo(tmp_path / "f.jpg")  # a pipe without a writer
    read = Path.read_bytes

    def denied(path: Path) -> bytes:
        if path.name == "c.jpg":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", denied)
    unread = [tmp_path / name for name in ("b.jpg", "c.jpg", "d.jpg", "f.jpg")]
    assert [f.image for f in open_source(str(tmp_path))] == [b"a.jpg", *unread[:3], b"e.jpg", unread[3]]
    assert [f.image for f in open_source(str(unread[0]))] == [unread[0]]


def test_a_name_that_is_not_utf8_is_escaped(tmp_path: Path) -> None:
    names = [b"caf\xe9.jpg", b"caf\xe8.jpg"]
    for name in names:
        Path(os.fsdecode(bytes(tmp_path) + b"/" + name)).write_bytes(name)
    frames = list(open_source(str(tmp_path)))
    assert sorted(f.image for f in frames) == sorted(names)
    assert len({f.scene.encode() for f in frames}) == 2
    one = os.fsdecode(bytes(tmp_path) + b"/" + names[0])
    assert [f.image for f in open_source(one)] == [names[0]]


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no pictures"):
        list(Folder(str(tmp_path)))


def test_the_text_decides_the_kind_of_source() -> None:
    assert open_source("0") == WebcamSource(0)
    assert open_source("rtsp://camera/1") == open_source("RTSP://camera/1") == VideoSource("rtsp://camera/1", live=True)
    assert open_source("virtual:") == Virtual() and open_source("virtual") == Virtual()
    assert open_source("virtual:frames=3,fps=2.5,seed=7") == Virtual(frames=3, fps=2.5, seed=7)
    with pytest.raises(ValueError, match="no folder"):
        open_source("nowhere.mp4")


@pytest.mark.parametrize("text", ["frames=x", "colour=1", "strength=2", "frames=-1", "shot=0"])
def test_a_virtual_camera_refuses_invalid_parameters(text: str) -> None:
    with pytest.raises(ValueError, match=text.split("=")[0]):
        open_source(f"virtual:{text}")


def test_a_file_that_is_no_video_is_an_os_error(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="video needs PyAV (extra camera)")
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"no video at all")
    with pytest.raises(OSError, match=r"clip\.mp4"):
        list(open_source(str(path)))


def test_a_missing_webcam_is_an_os_error() -> None:
    pytest.importorskip("cv2", reason="a webcam needs OpenCV (extra camera)")
    with pytest.raises(OSError, match="no camera 94"):
        next(iter(WebcamSource(94)))


def test_a_webcam_goes_on_after_a_picture_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    cv2 = pytest.importorskip("cv2", reason="a webcam needs OpenCV (extra camera)")
    good = (True, np.zeros((4, 6, 3), np.uint8))
    reads = [good, (False, None), good, (False, None), (False, None), good]

    class Device:
        isOpened, set, release = (lambda *_: True,) * 3

        def __init__(self, *_: object) -> None: ...

        def read(self) -> tuple[bool, np.ndarray | None]:
            return reads.pop(0) if reads else (False, None)

    monkeypatch.setattr(cv2, "VideoCapture", Device)
    camera, ids = WebcamSource(0), []
    with pytest.raises(OSError, match="camera 0 delivers no more"):
        for frame in camera:
            ids.append(frame.frame_id)  # noqa: PERF401 - an error follows
    assert ids == [1, 2, 3] and camera.statistics.dropped == {"unreadable": 3}


def test_a_network_camera_delivers_until_it_ends(tmp_path: Path) -> None:
    mp4(tmp_path / "clip.mp4")
    with serve_http(tmp_path) as address:
        assert len(list(VideoSource(f"{address}/clip.mp4", live=True))) == len(GRAYS)
        with pytest.raises(OSError, match="404"):
            list(VideoSource(f"{address}/other.mp4", live=True))


def test_a_silent_network_camera_ends_the_source() -> None:
    pytest.importorskip("av", reason="video needs PyAV (extra camera)")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        source = VideoSource(
            f"tcp://127.0.0.1:{silent.getsockname()[1]}", live=True, open_seconds=0.3, read_seconds=0.3
        )
        with pytest.raises(OSError):
            list(source)


def test_a_stream_over_the_network_keeps_its_order() -> None:
    """MPEG-TS over a bare socket: a camera, which hangs up at the end."""
    sent = clips.mpegts(GRAYS * 4)
    with socket.create_server(("127.0.0.1", 0)) as camera:

        def send() -> None:
            with camera.accept()[0] as connection:
                connection.sendall(sent)

        threading.Thread(target=send, daemon=True).start()
        frames = []
        with pytest.raises(OSError, match="hung up"):
            for frame in VideoSource(f"tcp://127.0.0.1:{camera.getsockname()[1]}", live=True):
                frames.append(frame)  # noqa: PERF402 - an error follows
    assert len(frames) == 4 * len(GRAYS)
    assert [f.frame_id for f in frames] == list(range(1, len(frames) + 1))


@contextmanager
def serve_http(folder: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_a_picture_file_is_not_decoded(tmp_path: Path) -> None:
    data = jpeg(np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "one.jpg").write_bytes(data)
    assert [f.image for f in open_source(str(tmp_path))] == [data]
