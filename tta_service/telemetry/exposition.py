"""The registry of one server, and /metrics over HTTP, in a thread that answers while the event loop is busy."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from resource import RLIMIT_NOFILE, getrlimit
from socket import AF_INET, AF_INET6
from socketserver import ThreadingMixIn
from threading import BoundedSemaphore, Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric

from ..wire.certificates import Certificates
from .histograms import Histogram

CONNECTIONS, MANY = 16, 1 << 14  # at least, and where files have no limit
SILENCE = 10.0  # seconds that a connection may say nothing
CERTIFIED = "tta.certified"  # in a request: the client has shown a certificate
PLAIN = [("Content-Type", "text/plain")]
UNAVAILABLE = "503 Service Unavailable"
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


@dataclass(frozen=True, slots=True)
class Access:
    """What a scraper has to show: the token, or a client certificate; nothing where neither is asked for."""

    token: str = field(default="", repr=False)
    certificate: bool = False

    def allows(self, environ: Mapping[str, Any]) -> bool:
        """Whether the request shows it."""
        if not (self.token or self.certificate):
            return True
        scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        shown = scheme.lower() == "bearer" and hmac.compare_digest(token.strip().encode(), self.token.encode())
        return bool((self.token and shown) or (self.certificate and environ.get(CERTIFIED)))

    def render(self, registry: Registry, accept: str, authorization: str, certified: bool) -> tuple[bytes, str] | None:
        """The text and its type for a request with these headers; None when it does not show what it has to."""
        shown = self.allows({"HTTP_AUTHORIZATION": authorization, CERTIFIED: certified})
        return registry.render(accept) if shown else None


class MetricsServer:
    """A running /metrics server. `close` ends it and its thread."""

    def __init__(self, server: WSGIServer, scheme: str, host: str) -> None:
        self._server, self._thread = server, Thread(target=server.serve_forever, name="tta-metrics", daemon=True)
        self.address = f"{f'[{host}]' if ':' in host else host}:{server.server_port}"
        self.url = f"{scheme}://{self.address}/metrics"
        self._thread.start()

    def close(self) -> None:
        """Stop the server and wait for its thread."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def serve(
    registry: Registry,
    host: str = "127.0.0.1",
    port: int = 0,
    certificates: Certificates | None = None,
    access: Access | None = None,
    healthy: Callable[[], bool] = lambda: True,
) -> MetricsServer:
    """Start a server of `registry`; port 0 takes a free one. Raises OSError when the port is taken.

    With `certificates` it speaks TLS. An eighth of the files that the process may open are for its connections.
    `healthy()` is what /healthz answers, which asks for nothing.
    """
    asked, files = access or Access(), getrlimit(RLIMIT_NOFILE)[0]
    room = BoundedSemaphore(max(CONNECTIONS, files // 8) if files > 0 else MANY)

    class Server(ThreadingMixIn, WSGIServer):
        address_family = AF_INET6 if ":" in host else AF_INET
        daemon_threads = True

        def process_request(self, request: Any, client_address: Any) -> None:
            """Serve a connection in a thread of its own, or close it when too many are open."""
            if room.acquire(blocking=False):
                super().process_request(request, client_address)
            else:
                self.shutdown_request(request)

        def process_request_thread(self, request: Any, client_address: Any) -> None:
            """Serve it, and make room for another."""
            try:
                super().process_request_thread(request, client_address)
            finally:
                room.release()

        def get_request(self) -> tuple[Any, Any]:
            """A connection. Its handshake comes with the first read, in a thread of its own."""
            connection, address = super().get_request()
            connection.settimeout(SILENCE)
            if certificates is not None:
                context = certificates.context(asked.certificate)
                connection = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
            return connection, address

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Nothing: a client that has left, or that speaks no TLS."""

    server = make_server(host, port, application(registry, asked, healthy), Server, Handler)
    return MetricsServer(server, "https" if certificates else "http", host)


class Handler(WSGIRequestHandler):
    """Tells the application of a client certificate, and writes no line for each request."""

    def get_environ(self) -> dict[str, Any]:
        """The request, once its handshake is over."""
        certified = getattr(self.connection, "getpeercert", lambda: None)()
        return {**super().get_environ(), CERTIFIED: bool(certified)}

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


def application(
    registry: Registry, access: Access | None = None, healthy: Callable[[], bool] = lambda: True
) -> Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]:
    """The WSGI application that renders `registry`. It does not compress, which would take longer than all the rest."""
    access = access or Access()

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            start("405 Method Not Allowed", [("Allow", "GET, HEAD")])
            return []
        status, headers, body = respond(environ)
        start(status, [*headers, ("Content-Length", str(len(body)))])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    def respond(environ: dict[str, Any]) -> tuple[str, list[tuple[str, str]], bytes]:
        if environ["PATH_INFO"] == "/healthz":
            serving = healthy()
            return "200 OK" if serving else UNAVAILABLE, PLAIN, b"SERVING\n" if serving else b"NOT_SERVING\n"
        if environ["PATH_INFO"] not in ("/", "/metrics"):
            return "404 Not Found", PLAIN, b"/metrics is here\n"
        if not access.allows(environ):
            asked = [("WWW-Authenticate", "Bearer")]
            return "401 Unauthorized", PLAIN + asked, b"/metrics takes a token or a client certificate here\n"
        body, content_type = registry.render(environ.get("HTTP_ACCEPT", ""))
        return "200 OK", [("Content-Type", content_type)], body

    return answer
