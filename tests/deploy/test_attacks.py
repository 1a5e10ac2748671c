"""Two callers with keys behind the HAProxy of deploy/: a forged x-session-id gives access to nothing."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from tests.app.test_access import channel, encrypted, running
from tests.certificates import Authority
from tests.deploy.scraper import free_ports
from tests.deploy.tools import DEPLOY, program
from tests.patience import PATIENCE
from tests.rpc.conftest import frame, opening, options, question
from tests.rpc.test_owners import ATTACKS, Keyed, code_of, next_reply
from tests.wire.test_keys import add
from tta_service.wire.keys import Role
from tta_service.wire.v1 import tta_pb2 as pb

TDA = options("tda", views=1)


@asynccontextmanager
async def proxied(address: str, authority: Authority, folder: Path) -> AsyncIterator[str]:
    """The address of a HAProxy with TLS on both sides, in front of one server."""
    pair, (port, numbers) = authority.server("tls"), free_ports(2)
    environment = {
        "TTA_PROXY_BIND": f"127.0.0.1:{port}",
        "TTA_PROXY_METRICS": f"127.0.0.1:{numbers}",
        "TTA_PROXY_CERTIFICATE": str(pair.certificate),
        "TTA_SERVERS_CA": str(authority.ca),
        "TTA_A": address,
        "TTA_B": address,
    }
    command = [program("haproxy"), "-f", str(DEPLOY / "haproxy" / "haproxy.cfg")]
    with (folder / "haproxy.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(*command, env=os.environ | environment, stdout=log, stderr=log)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        await process.wait()


@pytest.mark.slow
async def test_a_forged_session_header_gives_access_to_nothing(tmp_path: Path):
    authority, keys = Authority(tmp_path), tmp_path / "keys"
    tokens = [add(keys, name, Role.TEACH) for name in ("ann", "bob")]
    chosen = encrypted(authority.server(), server__keys=str(keys), server__owner_header="x-tta-owner",
                       server__role_header="x-tta-role", server__trusted_proxies="127.0.0.0/8")  # fmt: skip
    async with (
        running(chosen) as service,
        proxied(service.address, authority, tmp_path) as proxy,
        channel(proxy, authority) as secure,
    ):
        forged = (("x-session-id", "cam"), ("x-tta-owner", "ann"), ("x-tta-role", "admin"))
        ann, bob, nobody = (Keyed(secure, token, *forged) for token in (*tokens, ""))
        async with asyncio.timeout(PATIENCE):
            shown = question(session_id="cam", options=TDA)
            while await code_of(ann.Classify(shown)) is not grpc.StatusCode.OK:  # noqa: ASYNC110
                await asyncio.sleep(0.1)  # the proxy does not know yet that the server serves
        for attack, call in ATTACKS.items():
            assert await code_of(call(bob, "cam")) is grpc.StatusCode.NOT_FOUND, attack
            assert await code_of(call(nobody, "cam")) is grpc.StatusCode.UNAUTHENTICATED, attack
        hers, theirs = ann.ClassifyStream(), bob.ClassifyStream()
        for number, call in enumerate((hers, theirs)):
            await call.write(opening(session_id="cam", options=TDA))
            assert (await next_reply(call, "status")).session.frames == 1 - number  # hers has one frame, his none
        await hers.write(frame(1))
        assert (await next_reply(hers, "answer")).response.session.frames == 2
        for call in (hers, theirs):
            await call.done_writing()
        sessions = service.runtime.sessions.registry.open_sessions
        assert sorted((one.owner, one.id) for one in sessions) == [("ann", "cam"), ("bob", "cam")]
        listed = (await bob.ListSessions(pb.ListSessionsRequest())).sessions
        assert [one.frames for one in listed] == [0]
