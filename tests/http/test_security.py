"""Who reaches the service by HTTP, under which names, and for how long without saying anything."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import shutil
import ssl
import time
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.certificates import Authority
from tests.http.conftest import BothTransports, open_transports
from tests.http.test_rest import body
from tests.patience import PATIENCE
from tests.rpc.conftest import busy, until
from tta_service.core.events import Refused, Responded
from tta_service.http.bodies import BodyBudget
from tta_service.http.crowd import SPARE
from tta_service.wire.certificates import Certificates
from tta_service.wire.identity import Identity, Proxies
from tta_service.wire.json_mapping import parse_json
from tta_service.wire.large_json import parse_large
from tta_service.wire.v1 import tta_pb2 as pb

HERE = "127.0.0.1"


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("localhost", 200),
        ("localhost:8080", 200),
        ("page.localhost", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:8080", 200),
        ("[::1]", 200),
        ("10.1.2.3", 200),
        ("Cameras.example.org:8080", 200),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("notlocalhost", 403),
        ("", 403),
    ],
)
async def test_a_request_names_a_host_that_is_ours(host: str, code: int):
    async with open_transports(hosts=["cameras.example.org"]) as both:
        for path in ("/healthz", "/v1/info", "/nosuch"):
            reply = await both.http.get(path, headers={"host": host})
            assert reply.status_code == (404 if (path, code) == ("/nosuch", 200) else code)


async def test_a_page_of_another_site_may_ask_only_if_it_is_named():
    other, named = "https://evil.example", "https://app.example.org"
    asks = {"origin": named, "access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    async with open_transports() as both:
        ours = f"http://{HERE}:{both.port}"
        for origin, code in ((ours, 200), (other, 403), (named, 403), ("null", 403), (f"{ours}.evil.example", 403)):
            reply = await both.http.get("/v1/info", headers={"origin": origin})
            assert (reply.status_code, "access-control-allow-origin" in reply.headers) == (code, False)
            if code == 403:
                assert reply.json()["field"] == "Origin"
        with pytest.raises(InvalidStatus) as refused:
            async with connect(f"ws://{HERE}:{both.port}/v1/stream", proxy=None, origin=other):  # type: ignore[arg-type]
                pass
        assert refused.value.response.status_code == 403 and b"Origin" in (refused.value.response.body or b"")
    async with open_transports(origins=[named]) as both:
        reply = await both.http.get("/v1/info", headers={"origin": named})
        assert reply.headers["access-control-allow-origin"] == named
        asked = await both.http.options("/v1/classify", headers=asks)
        assert asked.status_code == 200 and "POST" in asked.headers["access-control-allow-methods"]
        assert (await both.http.get("/v1/info", headers={"origin": other})).status_code == 403


async def raw(port: int, *pieces: bytes, every: float = 0.05, size: int = 1 << 20) -> tuple[bytes, float]:
    """Send pieces over a connection; what came back until its end, and the seconds to it."""
    began, (reader, writer) = time.monotonic(), await asyncio.open_connection(HERE, port)

    async def send() -> None:
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(every)

    sending = asyncio.create_task(send())
    try:
        async with asyncio.timeout(20):
            received = b""
            while part := await reader.read(size):
                received += part
    except ConnectionError:
        pass
    sending.cancel()
    writer.close()
    return received, time.monotonic() - began


HEAD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
REFUSED = b"POST /nosuch HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        [HEAD] + [b"X: y\r\n"] * 200,
        [HEAD + b"\r\n"] + [b"G", b"E", b"T", b" "] * 50,
        [REFUSED] + [b"x"] * 200,
    ],
    ids=["silent", "a dripping head", "a second dripping head", "a body after its refusal"],
)
async def test_a_connection_that_only_waits_is_ended(pieces: list[bytes]):
    async with open_transports(silence=0.4) as both:
        _, seconds = await raw(both.port, *pieces)
        assert 0.3 < seconds < 5


async def test_a_reader_that_takes_nothing_is_ended():
    async with open_transports(silence=0.3) as both:
        reader, writer = await asyncio.open_connection(HERE, both.port, limit=1)
        ask = b"GET /v1/strategies HTTP/1.1\r\nHost: localhost\r\n\r\n"
        for _ in range(1000):
            writer.write(ask)
        with pytest.raises(ConnectionError):
            async with asyncio.timeout(20):
                while True:
                    writer.write(ask)
                    await writer.drain()
                    await asyncio.sleep(0.01)
        assert reader
        writer.close()


async def test_what_is_no_http_is_a_problem_too(both: BothTransports):
    reply, _ = await raw(both.port, b"\x16\x03\x01 hello\r\n\r\n")
    assert reply.startswith(b"HTTP/1.1 400 ") and b"application/problem+json" in reply
    wrong = await both.http.patch("/v1/classify")
    assert (wrong.status_code, wrong.headers["content-type"]) == (405, "application/problem+json")
    assert wrong.headers["allow"] == "POST"


async def test_connections_beyond_the_limit_are_told_when_to_come_back():
    async with open_transports(connections=1) as both:
        assert (await both.http.get("/healthz")).status_code == 200
        reply, _ = await raw(both.port, HEAD + b"\r\n")  # to its end: who asks again has another connection
        assert reply.startswith(b"HTTP/1.1 503 ") and b"retry-after: 1" in reply
        with pytest.raises(InvalidStatus) as refused:
            async with connect(f"ws://{HERE}:{both.port}/v1/stream", proxy=None):
                pass
        assert refused.value.response.status_code == 503


async def test_a_client_that_leaves_cancels_its_call(both: BothTransports):
    async with busy(both.rpc):
        with pytest.raises(httpx.ReadTimeout):
            await both.http.post("/v1/classify", json=body(), timeout=0.2)
        await until(lambda: any(one.code == 499 for one in both.rpc.of(Responded)))
        assert both.rpc.parts.admission.running_requests == 0


async def test_a_client_that_leaves_before_its_body_is_whole_is_no_fault_of_the_server(both: BothTransports):
    _, writer = await asyncio.open_connection(HERE, both.port)
    writer.write(b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{")
    await until(lambda: both.budget.held == 1000)
    writer.close()
    await until(lambda: both.budget.held == 0 and bool(both.rpc.of(Responded)))
    assert [one.code for one in both.rpc.of(Responded)] == [499] and not both.rpc.of(Refused)


async def test_a_client_certificate_is_an_identity_and_a_new_certificate_counts_at_once(tmp_path: Path):
    authority = Authority(tmp_path)
    pair, camera = authority.server(), authority.client("gate-3")
    certificates = Certificates(pair.certificate, pair.key, authority.ca, recheck=0.0)
    async with open_transports(Identity(None, True), certificates=certificates, ask_client=True) as both:
        assert (await both.http.get("/v1/info")).status_code == 401
        trusting = ssl.create_default_context(cafile=str(authority.ca))
        before = await serial(both.port, trusting)
        trusting.load_cert_chain(camera.certificate, camera.key)
        async with httpx.AsyncClient(verify=trusting) as client:
            assert (await client.get(f"https://localhost:{both.port}/v1/info")).status_code == 200
            taught = await client.delete(f"https://localhost:{both.port}/v1/sessions/a/lessons?example_ids=x")
            assert taught.status_code == 403 and "yours is infer" in taught.json()["detail"]
        async with connect(f"wss://localhost:{both.port}/v1/stream", proxy=None, ssl=trusting) as socket:
            await socket.send('{"open": {"labels": {"label_set": {"names": ["a", "b"]}}}}')
            assert '"status"' in str(await socket.recv())
        authority.server()
        assert await serial(both.port, trusting) != before


async def serial(port: int, trusting: ssl.SSLContext) -> str:
    _, writer = await asyncio.open_connection("localhost", port, ssl=trusting)
    shown = writer.get_extra_info("peercert")["serialNumber"]
    writer.close()
    return shown


async def test_calls_come_through_the_proxy_where_it_is_required():
    from ipaddress import ip_network

    proxies = Proxies((ip_network("127.0.0.1/32"),), True, "x-owner", "x-role")
    async with open_transports(Identity(None, False, proxies)) as both:
        assert (await both.http.get("/v1/info")).status_code == 401
        assert (await both.http.get("/v1/info", headers={"x-owner": "gate-3"})).status_code == 200


async def test_a_picture_of_8_mb_arrives_whole_in_every_way_to_give_one():
    picture = b"\xff\xd8" + bytes(range(256)) * 32768
    as_json = json.dumps({"image": {"encoded": base64.b64encode(picture).decode()}, "labels": {"id": "nosuch"}})
    message = parse_large(pb.ClassifyRequest, as_json.encode())
    assert message.image.encoded == picture and message.labels.id == "nosuch"
    async with open_transports(budget=BodyBudget(12 << 20, 64 << 20, 10.0), image_bytes=9 << 20) as both:
        sentences = [
            (await both.http.post("/v1/classify", **given)).json()["detail"]  # type: ignore[arg-type]
            for given in (
                {"json": body(image={"encoded": base64.b64encode(picture).decode()})},
                {"files": {"image": picture}, "data": {"labels": "cat,dog,car"}},
                {"content": picture, "params": {"labels": "cat,dog,car"}, "headers": {"content-type": "image/jpeg"}},
            )
        ]
    assert sentences[0].startswith("image.encoded: ") and len(set(sentences)) == 1


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
@pytest.mark.parametrize("way", ["json", "form", "picture"])
async def test_a_picture_of_8_mb_holds_the_loop_for_less_than_a_quarter_of_its_parsing(way: str, tmp_path: Path):
    """In its own processor time, so that other processes do not count."""
    (tmp_path / "photo").write_bytes(picture := b"\xff\xd8" + bytes(range(256)) * 32768)
    (tmp_path / "json").write_text(json.dumps(body(image={"encoded": base64.b64encode(picture).decode()})))
    words = {
        "json": ["-H", "Content-Type: application/json", "--data-binary", "@json"],
        "form": ["-F", "image=@photo", "-F", "labels=cat,dog"],
        "picture": ["-H", "Content-Type: image/jpeg", "--data-binary", "@photo"],
    }[way]
    began = time.thread_time()
    parse_json(pb.ClassifyRequest, (tmp_path / "json").read_bytes())
    parsing, worst = time.thread_time() - began, 0.0

    async def beat() -> None:
        nonlocal worst
        while True:
            before = time.thread_time()
            await asyncio.sleep(0.0005)
            worst = max(worst, time.thread_time() - before)

    async with open_transports(budget=BodyBudget(12 << 20, 64 << 20, 10.0), image_bytes=9 << 20) as both:
        url = f"http://{HERE}:{both.port}/v1/classify" + ("?labels=cat,dog" if way == "picture" else "")
        asking = await asyncio.create_subprocess_exec(
            "curl", "-s", *words, url, cwd=tmp_path, stdout=asyncio.subprocess.PIPE
        )
        beating = asyncio.create_task(beat())
        reply, _ = await asking.communicate()
        beating.cancel()
    assert b"BAD_IMAGE" in reply
    assert worst < parsing / 4, (worst, parsing)


async def test_an_address_that_has_most_connections_gives_way_to_others():
    async with open_transports(connections=8) as both:
        held = [await asyncio.open_connection(HERE, both.port, local_addr=("127.0.0.2", 0)) for _ in range(7)]
        asking, asked = await asyncio.open_connection(HERE, both.port, local_addr=("127.0.0.2", 0))
        asked.write(b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{")
        await until(lambda: both.budget.held == 1000)
        for _, writer in held:
            writer.write(HEAD)  # which never ends
        for _ in range(3):
            reply, _ = await raw(both.port, HEAD + b"Connection: close\r\n\r\n")
            assert reply.startswith(b"HTTP/1.1 200 ")
        with contextlib.suppress(ConnectionError):
            assert not await held[0][0].read()  # the oldest that waits for a request has ended
        assert not asking.at_eof() and not held[1][0].at_eof()
        asked.write(b" " * 999)
        assert (await asking.read(12)).startswith(b"HTTP/1.1 4")
        for _, writer in [*held, (asking, asked)]:
            writer.transport.abort()


async def test_connections_that_are_refused_have_a_bound_too():
    async with open_transports(connections=1) as both:
        held = [await asyncio.open_connection(HERE, both.port) for _ in range(1 + SPARE)]
        for _ in range(10):
            reader, writer = await asyncio.open_connection(HERE, both.port)
            async with asyncio.timeout(PATIENCE):
                with contextlib.suppress(ConnectionError):
                    assert not await reader.read()
            writer.close()
        assert not any(reader.at_eof() for reader, _ in held)
        for _, writer in held:
            writer.transport.abort()
        async with asyncio.timeout(PATIENCE):
            while (await both.http.get("/healthz")).status_code != 200:  # until it has seen that they are gone
                pass


async def test_connections_that_become_web_sockets_are_counted_once_and_leave():
    async with open_transports(connections=2) as both:
        for _ in range(5):
            async with connect(f"ws://{HERE}:{both.port}/v1/stream", proxy=None):
                pass
        assert (await both.http.get("/healthz")).status_code == 200


async def test_connections_with_tls_leave_their_place_too(tmp_path: Path):
    authority = Authority(tmp_path)
    pair = authority.server()
    trusting = ssl.create_default_context(cafile=str(authority.ca))
    async with open_transports(connections=1, certificates=Certificates(pair.certificate, pair.key)) as both:
        for _ in range(3):
            async with asyncio.timeout(PATIENCE), httpx.AsyncClient(verify=trusting) as client:
                while (await client.get(f"https://localhost:{both.port}/healthz")).status_code != 200:
                    pass  # until the server has seen that the one before is gone
