"""The gRPC server: its options, its services, its start and its end."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (generated code and grpc_health carry no types)
from __future__ import annotations

import grpc
from grpc_health.v1 import health
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server
from grpc_reflection.v1alpha import reflection

from ..core.events import Observe, ignore
from ..wire.requests import strategy_name
from .health_service import Health
from .interceptor import ServerInterceptor
from .methods.classify import AdaptationService
from .v1.tta_pb2_grpc import add_AdaptationServiceServicer_to_server
from .warming_up import SERVICE, DeferredHandlers


class Server:
    """A gRPC server with health and reflection: `start`, then `serve`, then `drain`, then `stop`.

    Call `health.set_serving` when the model can answer: until then the status is NOT_SERVING. Methods answer
    UNAVAILABLE until there is a `service`. A connection is asked to end after `connection_age` seconds (0: never), so
    that clients find new servers.
    """

    def __init__(
        self,
        service: AdaptationService | None = None,
        *,
        message_bytes: int = 9 << 20,
        streams_per_connection: int = 256,
        connection_age: float = 0.0,
        observe: Observe = ignore,
    ) -> None:
        self._service, self._deferred = service, DeferredHandlers()
        self.health = Health(("", SERVICE))
        self._server = grpc.aio.server(
            interceptors=[ServerInterceptor(observe, strategy_name)],
            options=options(message_bytes, streams_per_connection, connection_age),
        )
        self._server.add_generic_rpc_handlers((self._deferred,))
        if service:
            self.serve(service)
        add_HealthServicer_to_server(self.health, self._server)
        reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server)

    async def start(self, address: str = "127.0.0.1:0") -> int:
        """Listen and return the port. Raises RuntimeError when the address is taken."""
        port = self._server.add_insecure_port(address)
        await self._server.start()
        return port

    def serve(self, service: AdaptationService) -> None:
        """Let the methods of `service` answer from now on."""
        self._service = service
        add_AdaptationServiceServicer_to_server(service, self._deferred)

    def drain(self, seconds: float) -> None:
        """Set health to NOT_SERVING and ask streams to resume elsewhere within `seconds`. Calls are still answered."""
        self.health.drain()
        if self._service:
            self._service.drain(seconds)

    async def stop(self, grace: float) -> None:
        """Refuse new calls and give running ones `grace` seconds to end. Returns as soon as the last one has ended."""
        self.health.drain()
        self.health.end_watches()
        await self._server.stop(grace)


def options(message_bytes: int, streams_per_connection: int, connection_age: float) -> list[tuple[str, int]]:
    """Channel options. Small windows keep unread frames in the client's memory; pings find dead clients."""
    age = [("grpc.max_connection_age_ms", int(connection_age * 1000))] if connection_age else []
    return [
        *age,
        ("grpc.max_receive_message_length", message_bytes),
        ("grpc.max_concurrent_streams", streams_per_connection),
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", 64 << 10),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.so_reuseport", 0),
    ]
