"""Cameras of all kinds in one process, each of which is killed and comes back, as do the service and the process."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.client.camera import clips
from tests.client.camera.playback import Web, pictures
from tests.client.camera.sinks.test_outages import free_port
from tests.client.peer import Peer, serve_peer
from tests.patience import until

pytestmark = pytest.mark.slow
FRAMES = len(clips.GRAYS)
LIVE = "rtsp", "mjpeg", "folder"


@contextmanager
def rtsp_camera(port: int) -> Iterator[None]:
    """Killed at the end of the block. Skips the test without Debian's GStreamer."""
    words = ["/usr/bin/python3", str(Path(__file__).with_name("gst_server.py")), str(port)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout and server.stderr
            if server.stdout.readline() != "ready\n":
                pytest.skip(f"no RTSP server of GStreamer here ({server.stderr.read().strip().splitlines()[-1:]})")
            yield
        finally:
            server.kill()


@contextmanager
def mjpeg_camera(port: int) -> Iterator[None]:
    """Its connections break at the end of the block."""
    on = threading.Event()
    on.set()

    def parts() -> Iterator[bytes]:
        for number in itertools.count():
            if not on.is_set():
                raise OSError("switched off")
            yield clips.jpeg(np.full((48, 64, 3), number % 250, np.uint8))

    with Web(pictures(parts, pause=0.1), port) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield
        finally:
            on.clear()
            server.shutdown()


class Watcher:
    """The command in a process, and what it has printed for each camera since `mark`."""

    def __init__(self, words: list[str], log: Path) -> None:
        self.log, self._mark = log, 0
        log.touch()
        with log.open("a") as out, log.with_suffix(".err").open("a") as errors:
            command = [sys.executable, "-m", "tta_client.camera.cli", *words]
            self.process = subprocess.Popen(command, stdout=out, stderr=errors)

    def mark(self) -> None:
        self._mark = self.log.stat().st_size

    def lines(self) -> list[dict[str, Any]]:
        with self.log.open() as file:
            file.seek(self._mark)
            return [json.loads(line) for line in file if line.endswith("\n")]

    def answered(self, *cameras: str, least: int = 2) -> bool:
        """Whether each has had so many answers since."""
        assert self.process.poll() is None, self.log.with_suffix(".err").read_text()
        counts = Counter(line["camera"] for line in self.lines() if "label" in line)
        return all(counts[camera] >= least for camera in cameras)


def test_each_is_killed_and_comes_back(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="video needs PyAV (extra camera)")
    if not os.access("/usr/bin/python3", os.X_OK):
        pytest.skip("no python3 of Debian here, whose gi serves RTSP")
    rtsp, mjpeg, service = free_port(), free_port(), free_port()
    folder, events, picture = tmp_path / "in", tmp_path / "events.jsonl", clips.jpeg(np.zeros((48, 64, 3), np.uint8))
    folder.mkdir()
    number = itertools.count()

    def add(pictures: int) -> None:
        folder.mkdir(exist_ok=True)
        for _ in range(pictures):
            (folder / f"{next(number)}.jpg").write_bytes(picture)

    urls = {
        "rtsp": f"rtsp://127.0.0.1:{rtsp}/live",
        "mjpeg": f"http://127.0.0.1:{mjpeg}/video",
        "phone": str(clips.mp4(tmp_path / "phone.mp4")),
        "gif": str(clips.gif(tmp_path / "walk.gif")),
        "folder": str(folder),
    }
    tables = [f"[[camera]]\nname = '{name}'\nurl = '{url}'\n" for name, url in urls.items()]
    (tmp_path / "cameras.toml").write_text("".join(tables) + "watch = true\n")
    words = ["--sources", str(tmp_path / "cameras.toml"), "--labels", "cat,dog,bird", "--json", "--wait"]
    words += ["--server", f"127.0.0.1:{service}", "--max-pause", "0.3", "--source-stall", "5"]
    words += ["--sink", f"jsonl:{events}", "--spool", str(tmp_path / "spool"), "--short-side", "0"]

    def told(camera: str, kind: str) -> bool:
        found = map(json.loads, events.read_text().splitlines()) if events.exists() else ()
        return any((one["camera"], one["event"]) == (camera, kind) for one in found)

    with ExitStack() as stack:
        serving = stack.enter_context(ExitStack())
        serving.enter_context(serve_peer(Peer(), f"127.0.0.1:{service}"))
        with rtsp_camera(rtsp), mjpeg_camera(mjpeg):
            watcher = Watcher(words, tmp_path / "out.jsonl")
            stack.callback(watcher.process.kill)
            add(2)
            until(lambda: watcher.answered(*LIVE))
            until(lambda: watcher.answered("phone", "gif", least=FRAMES))
        for camera in ("rtsp", "mjpeg"):
            until(lambda camera=camera: told(camera, "lost"))
        shutil.rmtree(folder)
        with rtsp_camera(rtsp), mjpeg_camera(mjpeg):
            watcher.mark()
            add(2)
            until(lambda: watcher.answered(*LIVE))
            assert all(told(camera, "back") for camera in ("rtsp", "mjpeg"))
            serving.close()
            serving.enter_context(serve_peer(Peer(), f"127.0.0.1:{service}"))
            watcher.mark()
            add(2)
            until(lambda: watcher.answered(*LIVE))
            watcher.process.send_signal(signal.SIGKILL)
            watcher.process.wait()
            again = Watcher(words, tmp_path / "again.jsonl")
            stack.callback(again.process.kill)
            until(lambda: again.answered(*LIVE))
            until(lambda: again.answered("phone", "gif", least=FRAMES))
            again.process.send_signal(signal.SIGTERM)
            assert again.process.wait(60) == 0, again.log.with_suffix(".err").read_text()
    summaries = {one["camera"]: one["summary"] for one in again.lines() if "summary" in one}
    assert set(summaries) == set(urls) and not any(one["failures"] for one in summaries.values())
    assert [summaries[name]["answers"] for name in ("phone", "gif")] == [FRAMES, FRAMES]
