from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from tta_client import Client

from tests.client.peer import Peer, served


@pytest.fixture
def peer() -> Peer:
    return Peer()


@pytest.fixture
def address(peer: Peer) -> Iterator[str]:
    with served(peer) as at:
        yield at


@pytest.fixture
def client(address: str) -> Iterator[Client]:
    with Client(address, timeout=10) as client:
        yield client


@pytest.fixture(scope="package")
def service() -> Iterator[str]:
    """The address of a service with the pocket model, in this process, on a loop of its own."""
    from tta_service.app import Service
    from tta_service.settings import Settings

    ready, told = threading.Event(), {}

    async def run() -> None:
        settings = Settings(server={"port": 0}, metrics={"enabled": False}, batch={"max_rows": 32})  # type: ignore[arg-type]
        async with Service(settings) as service:
            told.update(loop=asyncio.get_running_loop(), service=service)
            ready.set()
            await service.wait()

    thread = threading.Thread(target=asyncio.run, args=(run(),), daemon=True)
    thread.start()
    assert ready.wait(120), "the service did not start"
    yield told["service"].address
    told["loop"].call_soon_threadsafe(told["service"].stop)
    thread.join(60)
    assert not thread.is_alive()
