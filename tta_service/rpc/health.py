"""`grpc.health.v1`: what the pulse says, told to whoever asks or watches."""

# pyright: reportUnknownMemberType=false, reportAttributeAccessIssue=false
# (the stubs of grpc_health know neither its aio servicer nor its types)
from __future__ import annotations

import asyncio

from grpc_health.v1 import health
from grpc_health.v1 import health_pb2 as wire

SERVING, NOT_SERVING = wire.HealthCheckResponse.SERVING, wire.HealthCheckResponse.NOT_SERVING


class Health:
    """The same status for each of `services` ("" is the server as a whole). NOT_SERVING until told otherwise."""

    def __init__(self, services: tuple[str, ...]) -> None:
        self.servicer = health.aio.HealthServicer()
        self._services, self._serving, self._leaving = services, False, False
        self._changed = asyncio.Event()
        self._changed.set()

    def tell(self, serving: bool, reason: str = "") -> None:
        """What the pulse says; from the loop's thread, never waits. After `leave` nothing is SERVING any more."""
        self._serving = serving
        self._changed.set()

    def leave(self) -> None:
        self._leaving = True
        self._changed.set()

    async def run(self) -> None:
        """Passes changes on, for ever: one task, so that they never overtake each other."""
        while True:
            await self._changed.wait()
            await self.pass_on()

    async def pass_on(self) -> None:
        """Now; before the server starts, so that nobody ever sees a status that nobody vouched for."""
        self._changed.clear()
        status = SERVING if self._serving and not self._leaving else NOT_SERVING
        for service in self._services:
            await self.servicer.set(service, status)
