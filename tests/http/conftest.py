"""A real server on a free port, by HTTP and by gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.rpc.conftest import Harness, open_harness
from tta_service.http.app import make_app
from tta_service.http.bodies import BodyBudget
from tta_service.http.calls import Calls
from tta_service.http.server import HttpServer
from tta_service.wire.identity import Identity


@dataclass
class Doors:
    """One service, and a client for each transport."""

    rpc: Harness
    http: httpx.AsyncClient
    budget: BodyBudget


@asynccontextmanager
async def open_doors(
    identity: Identity | None = None, budget: BodyBudget | None = None, **harness: Any
) -> AsyncIterator[Doors]:
    budget = budget or BodyBudget(1 << 20, 4 << 20, 5.0)
    async with open_harness(identity=identity, **harness) as rpc:
        calls = Calls(rpc.service, identity or Identity(), budget, rpc.events.append)
        server = HttpServer(make_app(lambda: calls, lambda: True))
        port = await server.start()
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
                yield Doors(rpc, client, budget)
        finally:
            await server.stop(0.0)


@pytest.fixture
async def doors() -> AsyncIterator[Doors]:
    async with open_doors() as doors:
        yield doors
