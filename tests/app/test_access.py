"""Keys, certificates and encryption of a running service; what it refuses to start without."""

from __future__ import annotations

import asyncio
import io
import logging
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from PIL import Image

from tests.certificates import Authority, Pair
from tests.patience import PATIENCE
from tests.rpc.conftest import code_of
from tests.wire.test_keys import add
from tta_service.app import Application
from tta_service.app.access import check_access
from tta_service.rpc.v1.tta_pb2_grpc import AdaptationServiceStub
from tta_service.settings import BadSettings, Settings, load
from tta_service.testing import FakeCLIP
from tta_service.wire.v1 import tta_pb2 as pb

QUICK = {"server.port": 0, "metrics.port": 0, "batch.max_rows": 1, "lanes.cores": 1, "server.drain": 1.0}
TOKEN = "0123456789abcdef of a scraper"


@pytest.fixture(autouse=True)
def in_an_empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def settings(**knobs: Any) -> Settings:
    return load(QUICK | {name.replace("__", "."): value for name, value in knobs.items()})


def encrypted(pair: Pair, **more: Any) -> Settings:
    tls = {"server__tls__certificate": str(pair.certificate), "server__tls__key": str(pair.key)}
    return settings(**tls, server__tls__client_port=0, **more)


@asynccontextmanager
async def running(chosen: Settings) -> AsyncIterator[Application]:
    async with Application(chosen, FakeCLIP()) as service:  # type: ignore[arg-type]
        yield service


def channel(address: str, authority: Authority, client: Pair | None = None) -> grpc.aio.Channel:
    """An encrypted channel, with the certificate of a client if one is given."""
    shown = (client.key.read_bytes(), client.certificate.read_bytes()) if client else ()
    return grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(authority.ca.read_bytes(), *shown))


def question() -> pb.ClassifyRequest:
    file = io.BytesIO()
    Image.new("RGB", (32, 32), "teal").save(file, "PNG")
    labels = pb.Labels(label_set=pb.LabelSet(names=["cat", "dog"]))
    asked = pb.ClassifyRequest(image=pb.Image(encoded=file.getvalue()), labels=labels, session_id="cam")
    asked.options.strategy.name = "tda"
    return asked


async def get(
    url: str, authority: Authority | None = None, token: str = "", client: Pair | None = None
) -> tuple[int, str]:
    """The HTTP status and the text."""
    context = ssl.create_default_context(cafile=authority.ca) if authority else None
    if client and context:
        context.load_cert_chain(client.certificate, client.key)
    headers = {"Authorization": f"Bearer {token}"} if token else {}

    def fetch() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(
                urllib.request.Request(url, headers=headers), timeout=PATIENCE, context=context
            ) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    return await asyncio.to_thread(fetch)


async def test_a_key_over_tls_is_answered_and_health_needs_none(authority: Authority, tmp_path: Path):
    token = add(tmp_path / "keys")
    async with running(encrypted(authority.server(), server__keys=str(tmp_path / "keys"))) as service:
        async with channel(service.address, authority) as secure, grpc.aio.insecure_channel(service.address) as plain:
            stub, header = AdaptationServiceStub(secure), (("authorization", f"Bearer {token}"),)
            assert (await stub.Classify(question(), metadata=header)).session.session_id == "cam"
            assert await code_of(stub.Classify(question())) is grpc.StatusCode.UNAUTHENTICATED
            health = await health_pb2_grpc.HealthStub(secure).Check(health_pb2.HealthCheckRequest())
            assert health.status == health_pb2.HealthCheckResponse.SERVING
            unencrypted = AdaptationServiceStub(plain).Classify(question(), metadata=header)
            assert await code_of(unencrypted) is grpc.StatusCode.UNAVAILABLE
        assert service.metrics_url.startswith("https://") and not service.certificate_address
        code, text = await get(service.metrics_url, authority)
        assert code == 200 and "tta_insecure 0.0" in text
        assert (
            float(text.partition('expiry_timestamp_seconds{certificate="server"} ')[2].split()[0]) > time.time() + 86400
        )
        assert 'code="UNAUTHENTICATED"' in text


async def test_a_client_certificate_alone_says_who_calls(authority: Authority):
    async with running(encrypted(authority.server(), server__tls__client_ca=str(authority.ca))) as service:
        camera, teacher = authority.client("cam"), authority.client("teacher", "tta:teach")
        for client, teaches in ((camera, grpc.StatusCode.PERMISSION_DENIED), (teacher, grpc.StatusCode.OK)):
            async with channel(service.address, authority, client) as secure:
                stub = AdaptationServiceStub(secure)
                await stub.Classify(question())
                assert (await stub.ListSessions(pb.ListSessionsRequest())).sessions[0].frames == 1  # each has its own
                lesson = pb.Lesson(image=question().image, label="cat", labels=question().labels)
                asked = pb.TeachSessionRequest(session_id="cam", lessons=[lesson])
                assert await code_of(stub.TeachSession(asked)) is teaches
        strangers = Authority(authority.ca.parent, "strangers")
        for client in (None, strangers.client("cam")):
            async with channel(service.address, authority, client) as secure:
                assert await code_of(AdaptationServiceStub(secure).Classify(question())) is grpc.StatusCode.UNAVAILABLE


async def test_keys_and_certificates_have_a_port_each(authority: Authority, tmp_path: Path):
    token, more = add(tmp_path / "keys", "ann"), {"server__keys": str(tmp_path / "keys")}
    chosen = encrypted(authority.server(), server__tls__client_ca=str(authority.ca), **more)
    async with running(chosen) as service:
        assert service.facts["certificates"] == service.certificate_address
        async with channel(service.address, authority) as secure:
            header = (("authorization", f"Bearer {token}"),)
            await AdaptationServiceStub(secure).Classify(question(), metadata=header)
        async with channel(service.certificate_address, authority, authority.client("bob")) as secure:
            await AdaptationServiceStub(secure).Classify(question())
        assert {session.owner for session in service.runtime.sessions.registry.open_sessions} == {"ann", "bob"}


@pytest.mark.slow
async def test_a_rotated_certificate_serves_without_a_lost_call(authority: Authority, tmp_path: Path):
    """Calls on an open connection, and on a new one each time, while the files change under them."""
    pair = authority.server()
    async with running(encrypted(pair)) as service, channel(service.address, authority) as kept:
        seen, ends = set[bytes](), asyncio.get_running_loop().time() + 3.5
        stub, rotations = AdaptationServiceStub(kept), 0
        while asyncio.get_running_loop().time() < ends:
            await stub.Classify(question())
            async with channel(service.address, authority) as fresh:
                await AdaptationServiceStub(fresh).Classify(question())
            seen.add(await served_certificate(service.address))
            if rotations < 2 and len(seen) > rotations:
                authority.server()
                rotations += 1
        assert len(seen) == 3
        (pair.key).write_text("half written")
        await asyncio.sleep(1.1)
        async with channel(service.address, authority) as fresh:
            await AdaptationServiceStub(fresh).Classify(question())


async def served_certificate(address: str) -> bytes:
    host, _, port = address.rpartition(":")
    return (await asyncio.to_thread(ssl.get_server_certificate, (host, int(port)))).encode()


async def test_metrics_take_the_token_or_a_certificate_and_health_takes_neither(authority: Authority, tmp_path: Path):
    add(tmp_path / "keys")
    more = {"server__keys": str(tmp_path / "keys"), "server__tls__client_ca": str(authority.ca)}
    async with running(encrypted(authority.server(), metrics__host="0.0.0.0", metrics__token=TOKEN, **more)) as service:
        url = service.metrics_url.replace("0.0.0.0", "127.0.0.1")
        assert (await get(url, authority))[0] == (await get(url, authority, "wrong"))[0] == 401
        assert (
            (await get(url, authority, TOKEN))[0]
            == (await get(url, authority, client=authority.client("prom")))[0]
            == 200
        )
        assert await get(url.replace("/metrics", "/healthz"), authority) == (200, "SERVING\n")
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2].split("/")[0]))
        assert (await get(url, authority, TOKEN))[0] == 200  # one that says nothing holds up nobody
        writer.close()
        assert TOKEN not in repr(service.runtime) and reader


async def test_what_others_can_reach_is_refused_unless_it_is_told_to(caplog: pytest.LogCaptureFixture):
    with pytest.raises(BadSettings, match=r"server\.host: others can reach 0\.0\.0\.0, .*server\.insecure=true starts"):
        Application(settings(server__host="0.0.0.0"))
    with caplog.at_level(logging.WARNING):
        async with running(settings(server__host="0.0.0.0", server__insecure=True)) as service:
            assert "INSECURE" in service.facts and "server.insecure is set" in caplog.text
            assert "tta_insecure 1.0" in (await get(service.metrics_url))[1]


KEYS, CERTIFICATE = {"server__keys": "k"}, {"server__tls__certificate": "c", "server__tls__key": "k"}
CA, TRUSTED = {"server__tls__client_ca": "a"}, {"server__trusted_proxies": "10.0.0.0/8, fd00::/8"}
PROXY = {"server__tls__terminated_by_proxy": True, **TRUSTED}
HERE, OUT = {"server__host": "127.0.0.1"}, {"server__host": "0.0.0.0"}
METRICS = {"metrics__host": "::", "metrics__token": TOKEN}


@pytest.mark.parametrize("chosen, refusal", [
    (HERE, ""),
    ({"server__host": "localhost"}, ""),
    ({"server__host": "::1", "metrics__host": "::1"}, ""),
    (OUT, "callers are not asked"),
    ({"server__host": "192.0.2.1"}, "callers are not asked"),
    ({"server__host": "gate.example"}, "callers are not asked"),
    (OUT | CERTIFICATE, "callers are not asked"),
    (OUT | PROXY, "callers are not asked"),
    (OUT | KEYS, "nothing is encrypted"),
    (OUT | KEYS | CERTIFICATE, ""),
    (OUT | CA | CERTIFICATE, ""),
    (OUT | KEYS | PROXY, ""),
    (OUT | PROXY | {"server__owner_header": "x-owner"}, ""),
    (OUT | {"server__insecure": True}, ""),
    (HERE | METRICS, "metrics.host: others can reach ::, and nothing is encrypted"),
    (HERE | METRICS | CERTIFICATE, ""),
    (HERE | METRICS | CERTIFICATE | {"metrics__token": ""}, "give scrapers a metrics.token"),
    (HERE | METRICS | CERTIFICATE | CA | {"metrics__token": ""}, ""),
    (HERE | METRICS | {"metrics__enabled": False}, ""),
    ({"server__tls__certificate": "c"}, "server.tls.key: a certificate and its key are named together"),
    (CA, "client certificates need TLS here"),
    ({"server__tls__terminated_by_proxy": True}, "server.trusted_proxies: name the addresses of the proxy"),
    ({"server__owner_header": "x-owner"}, "server.trusted_proxies: name the addresses that server.owner_header"),
])  # fmt: skip
def test_which_settings_start(chosen: dict[str, Any], refusal: str):
    if not refusal:
        return check_access(settings(**chosen))
    with pytest.raises(BadSettings, match=refusal):
        check_access(settings(**chosen))


@pytest.mark.parametrize("knob", ["sessions.secret", "metrics.token"])
def test_a_secret_has_sixteen_characters_and_is_never_shown(knob: str, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(BadSettings, match=f"{knob}: a secret has at least 16 characters") as refused:
        load({knob: "tops3cret"})
    assert "tops3cret" not in str(refused.value)
    assert TOKEN not in repr(load({knob: TOKEN}))
    for wrong in ("server.port", "server.tokne", "metrics.tokn", "log.level", "model", "limits"):
        with pytest.raises(BadSettings) as refused:
            load({wrong: {"x": TOKEN}} if wrong == "model" else {wrong: TOKEN})
        assert TOKEN not in str(refused.value), wrong


async def test_files_that_cannot_be_used_are_named_at_the_start(authority: Authority, tmp_path: Path):
    pair, other = authority.server(), authority.server("other")
    for chosen, message in (
        (encrypted(Pair(tmp_path / "nix", pair.key)), r"server\.tls\.certificate: .*nix: No such file"),
        (encrypted(Pair(pair.certificate, other.key)), r"other\.key is not the key of .*server\.crt"),
        (encrypted(Pair(pair.key, pair.key)), r"server\.key holds no certificate in PEM"),
        (encrypted(Pair(pair.certificate, pair.certificate)), r"server\.crt holds no private key in PEM"),
        (settings(server__keys=str(tmp_path / "nix")), r"server\.keys: .*nix: No such file"),
        (settings(server__keys=str(pair.certificate)), r"server\.keys: .*server\.crt"),
    ):
        with pytest.raises(BadSettings, match=message):
            Application(chosen)
