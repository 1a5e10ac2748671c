from __future__ import annotations

from collections.abc import Iterator

import pytest
from tta_client import Client

from tests.client.peer import Peer, serve_peer
from tests.client.services import run_service
from tests.patience import PATIENCE


@pytest.fixture
def peer() -> Peer:
    return Peer()


@pytest.fixture
def address(peer: Peer) -> Iterator[str]:
    with serve_peer(peer) as at:
        yield at


@pytest.fixture
def client(address: str) -> Iterator[Client]:
    with Client(address, timeout=PATIENCE) as client:
        yield client


@pytest.fixture(scope="package")
def service() -> Iterator[str]:
    """The address of a service with the pocket model, in this process."""
    with run_service() as at:
        yield at
