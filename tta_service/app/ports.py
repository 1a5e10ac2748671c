"""The ports of a server: gRPC, gRPC with client certificates, HTTP, and /metrics."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial

from ..core.events import Observe
from ..http.app import Backend, Handlers, make_app
from ..http.bodies import BodyBudget
from ..http.calls import Calls
from ..http.open_inference import InferenceCalls
from ..http.server import HttpServer
from ..http.stream import Streams
from ..methods.oip_status import ServerStatus
from ..methods.service import AdaptationService
from ..methods.uploads import UploadBudget
from ..rpc.server import Server
from ..settings import Settings
from ..telemetry import exposition
from ..wire.certificates import Certificates
from ..wire.identity import Identity
from .access import is_loopback


def serve_metrics(
    settings: Settings, registry: exposition.Registry, certificates: Certificates | None, healthy: Callable[[], bool]
) -> exposition.MetricsServer:
    """Start the server of /metrics, which this machine may read without a certificate. Raises OSError."""
    metrics = settings.metrics
    certified = bool(settings.server.tls.client_ca) and not is_loopback(metrics.host)
    access = exposition.Access(metrics.token.get_secret_value(), certified)
    return exposition.serve(registry, metrics.host, metrics.port, certificates, access, healthy)


def make_uploads(settings: Settings) -> UploadBudget:
    """What messages of unary calls may take. One client has its share of it, as of queued work."""
    limits = settings.limits
    most = limits.message_bytes, limits.all_calls_bytes
    return UploadBudget(*most, settings.batch.client_share, limits.message_seconds)


def make_server(settings: Settings, uploads: UploadBudget, observe: Observe, identity: Identity) -> Server:
    """The gRPC server, not started."""
    return Server(
        message_bytes=settings.limits.message_bytes,
        connection_age=settings.server.connection_age,
        observe=observe,
        identity=identity,
        uploads=uploads,
        connections=settings.server.connections,
        oip=settings.oip,
    )


async def start_server(settings: Settings, server: Server, certificates: Certificates | None) -> tuple[str, str]:
    """Start a server, and return its address and that of its port for client certificates, "" without one.

    gRPC asks every client of a port for a certificate, or none: where callers may show a key instead, there are two.
    Raises OSError when an address is taken.
    """
    chosen, host, certified = settings.server, settings.server.host, ""
    two_ports = bool(chosen.tls.client_ca and (chosen.keys or chosen.owner_header))
    wanted = chosen.port
    try:
        if two_ports:
            wanted = chosen.tls.client_port
            certified = format_address(host, server.listen(format_address(host, wanted), certificates, True))
            wanted = chosen.port
        ask_client = bool(chosen.tls.client_ca) and not two_ports
        port = await server.start(format_address(host, wanted), certificates, ask_client)
    except RuntimeError as error:
        raise OSError(f"cannot listen on {host}:{wanted}: {error}") from None
    return format_address(host, port), certified


async def start_http(
    settings: Settings,
    answers: Callable[[], Handlers | None],
    healthy: Callable[[], bool],
    registry: exposition.Registry,
    certificates: Certificates | None,
) -> tuple[HttpServer, str]:
    """Start the server of HTTP, and return it with its address. Raises OSError when that is taken."""
    chosen, host = settings.http, settings.server.host
    metrics, names = _metrics_access(settings), [*chosen.hosts, host]
    show = partial(metrics.render, registry) if metrics else None
    app = make_app(Backend(answers, healthy, show, names, chosen.origins, chosen.grafana))
    ask_client, most = bool(settings.server.tls.client_ca), body_bytes(settings)
    server = HttpServer(app, chosen.connections, certificates, ask_client, most, chosen.silence)
    try:
        port = await server.start(host, chosen.port)
    except OSError as error:
        hint = f"{error.strerror or error}; --no-http starts without it"
        raise OSError(f"cannot listen on {host}:{chosen.port}: {hint}") from None
    return server, format_address(host, port)


def make_answers(
    settings: Settings, service: AdaptationService, inference: ServerStatus, identity: Identity, observe: Observe
) -> Handlers:
    """What answers by HTTP, within the bounds of the settings. `inference`: the methods of the other protocol."""
    most = body_bytes(settings), settings.http.body_bytes
    budget = BodyBudget(*most, settings.http.body_seconds, settings.batch.client_share)
    streams = Streams(service, identity, observe, settings.limits.first_message)
    of_inference = InferenceCalls(inference, identity, budget, observe)
    return Handlers(Calls(service, identity, budget, observe), streams, of_inference)


def body_bytes(settings: Settings) -> int:
    """The most bytes of one body: those of the longest message in base64, and the JSON around it."""
    return settings.limits.message_bytes * 4 // 3 + (64 << 10)


def _metrics_access(settings: Settings) -> exposition.Access | None:
    """What a scraper of the port of HTTP shows; None where anybody could read them, so they are not there."""
    token, exposed = settings.metrics.token.get_secret_value(), not is_loopback(settings.server.host)
    certified = exposed and bool(settings.server.tls.client_ca)
    if not settings.metrics.enabled or (exposed and not (token or certified or settings.server.insecure)):
        return None
    return exposition.Access(token, certified)


def check_bindable(host: str, port: int) -> None:
    """Raise OSError for an address that cannot be bound now, instead of after the model has been loaded."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, port), family=family).close()
    except (OSError, UnicodeError) as error:  # UnicodeError: no valid host name
        raise OSError(f"cannot listen on {host}:{port}: {getattr(error, 'strerror', None) or error}") from None


def format_address(host: str, port: int) -> str:
    """host:port, as grpc and a URL need it, with brackets around IPv6."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
