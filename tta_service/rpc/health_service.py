"""`grpc.health.v1`: the health of the device, for clients that check or watch it."""

# pyright: reportUnknownMemberType=false, reportUntypedBaseClass=false
# (grpc_health carries no types)
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from grpc_health.v1 import health_pb2 as pb
from grpc_health.v1 import health_pb2_grpc as wire

from ..core.parameters import shorten

States = pb.HealthCheckResponse


class Health(wire.HealthServicer):
    """The same status for each of `services` ("" is the server as a whole). NOT_SERVING until `set_serving`."""

    def __init__(self, services: tuple[str, ...]) -> None:
        self._services = services
        self._serving = self._draining = self._ended = False
        self._changed = asyncio.Event()

    def set_serving(self, serving: bool) -> None:
        """Set the status that the device's health gives. Call it in the event loop's thread."""
        self._serving = serving
        self._notify()

    @property
    def serving(self) -> bool:
        """The status of the server as a whole; any thread may read it."""
        return self._serving and not self._draining

    def drain(self) -> None:
        """NOT_SERVING from now on, whatever the device's health is."""
        self._draining = True
        self._notify()

    def end_watches(self) -> None:
        """End all watches, so that the server can stop without waiting for them."""
        self._ended = True
        self._notify()

    async def Check(self, request: pb.HealthCheckRequest, context: Any) -> pb.HealthCheckResponse:
        """The status of one service; NOT_FOUND for another name."""
        if request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"there is no service {shorten(request.service)} here")
        return States(status=self._status(request.service))

    async def Watch(self, request: pb.HealthCheckRequest, context: Any) -> AsyncIterator[pb.HealthCheckResponse]:
        """The status of one service now and after each change."""
        sent = None
        while not self._ended:
            changed = self._changed
            if (status := self._status(request.service)) != sent:
                yield States(status=(sent := status))
            await changed.wait()

    def _status(self, service: str) -> States.ServingStatus:
        if service not in self._services:
            return States.SERVICE_UNKNOWN
        return States.SERVING if self.serving else States.NOT_SERVING

    def _notify(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
