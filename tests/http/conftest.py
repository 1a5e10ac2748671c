"""A real server on a free port, by HTTP and by gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.rpc.conftest import Harness, open_harness
from tta_service.http.app import Backend, Handlers, make_app
from tta_service.http.bodies import BodyBudget
from tta_service.http.calls import Calls
from tta_service.http.open_inference import InferenceCalls
from tta_service.http.server import HttpServer
from tta_service.http.stream import Streams
from tta_service.wire.certificates import Certificates
from tta_service.wire.identity import Identity


@dataclass
class BothTransports:
    """One service, and a client for each transport."""

    rpc: Harness
    http: httpx.AsyncClient
    budget: BodyBudget
    port: int
    server: HttpServer


@asynccontextmanager
async def open_transports(
    identity: Identity | None = None,
    budget: BodyBudget | None = None,
    hosts: Sequence[str] = (),
    origins: Sequence[str] = (),
    connections: int = 100,
    certificates: Certificates | None = None,
    ask_client: bool = False,
    silence: float = 10.0,
    first_message: float = 5.0,
    **harness: Any,
) -> AsyncIterator[BothTransports]:
    budget = budget or BodyBudget(1 << 20, 4 << 20, 5.0)
    async with open_harness(identity=identity, **harness) as rpc:
        given = rpc.service, identity or Identity()
        answers = Handlers(
            Calls(*given, budget, rpc.events.append),
            Streams(*given, rpc.events.append, first_message),
            InferenceCalls(rpc.server.open_inference, given[1], budget, rpc.events.append),
        )
        app = make_app(Backend(lambda: answers, lambda: rpc.server.health.serving, hosts=hosts, origins=origins))
        server = HttpServer(app, connections, certificates, ask_client, message_bytes=1 << 20, silence=silence)
        port = await server.start()
        try:
            scheme = "https" if certificates else "http"
            async with httpx.AsyncClient(base_url=f"{scheme}://127.0.0.1:{port}", timeout=60, verify=False) as client:
                yield BothTransports(rpc, client, budget, port, server)
        finally:
            await server.stop(0.0)


@pytest.fixture
async def both() -> AsyncIterator[BothTransports]:
    async with open_transports() as both:
        yield both
