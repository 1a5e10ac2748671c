"""`grpc.health.v1`: what the pulse says, told to whoever asks or watches."""

# pyright: reportUnknownMemberType=false, reportUntypedBaseClass=false
# (grpc_health carries no types)
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from grpc_health.v1 import health_pb2 as pb
from grpc_health.v1 import health_pb2_grpc as wire

States = pb.HealthCheckResponse


class Health(wire.HealthServicer):
    """The same status for each of `services` ("" is the server as a whole). NOT_SERVING until told otherwise."""

    def __init__(self, services: tuple[str, ...]) -> None:
        self._services = services
        self._serving = self._leaving = self._over = False
        self._changed = asyncio.Event()

    def tell(self, serving: bool, reason: str = "") -> None:
        """What the pulse says; from the loop's thread."""
        self._serving = serving
        self._wake()

    def leave(self) -> None:
        """NOT_SERVING from now on, whatever the pulse says."""
        self._leaving = True
        self._wake()

    def end(self) -> None:
        """Lets the watchers go, so that nobody waits for them."""
        self._over = True
        self._wake()

    async def Check(self, request: pb.HealthCheckRequest, context: Any) -> pb.HealthCheckResponse:
        if request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"there is no service {request.service!r} here")
        return States(status=self._status(request.service))

    async def Watch(self, request: pb.HealthCheckRequest, context: Any) -> AsyncIterator[pb.HealthCheckResponse]:
        told = None
        while not self._over:
            changed = self._changed
            if (status := self._status(request.service)) != told:
                yield States(status=(told := status))
            await changed.wait()

    def _status(self, service: str) -> States.ServingStatus:
        if service not in self._services:
            return States.SERVICE_UNKNOWN
        return States.SERVING if self._serving and not self._leaving else States.NOT_SERVING

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
