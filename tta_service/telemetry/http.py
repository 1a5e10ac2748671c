"""/metrics over HTTP, in a thread of its own, so that it answers while the event loop is busy."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIServer

from prometheus_client import start_http_server

from .registry import Registry


class MetricsServer:
    """A running /metrics server. `close` ends it and its thread."""

    def __init__(self, server: WSGIServer, thread: Thread, host: str) -> None:
        self._server, self._thread = server, thread
        self.address = f"{f'[{host}]' if ':' in host else host}:{server.server_port}"

    def close(self) -> None:
        """Stop the server and wait for its thread."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def serve(registry: Registry, host: str = "127.0.0.1", port: int = 0) -> MetricsServer:
    """Start a server of `registry`; port 0 takes a free one. Raises OSError when the port is taken."""
    server, thread = start_http_server(port, host, registry)
    server.set_app(application(registry))
    return MetricsServer(server, thread, host)


def application(registry: Registry) -> Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]:
    """The WSGI application that renders `registry`. It does not compress, which would take longer than all the rest."""

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            start("405 Method Not Allowed", [("Allow", "GET, HEAD")])
            return []
        if environ["PATH_INFO"] not in ("/", "/metrics"):
            start("404 Not Found", [("Content-Type", "text/plain")])
            return [b"/metrics is here\n"]
        body, content_type = registry.render(environ.get("HTTP_ACCEPT", ""))
        start("200 OK", [("Content-Type", content_type), ("Content-Length", str(len(body)))])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    return answer
