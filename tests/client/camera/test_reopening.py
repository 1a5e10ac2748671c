"""Cameras that are lost and come back: they are opened again, frames are numbered on, the latest frame is kept."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from tta_client import Frame, Reconnect, Statistics
from tta_client.camera import Lasting, newest
from tta_client.camera.latest_frame import MAX_HUNG
from tta_client.camera.video import VideoSource

from tests.client.camera import clips
from tests.patience import PATIENCE

QUICKLY = Reconnect(shortest=0.01, longest=0.05)


class Device:
    """Each iteration opens it again, and yields what the next of `openings` gives."""

    def __init__(self, *openings: Callable[[], Iterable[Frame]]) -> None:
        self.openings, self.opened = list(openings), 0

    def __iter__(self) -> Iterator[Frame]:
        self.opened += 1
        return iter(self.openings.pop(0)())


def make_frames(count: int, then: Exception | None = None) -> Callable[[], Iterator[Frame]]:
    def frames() -> Iterator[Frame]:
        for number in range(1, count + 1):
            yield Frame(number, b"")
        if then:
            raise then

    return frames


def test_a_lost_camera_is_opened_again_and_its_frames_are_numbered_on() -> None:
    unplugged, statistics = OSError("unplugged"), Statistics()
    device = Device(make_frames(3, unplugged), make_frames(0, unplugged), make_frames(2, unplugged), make_frames(4))
    assert [f.frame_id for f in Lasting(device, QUICKLY, statistics)] == list(range(1, 10))
    assert device.opened == 4 and statistics.reconnects == {"source": 2}


def test_a_camera_that_cannot_be_opened_at_first_is_an_error_unless_from_the_start() -> None:
    absent = OSError("no camera")
    with pytest.raises(OSError, match="no camera"):
        list(Lasting(Device(make_frames(0, absent), make_frames(2)), QUICKLY))
    patient = Reconnect(0.01, 0.05, from_the_start=True)
    assert len(list(Lasting(Device(make_frames(0, absent), make_frames(0, absent), make_frames(2)), patient))) == 2


def test_an_error_other_than_os_error_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        list(Lasting(Device(make_frames(3, ZeroDivisionError()), make_frames(1)), QUICKLY))


def test_closing_ends_a_pause_at_once() -> None:
    lost = threading.Event()

    def frames() -> Iterator[Frame]:
        yield Frame(1, b"")
        lost.set()
        raise OSError("unplugged")

    source = Lasting(Device(frames), Reconnect(3600, 3600))
    ids = list[int]()
    watching = threading.Thread(target=lambda: ids.extend(f.frame_id for f in source))
    watching.start()
    assert lost.wait(PATIENCE)
    source.close()
    watching.join(PATIENCE)
    assert not watching.is_alive() and ids == [1]


def test_a_source_that_is_closed_announces_no_next_attempt(caplog: pytest.LogCaptureFixture) -> None:
    def frames() -> Iterator[Frame]:
        yield Frame(1, b"")
        source.close()
        raise OSError("unplugged")

    source = Lasting(Device(frames, frames), QUICKLY)
    assert [frame.frame_id for frame in source] == [1]
    assert not caplog.records


def test_a_device_that_hangs_is_opened_again_and_its_late_frames_are_ignored() -> None:
    wakes, late = threading.Event(), threading.Event()

    def hangs() -> Iterator[Frame]:
        yield Frame(1, b"first")
        wakes.wait(PATIENCE)
        late.set()
        yield Frame(2, b"late")

    def second() -> Iterator[Frame]:  # on a busy machine it may count as hung, and is opened again
        if not wakes.is_set():
            yield Frame(1, b"second")
        assert late.wait(PATIENCE)
        yield Frame(2, b"third")

    device, statistics = Device(hangs, second, second, second), Statistics()
    frames = newest(Lasting(device, Reconnect(0.01, 0.05, stall=1.0), statistics), statistics)
    images = [next(frames).image, next(frames).image]
    wakes.set()
    assert [*images, *(f.image for f in frames)] == [b"first", b"second", b"third"]


def test_the_number_of_threads_that_wait_for_a_hung_device_is_bounded() -> None:
    release, opened = threading.Event(), threading.Semaphore(0)

    def hangs() -> Iterator[Frame]:
        opened.release()
        release.wait(PATIENCE)
        yield from ()

    source = Lasting(Device(make_frames(1), *[hangs] * 20), Reconnect(0.001, 0.002, stall=0.02))
    assert [frame.frame_id for frame in source] == [1]  # so it may come back
    frames = newest(source)
    watching = threading.Thread(target=lambda: next(frames, None))
    watching.start()
    for _ in range(MAX_HUNG + 1):
        assert opened.acquire(timeout=PATIENCE)
    assert not opened.acquire(timeout=0.3)
    release.set()
    watching.join(PATIENCE)
    assert not watching.is_alive()


@pytest.mark.slow
def test_an_rtsp_camera_stalls_and_comes_back() -> None:
    """Over loopback, PyAV to PyAV. The first connection falls silent and stays open."""
    pytest.importorskip("av", reason="video needs PyAV (extra camera)")
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"rtsp://127.0.0.1:{free.getsockname()[1]}/door"
    options = {"rtsp_flags": "listen", "listen_timeout": str(int(PATIENCE))}
    source = VideoSource(url, live=True, open_seconds=PATIENCE, read_seconds=2.0, options=options)
    statistics = Statistics()
    frames = newest(Lasting(source, Reconnect(0.05, 0.1, stall=PATIENCE), statistics), statistics)
    with ExitStack() as cameras:
        ids = list[int]()
        for gray in (60, 180):
            camera = cameras.enter_context(start_camera(url, gray))
            ids.append(next(f.frame_id for f in frames if abs(f.image.mean() - gray) < 8))
            assert camera.stdout and camera.stdout.readline() == b"sent\n"
            assert camera.poll() is None
    frames.close()
    assert ids[0] < ids[1] and statistics.reconnects == {"source": 1}


@contextmanager
def start_camera(url: str, gray: int) -> Iterator[subprocess.Popen[bytes]]:
    script = Path(__file__).with_name("rtsp.py")
    program = [sys.executable, str(script), url, str(gray), "100"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as camera:
        try:
            yield camera
        finally:
            camera.kill()


def test_a_camera_that_hangs_up_and_answers_again() -> None:
    """MPEG-TS over a bare socket: two connections, one after the other."""
    statistics = Statistics()
    with socket.create_server(("127.0.0.1", 0)) as camera:

        def serve() -> None:
            for grays in ((40,) * 30, (200,) * 30):
                with camera.accept()[0] as connection:
                    connection.sendall(clips.mpegts(grays))

        threading.Thread(target=serve, daemon=True).start()
        source = Lasting(VideoSource(f"tcp://127.0.0.1:{camera.getsockname()[1]}", live=True), QUICKLY, statistics)
        frames = list[tuple[int, float]]()
        for frame in source:
            frames.append((frame.frame_id, frame.image.mean()))
            if len(frames) == 60:
                break
        source.close()
    assert [id for id, _ in frames] == list(range(1, 61)) and statistics.reconnects == {"source": 1}
    assert all(abs(gray - (40 if id <= 30 else 200)) < 8 for id, gray in frames)
