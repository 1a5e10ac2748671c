"""The console in a real Chromium, before a real server with the bundled model."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from skimage import data

from tests.patience import until

pytest.importorskip("playwright", reason="the console is tested with Playwright")
from playwright.sync_api import Browser, Page, expect, sync_playwright

expect.set_options(timeout=30_000)  # milliseconds; a loaded machine answers late

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]


class Server:
    """A server with the bundled model in a process of its own, on one port for HTTP all its life."""

    def __init__(self, *words: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.url, self._words = f"http://127.0.0.1:{free.getsockname()[1]}/", words
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        port = self.url.rsplit(":", 1)[1].rstrip("/")
        settings = [f"http.port={port}", "http.enabled=true", "sessions.thumbnails=96"]
        words = ["--port", "0", "--metrics-port", "0", "--log-level", "warning", *self._words]
        words += [word for setting in settings for word in ("--set", setting)]
        self._process = subprocess.Popen([sys.executable, "-m", "tta_service", "serve", *words])
        until(self.is_ready)

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}readyz").is_success
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()


@pytest.fixture(scope="package")  # Playwright keeps an event loop running, and other tests have their own
def server() -> Iterator[Server]:
    server = Server()
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="package")  # Playwright keeps an event loop running, and other tests have their own
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium")
    video = tmp_path_factory.mktemp("camera") / "camera.mjpeg"
    with video.open("wb") as file:
        for _ in range(3):
            Image.open(photo("coffee")).convert("RGB").save(file, "JPEG")
    with sync_playwright() as playwright:
        flags = [*FLAGS, f"--use-file-for-fake-video-capture={video}"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    """The page of `server`; the test fails if a script of it did."""
    with browser.new_context(viewport={"width": 1400, "height": 900}) as context:
        page, failures = context.new_page(), list[Any]()
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: failures.append(error))
        page.goto(server.url)
        page.locator(".server.up").wait_for()
        yield page
        assert not failures


def photo(name: str) -> Path:
    """A photograph of scikit-image."""
    return Path(data.__file__).parent / f"{name}.png"
