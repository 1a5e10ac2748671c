"""How the client reaches a service: proxies, time limits, session ids, event loops, health."""

from __future__ import annotations

import asyncio
import gc
import math
import socket
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tta_client import AsyncClient, Client, Reconnect, TTAClientError
from tta_client.aio.connection import AsyncConnection
from tta_client.channel import is_loopback, make_options
from tta_client.protocol.reconnect import ReconnectState
from tta_client.v1 import tta_pb2, tta_pb2_grpc

from tests.client.peer import Peer, serve_peer
from tests.patience import PATIENCE

NAMES = ("cat", "dog", "bird")
PROXIES = ("grpc_proxy", "https_proxy", "http_proxy", "all_proxy", "no_grpc_proxy", "no_proxy")


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """The first bytes of each connection to the proxy of this environment, which answers nothing."""
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def listen() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    received.append(connection.recv(4096))

        threading.Thread(target=listen, daemon=True).start()
        for name in PROXIES:
            for variable in (name, name.upper()):
                monkeypatch.delenv(variable, raising=False)
        for variable in ("http_proxy", "grpc_proxy", "https_proxy"):
            monkeypatch.setenv(variable, f"http://127.0.0.1:{listening.getsockname()[1]}")
        yield received
        listening.shutdown(socket.SHUT_RDWR)


@contextmanager
def serving(address: str) -> Iterator[int]:
    peer = Peer()
    with serve_peer(peer, address) as at:
        yield int(at.rpartition(":")[2])


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_this_machine_is_reached_without_a_proxy(proxy: list[bytes], host: str) -> None:
    try:
        serving_at = serving(f"{host}:0")
        with serving_at as port:
            with Client(f"{host}:{port}") as client:
                assert client.classify(b"four", NAMES).label == "dog"
                assert [r.frame_id for r in client.stream([b"x"], NAMES)] == [1]

            async def ask() -> str:
                async with AsyncClient(f"dns:///{host}:{port}") as client:
                    return (await client.classify(b"four", NAMES)).label

            assert asyncio.run(ask()) == "dog"
    except RuntimeError:
        if host != "[::1]":
            raise
        pytest.skip("there is no IPv6 here")
    assert not proxy


def test_other_hosts_follow_grpcs_rules(proxy: list[bytes]) -> None:
    with Client("service.example:50051", timeout=PATIENCE) as client, pytest.raises(TTAClientError):
        client.list_labels()
    assert proxy[0].startswith(b"CONNECT service.example:50051 ")


@pytest.mark.parametrize(
    ("target", "here"),
    [
        ("127.0.0.1:50051", True),
        ("127.8.9.1", True),
        ("localhost:1", True),
        ("127.1:1", True),
        ("ip6-localhost:1", True),
        ("camera.localhost:1", True),
        ("10.1:1", False),
        ("LOCALHOST.", True),
        ("[::1]:50051", True),
        ("::1", True),
        ("[::ffff:127.0.0.1]:1", True),
        ("0.0.0.0:50051", True),
        ("dns:///localhost:50051", True),
        ("dns://1.1.1.1/localhost:50051", True),
        ("ipv4:127.0.0.1:1,127.0.0.2:1", True),
        ("ipv4:127.0.0.1:1,10.0.0.1:1", False),
        ("ipv6:[::1]:1", True),
        ("10.0.0.1:50051", False),
        ("localhost.example:1", False),
        ("127.0.0.1.example:1", False),
        ("[fe80::1]:1", False),
        ("[::1", False),
        ("", False),
        ("unix:/run/tta", False),
    ],
)
def test_is_loopback(target: str, here: bool) -> None:
    assert is_loopback(target) is here
    assert (("grpc.enable_http_proxy", 0) in make_options(target)) is here


def test_infinite_times_are_no_limit(address: str) -> None:
    patient = ReconnectState(Reconnect(stall=1e300))
    patient.listen(0.0)
    patient.connected_once = True
    assert patient.seconds_left(1.0) == math.inf
    assert patient.pause(TTAClientError(grpc.StatusCode.UNAVAILABLE, "full", retry_after=1e300)) < threading.TIMEOUT_MAX
    for forever in (math.inf, 1e300, None):
        with Client(address, timeout=forever) as client:  # type: ignore[arg-type]
            assert client.classify(b"four", NAMES, timeout=forever).label == "dog"
            stall = Reconnect(stall=math.inf)
            assert list(client.stream([b"x"], NAMES, frame_budget=forever, reconnect=stall))

        async def ask(forever: Any = forever) -> str:
            async with AsyncClient(address, timeout=forever) as client:
                stream = client.stream([b"x"], NAMES, frame_budget=forever, reconnect=Reconnect(stall=math.inf))
                assert [r.frame_id async for r in stream] == [1]
                return (await client.classify(b"four", NAMES, timeout=math.inf)).label

        assert asyncio.run(ask()) == "dog"


@pytest.mark.parametrize("session", ["Tür", "döör", "a b", "a\nb", "x" * 129])
def test_a_session_id_that_no_service_takes_is_refused_with_the_rule(service: str, session: str) -> None:
    """The sentence is the service's."""
    with grpc.insecure_channel(service) as channel, pytest.raises(grpc.RpcError) as there:
        tta_pb2_grpc.AdaptationServiceStub(channel).GetSession(tta_pb2.GetSessionRequest(session_id=session))
    asks: list[Callable[[Client], Any]] = [
        lambda client: client.classify(b"x", NAMES, session=session),
        lambda client: list(client.stream([b"x"], NAMES, session=session)),
        lambda client: client.session(session),
        lambda client: client.close_session(session),
        lambda client: client.snapshot(session),
    ]
    for ask in asks:
        with Client(service) as client, pytest.raises(TTAClientError) as here:
            ask(client)
        assert (here.value.code, here.value.field) == (grpc.StatusCode.INVALID_ARGUMENT, "session_id")
        assert here.value.sentence == there.value.details()


def test_an_async_client_may_be_made_anywhere_and_used_in_one_loop_after_another(address: str) -> None:
    client = AsyncClient(address)
    stream = client.stream([b"x"], NAMES)

    async def ask() -> tuple[str, list[int]]:
        async with client:
            label = (await client.classify(b"four", NAMES)).label
            return label, [r.frame_id async for r in client.stream([b"x", b"xx"], NAMES)]

    async def watch() -> list[int]:
        return [r.frame_id async for r in stream]

    assert asyncio.run(ask()) == ("dog", [1, 2])
    assert asyncio.run(watch()) == [1]
    assert asyncio.run(ask()) == ("dog", [1, 2])


def test_an_async_connection_keeps_no_channel_of_a_closed_loop() -> None:
    connection = AsyncConnection("127.0.0.1:1", 1.0, None, ())

    async def open_channel() -> weakref.ref[Any]:
        return weakref.ref(connection.channel)

    first, second = asyncio.run(open_channel()), asyncio.run(open_channel())
    gc.collect()
    assert first() is None and second() is not None


# ---- health


class FixedHealth(health_pb2_grpc.HealthServicer):
    """Reports the given states; an unknown name is NOT_FOUND, as in the protocol."""

    def __init__(self, states: dict[str, int]) -> None:
        self.states = states

    def Check(self, request: Any, context: Any) -> Any:
        if request.service not in self.states:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
        return health_pb2.HealthCheckResponse(status=self.states[request.service])

    def Watch(self, request: Any, context: Any) -> Iterator[Any]:
        yield health_pb2.HealthCheckResponse(status=self.states[request.service])


@contextmanager
def serve_health(**states: int) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(2))
    named = {name.replace("all", "").replace("long", "x" * 300): state for name, state in states.items()}
    health_pb2_grpc.add_HealthServicer_to_server(FixedHealth(named), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def test_health_is_what_the_protocol_says() -> None:
    with serve_health(all=1, long=2, odd=0, new=77) as at, Client(at) as client:
        asked = {"": "SERVING", "x" * 300: "NOT_SERVING", "odd": "UNKNOWN", "new": "UNKNOWN", "no": "SERVICE_UNKNOWN"}
        assert {name: client.health(name) for name in asked} == asked
        client.wait_until_serving(math.inf)

        async def ask() -> dict[str, str]:
            async with AsyncClient(at) as client:
                await client.wait_until_serving(math.inf)
                return {name: await client.health(name) for name in asked}

        assert asyncio.run(ask()) == asked
    with Client("127.0.0.1:1", timeout=5) as client, pytest.raises(TTAClientError, match="UNAVAILABLE"):
        client.health()


def test_waiting_fails_when_the_service_leaves() -> None:
    with serve_health(all=2) as at, Client(at) as client, pytest.raises(TTAClientError, match="left before it served"):
        client.wait_until_serving(PATIENCE)
