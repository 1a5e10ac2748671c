"""The registry of one server, and /metrics over HTTP, in a thread that answers while the event loop is busy."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric

from .histograms import Histogram

END = b"# EOF\n"


class Registry(CollectorRegistry):
    """A registry with `histograms` of our own, and without the `_created` series, which would be a third of all.

    prometheus_client can leave those out only for the whole process.
    """

    def __init__(self) -> None:
        super().__init__()
        self.histograms: list[Histogram] = []

    def histogram(self, name: str, help: str, labels: Iterable[str], buckets: Iterable[float]) -> Histogram:
        """A new histogram in this registry; `buckets` are the rising upper bounds."""
        self.histograms.append(histogram := Histogram(name, help, tuple(labels), buckets))
        return histogram

    def collect(self) -> Iterable[Metric]:
        """All families but the histograms, which only `render` writes."""
        for family in super().collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """The text in the format that the HTTP header `accept` asks for, and its content type."""
        encode, content_type = choose_encoder(accept)
        body = encode(self)
        is_open_metrics = body.endswith(END)  # the only format with exemplars
        pieces = [piece.encode() for one in self.histograms for piece in one.text(exemplars=is_open_metrics)]
        return b"".join([body.removesuffix(END), *pieces, END if is_open_metrics else b""]), content_type


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
