"""The page of --show: who may look, and what is seen."""

from __future__ import annotations

import http.client
import socket
import threading
import urllib.request
from collections.abc import Iterator
from urllib.error import HTTPError

import numpy as np
import pytest
from tta_client import Frame
from tta_client.camera.cli import main
from tta_client.camera.showing import Picture, Show

from tests.client.camera import clips
from tests.client.camera.results import make_answer
from tests.patience import until

pytest.importorskip("cv2", reason="pictures need OpenCV (extra camera)")
GRAY = np.full((96, 128, 3), 120, np.uint8)


@pytest.fixture
def opened() -> list[str]:
    return []


@pytest.fixture
def show(opened: list[str]) -> Iterator[Show]:
    page = Show(open_page=opened.append)
    yield page
    page.close()


def test_the_page_is_opened_and_has_every_camera(show: Show, opened: list[str]) -> None:
    for name in ("gate", "a <b> & c"):
        show.add(name)
    until(lambda: opened == [show.url])
    page = urllib.request.urlopen(show.url).read().decode()
    assert 'src="gate.mjpg"' in page and "a &lt;b&gt; &amp; c" in page and "<b>" not in page


def test_frames_come_as_they_are_answered(show: Show) -> None:
    picture, over = show.add("a b"), threading.Event()

    def answer() -> None:
        number = 0
        while not over.wait(0.01):
            number += 1
            picture.take(make_answer("cat", frame=number), Frame(number, GRAY))

    camera = threading.Thread(target=answer)
    camera.start()
    try:
        with urllib.request.urlopen(show.url + "a%20b.mjpg") as frames:
            assert frames.headers["content-type"] == "multipart/x-mixed-replace; boundary=frame"
            for _ in range(3):
                assert frames.readline() == b"--frame\r\n" and frames.readline() == b"Content-Type: image/jpeg\r\n"
                size = int(frames.readline().split(b":")[1])
                assert frames.readline() == b"\r\n"
                assert frames.read(size)[:2] == b"\xff\xd8" and frames.read(2) == b"\r\n"
    finally:
        over.set()
        camera.join()


def test_nobody_looks_without_the_secret(show: Show) -> None:
    show.add("gate")
    for path in ("/", "/gate.mjpg", "/wrong/", "/wrong/gate.mjpg", f"/{show.url.split('/')[3]}/nowhere.mjpg"):
        with pytest.raises(HTTPError, match="404"):
            urllib.request.urlopen(show.url.rpartition("/")[0].rpartition("/")[0] + path)
    connection = http.client.HTTPConnection(show.url.split("/")[2])
    connection.request("POST", "/")
    assert connection.getresponse().status == 501


def test_a_frame_that_nobody_looks_at_is_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = Picture()
    picture.take(make_answer("cat"), Frame(1, GRAY))  # the first is there when the page opens
    picture.take(make_answer("cat"), Frame(2, b"no picture"))  # which would raise
    frames = picture.watch()
    assert next(frames)[:2] == b"\xff\xd8"
    frames.close()  # type: ignore[attr-defined]


def test_the_command_tells_where_the_page_is(
    address: str, tmp_path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webbrowser.open", lambda url: True)
    clip = clips.mp4(tmp_path / "clip.mp4")
    assert main([str(clip), "--server", address, "--labels", "cat,dog,bird", "--show"]) == 0
    assert "tta-camera: http://127.0.0.1:" in capsys.readouterr().err


def test_a_port_that_is_taken_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["virtual:", "--labels", "a", "--show", "--show-port", port]) == 1
    assert f"tta-camera: --show-port {port}: Address already in use" in capsys.readouterr().err
