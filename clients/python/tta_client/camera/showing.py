"""Annotated frames for a browser of this machine, as MJPEG; the service keeps no picture."""

from __future__ import annotations

import hmac
import html
import secrets
import threading
import webbrowser
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote, unquote

from ..types.frames import Frame
from .annotate import annotate
from .pictures import encode_jpeg, to_rgb
from .results import Result

SHORT_SIDE = 540  # pixels of what is shown
PAGE = """<!doctype html><meta charset="utf-8"><title>tta-camera</title>
<style>body{{margin:0;background:#111;color:#ddd;font:16px sans-serif;display:flex;flex-wrap:wrap;gap:8px;padding:8px}}
figure{{margin:0;flex:1 1 420px}}img{{width:100%}}figcaption{{padding:4px}}</style>{figures}"""
FIGURE = '<figure><img src="{source}" alt="{name}"><figcaption>{name}</figcaption></figure>'


class Picture:
    """The last annotated frame of one camera. It is drawn only while somebody looks."""

    def __init__(self) -> None:
        self._changed, self._jpeg, self._number, self._viewers = threading.Condition(), b"", 0, 0

    def take(self, result: Result, frame: Frame | None) -> None:
        """Shows a frame with its result."""
        if frame is None or (self._number and not self._viewers):
            return
        jpeg = encode_jpeg(annotate(to_rgb(frame), result), SHORT_SIDE, 80)
        with self._changed:
            self._jpeg, self._number = jpeg, self._number + 1
            self._changed.notify_all()

    def close(self) -> None:
        """The page keeps the last frame."""

    def watch(self) -> Iterator[bytes]:
        """The frames from now on, the newest whenever it is asked for; empty after two seconds without one."""
        seen = 0
        with self._changed:
            self._viewers += 1
        try:
            while True:
                with self._changed:
                    if self._number == seen:
                        self._changed.wait(2.0)
                    found, seen = self._number > seen, self._number
                    jpeg = self._jpeg if found else b""
                yield jpeg
        finally:
            with self._changed:
                self._viewers -= 1


class Show:
    """A page of this machine with all cameras. Its address holds a secret, so that other users cannot look."""

    def __init__(self, port: int = 0, open_page: Callable[[str], Any] = webbrowser.open) -> None:
        """Raises OSError if the port is taken."""
        self._pictures, self._token = dict[str, Picture](), secrets.token_urlsafe(16)
        show = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 30.0

            def do_GET(self) -> None:
                show.answer(self)

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="tta-camera-show", daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/{self._token}/"
        threading.Thread(target=open_page, args=(self.url,), daemon=True).start()  # a browser may take its time

    def add(self, camera: str) -> Picture:
        """The picture of a camera."""
        return self._pictures.setdefault(camera, Picture())

    def close(self) -> None:
        """Ends the page."""
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answers a GET; 404 without the secret."""
        _, token, name = [*request.path.split("/", 2), "", ""][:3]
        if not hmac.compare_digest(token.encode(), self._token.encode()):
            return request.send_error(404)
        if not name:
            return self._send_page(request)
        picture = self._pictures.get(unquote(name.removesuffix(".mjpg")))
        return request.send_error(404) if picture is None else _send_frames(request, picture)

    def _send_page(self, request: BaseHTTPRequestHandler) -> None:
        figures = (FIGURE.format(source=quote(name, "") + ".mjpg", name=html.escape(name)) for name in self._pictures)
        body = PAGE.format(figures="".join(figures)).encode()
        request.send_response(200)
        request.send_header("Content-Type", "text/html; charset=utf-8")
        request.send_header("Content-Length", str(len(body)))
        request.send_header("Content-Security-Policy", "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'")
        request.end_headers()
        request.wfile.write(body)


def _send_frames(request: BaseHTTPRequestHandler, picture: Picture) -> None:
    request.send_response(200)
    request.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
    request.send_header("Cache-Control", "no-store")
    request.end_headers()
    frames, last = picture.watch(), b""
    try:
        for jpeg in frames:
            last = jpeg or last  # repeated, so that a viewer that has gone is noticed
            if last:
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(last)}\r\n\r\n"
                request.wfile.write(head.encode() + last + b"\r\n")
    except OSError:  # the viewer has gone
        request.close_connection = True
    finally:
        frames.close()  # type: ignore[attr-defined]
