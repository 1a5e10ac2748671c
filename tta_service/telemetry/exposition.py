"""/metrics over HTTP, in a thread of its own, so that a busy event loop is still seen."""

from __future__ import annotations

from threading import Thread
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server


class Exposition:
    """A running /metrics server. `close` ends it and its thread."""

    def __init__(self, server: WSGIServer, thread: Thread, host: str) -> None:
        self._server, self._thread = server, thread
        self.address = f"{f'[{host}]' if ':' in host else host}:{server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def serve(registry: CollectorRegistry, host: str = "127.0.0.1", port: int = 0) -> Exposition:
    """Serve `registry`; port 0 takes a free one. Raises OSError when the port is taken."""
    return Exposition(*start_http_server(port, host, registry), host)
