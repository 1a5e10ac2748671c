"""A recorder that plays back over RTSP, and web servers with cameras and recordings, for tests."""

from __future__ import annotations

import functools
import http.server
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


class Web(http.server.ThreadingHTTPServer):
    """A server whose GETs a function answers; `asked` are the times that it was."""

    daemon_threads = True

    def __init__(self, answer: Callable[[http.server.BaseHTTPRequestHandler], None], port: int = 0) -> None:
        web = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                web.asked.append(time.monotonic())
                web.paths.append(self.path)
                try:
                    answer(self)
                except OSError:  # the client has closed the connection
                    self.close_connection = True

            def log_message(self, *_: object) -> None: ...

        self.asked, self.paths = list[float](), list[str]()
        super().__init__(("127.0.0.1", port), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def web(answer: Callable[[http.server.BaseHTTPRequestHandler], None]) -> Iterator[Web]:
    with Web(answer) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


def pictures(parts: Callable[[], Iterator[bytes]], pause: float = 0.005):
    """Answers as an MJPEG camera does."""

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", "multipart/x-mixed-replace;boundary=b")
        request.end_headers()
        for part in parts():
            head = b"--b\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(part)
            request.wfile.write(head + part + b"\r\n")
            time.sleep(pause)

    return answer


def file(path: Path, breaks: int = 0):
    """Answers with a file, from the byte that is asked for; its first `breaks` answers break off half-way."""
    left = [breaks]

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        data = path.read_bytes()
        asked = re.match(r"bytes=(\d+)-", request.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        request.send_response(206 if asked else 200)
        request.send_header("Accept-Ranges", "bytes")
        request.send_header("Content-Length", str(len(data) - start))
        if asked:
            request.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        request.end_headers()
        half = start + (len(data) - start) // 2
        if left[0] > 0:
            left[0] -= 1
            request.wfile.write(data[start:half])
            request.wfile.flush()
            request.connection.shutdown(socket.SHUT_RDWR)
        else:
            request.wfile.write(data[start:])

    return answer


class Recorder:
    """Plays MPEG-TS over RTSP, interleaved, and hangs up afterwards: each time the next of `shows`.

    `seconds` is how long it says that it will take.
    """

    def __init__(self, shows: list[bytes], seconds: float | None) -> None:
        self.shows, self.seconds, self.opened = shows, seconds, 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"rtsp://127.0.0.1:{self._listening.getsockname()[1]}/recording"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _serve(self) -> None:
        for show in self.shows:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.opened += 1
            with connection, connection.makefile("rb") as asked:
                self._converse(connection, asked, show)

    def _converse(self, connection: socket.socket, asked, show: bytes) -> None:
        while head := functools.reduce(lambda text, line: text + line, iter(asked.readline, b"\r\n"), b"").decode():
            method, number = head.split()[0], re.search(r"CSeq: *(\d+)", head, re.IGNORECASE)[1]  # type: ignore[index]
            more, body = "Session: 1\r\n", ""
            if method == "DESCRIBE":
                length = f"a=range:npt=0-{self.seconds}\r\n" if self.seconds else ""
                body = f"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\n{length}"
                body += "m=video 0 RTP/AVP 33\r\na=control:t\r\n"
                more += f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
            elif method == "SETUP":
                more += "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
            elif method == "OPTIONS":
                more += "Public: OPTIONS, DESCRIBE, SETUP, PLAY\r\n"
            connection.sendall(f"RTSP/1.0 200 OK\r\nCSeq: {number}\r\n{more}\r\n{body}".encode())
            if method == "PLAY":
                for count, at in enumerate(range(0, len(show), 7 * 188)):
                    packet = struct.pack(">BBHII", 0x80, 33, count, 0, 1) + show[at : at + 7 * 188]
                    connection.sendall(struct.pack(">cBH", b"$", 0, len(packet)) + packet)
                return
