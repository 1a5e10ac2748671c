"""The gRPC server: its options, its services, its start and its end.

The port is open and health answers while the model still loads.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (generated code and grpc_health carry no types)
from __future__ import annotations

import resource
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc
from grpc_health.v1 import health
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server
from grpc_reflection.v1alpha import reflection

from ..core.errors import NotReady
from ..core.events import Observe, ignore
from ..methods.oip import OpenInference
from ..methods.oip_status import ServerStatus
from ..methods.service import AdaptationService
from ..methods.uploads import UploadBudget
from ..wire.certificates import Certificates
from ..wire.identity import Identity
from ..wire.oip.limits import OipLimits
from ..wire.oip.models import OPEN_INFERENCE
from ..wire.oip.requests import facts_of
from ..wire.v1 import tta_pb2 as pb
from .credentials import make_credentials
from .health_service import Health
from .interceptor import ServerInterceptor
from .open_inference import OpenInferenceHandlers, reflection_pool
from .v1.tta_pb2_grpc import AdaptationServiceServicer, add_AdaptationServiceServicer_to_server

METHODS: Mapping[str, Any] = pb.DESCRIPTOR.services_by_name["AdaptationService"].methods_by_name
SERVICE: str = pb.DESCRIPTOR.services_by_name["AdaptationService"].full_name
HANDSHAKE, IDLE = 10, 300  # seconds
PROBES, PROBE_SECONDS = 16, 5.0  # messages of health checks that are read at a time, and how long one may take
FILES = 1 << 17  # a limit above this is none


class Server:
    """A gRPC server with health and reflection: `start`, then `serve`, then `drain`, then `stop`.

    Call `health.set_serving` when the model can answer: until then the status is NOT_SERVING. Methods answer
    UNAVAILABLE until there is a `service`. A connection is asked to end after `connection_age` seconds (0: never), so
    that clients find new servers. Without an `identity` callers are not asked who they are. Messages of calls are read
    within `uploads`. `connections` may be open on each port, further ones are closed at once; 0: half as many as the
    process may have files.
    """

    def __init__(
        self,
        service: AdaptationService | None = None,
        *,
        message_bytes: int = 9 << 20,
        streams_per_connection: int = 256,
        connection_age: float = 0.0,
        observe: Observe = ignore,
        identity: Identity | None = None,
        uploads: UploadBudget | None = None,
        connections: int = 0,
        oip: OipLimits = OipLimits(),  # noqa: B008 - it is frozen
    ) -> None:
        self._service, self._deferred, self._observe, self._oip = service, DeferredHandlers(), observe, oip
        self.health = Health(("", SERVICE, OPEN_INFERENCE))
        self._inference = OpenInferenceHandlers(ServerStatus(lambda: self.health.serving))
        probes = UploadBudget(message_bytes, PROBES * message_bytes, 1 / 4, PROBE_SECONDS)  # whatever else is uploaded
        self._interceptor = ServerInterceptor(observe, facts_of, identity or Identity(), uploads, probes)
        self._server = grpc.aio.server(
            interceptors=[self._interceptor],
            options=options(message_bytes, streams_per_connection, connection_age, connections),
        )
        self._server.add_generic_rpc_handlers((self._deferred, self._inference))
        if service:
            self.serve(service)
        add_HealthServicer_to_server(self.health, self._server)
        known = SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME
        reflection.enable_server_reflection((*known, OPEN_INFERENCE), self._server, reflection_pool(known))

    def listen(self, address: str, certificates: Certificates | None = None, ask_client: bool = False) -> int:
        """Listen there from `start` on, and return the port. Raises RuntimeError when the address is taken.

        `certificates`: with TLS. `ask_client`: clients must show a certificate too.
        """
        if certificates is None:
            return self._server.add_insecure_port(address)
        return self._server.add_secure_port(address, make_credentials(certificates, ask_client))

    async def start(self, address: str = "127.0.0.1:0", *tls: Any) -> int:
        """Listen as in `listen`, and answer. Returns the port."""
        port = self.listen(address, *tls)
        await self._server.start()
        return port

    def serve(self, service: AdaptationService) -> None:
        """Let the methods of `service` answer from now on."""
        self._service, servicer = service, AdaptationServiceServicer()
        for name in METHODS:
            if method := getattr(service, name, None):  # the others stay UNIMPLEMENTED
                setattr(servicer, name, method)
        add_AdaptationServiceServicer_to_server(servicer, self._deferred)
        self._interceptor.wrapped.clear()
        self._inference.methods = OpenInference(service, lambda: self.health.serving, self._observe, self._oip)

    @property
    def open_inference(self) -> ServerStatus:
        """The methods of the Open Inference Protocol, for other transports: `OpenInference` once there is a service."""
        return self._inference.methods

    def drain(self, seconds: float) -> None:
        """Set health to NOT_SERVING and ask streams to resume elsewhere within `seconds`. Calls are still answered."""
        self.health.drain()
        if self._service:
            self._service.drain(seconds)
        if isinstance(self._inference.methods, OpenInference):
            self._inference.methods.drain()

    async def stop(self, grace: float) -> None:
        """Refuse new calls and give running ones `grace` seconds to end. Returns as soon as the last one has ended."""
        self.health.drain()
        self.health.end_watches()
        await self._server.stop(grace)


def options(
    message_bytes: int, streams_per_connection: int, connection_age: float, connections: int = 0
) -> list[tuple[str, int]]:
    """Channel options. Small windows keep unread frames in the client's memory; pings find dead clients.

    A connection that says nothing, or has had no call for `IDLE` seconds, makes room for others.
    """
    age = [("grpc.max_connection_age_ms", int(connection_age * 1000))] if connection_age else []
    return [
        *age,
        ("grpc.max_receive_message_length", message_bytes),
        ("grpc.max_concurrent_streams", streams_per_connection),
        ("grpc.max_allowed_incoming_connections", connections or half_of_files()),
        ("grpc.server_handshake_timeout_ms", HANDSHAKE * 1000),
        ("grpc.max_connection_idle_ms", IDLE * 1000),
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", 64 << 10),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.so_reuseport", 0),
    ]


def half_of_files() -> int:
    """Half of the files and sockets that this process may have open: the rest are for the service itself."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return max(1, min(most, FILES) // 2) if most != resource.RLIM_INFINITY else FILES // 2


class DeferredHandlers(grpc.GenericRpcHandler):
    """The methods raise `NotReady` until `add_generic_rpc_handlers`, which generated code calls as on a server."""

    def __init__(self) -> None:
        self._handlers: tuple[grpc.GenericRpcHandler, ...] = ()

    def add_generic_rpc_handlers(self, handlers: tuple[grpc.GenericRpcHandler, ...]) -> None:
        """Let these handlers answer from now on."""
        self._handlers = handlers

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """The same handlers for servers with a faster look-up. Ignored: grpc.aio's server has none."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """The handler of a method, None for an unknown one."""
        if self._handlers:
            return next(filter(None, (one.service(handler_call_details) for one in self._handlers)), None)
        service, _, name = handler_call_details.method.removeprefix("/").rpartition("/")
        if service != SERVICE or name not in METHODS:
            return None
        if METHODS[name].client_streaming:
            return grpc.stream_stream_rpc_method_handler(_refuse_stream, bytes, bytes)
        return grpc.unary_unary_rpc_method_handler(_refuse_unary, bytes, bytes)


async def _refuse_unary(request: bytes, context: object) -> bytes:
    raise NotReady("warming up")


async def _refuse_stream(requests: AsyncIterator[bytes], context: object) -> AsyncIterator[bytes]:
    raise NotReady("warming up")
    yield b""  # a generator
