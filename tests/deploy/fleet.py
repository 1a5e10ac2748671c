"""Servers behind the HAProxy of deploy/, with one Redis between them: processes of their own on one machine."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tta_client.aio.client import AsyncClient
from tta_client.types.catalogue import SessionInfo

from tests.deploy.scraper import free_ports
from tests.deploy.tools import DEPLOY, program
from tests.redis_server import redis_server
from tta_service.serving.persistence.encryption import Subject
from tta_service.serving.persistence.signing import SignedCodec
from tta_service.serving.persistence.stores.records import name_of
from tta_service.serving.persistence.stores.redis_client import make_client

SECRET = "a secret for tests"
STATUS = re.compile(r'haproxy_server_status\{proxy="servers",server="(\w+)",state="UP"\} ([01])')
BETWEEN = 0.1  # seconds between two checks
AT_MOST = 600.0  # seconds for any wait
Process = asyncio.subprocess.Process


@dataclass(frozen=True)
class Own:
    """How one server differs from the others."""

    knobs: Mapping[str, object] = field(default_factory=dict[str, object])
    environment: Mapping[str, str] = field(default_factory=dict[str, str])


class Fleet:
    """`servers` by the names that haproxy.cfg gives them: a and b, and further ones that a test adds."""

    def __init__(
        self, names: str, store: str, folder: Path, stack: AsyncExitStack, own: Mapping[str, Own] | None = None
    ) -> None:
        self.proxy, self._numbers, *servers = (f"127.0.0.1:{port}" for port in free_ports(2 + len(names)))
        self.addresses = dict(zip(names, servers, strict=True))
        self.servers: dict[str, Process] = {}
        self._store, self._folder, self._stack, self._own = store, folder, stack, own or {}

    async def start(self, name: str) -> None:
        """Starts a server at its address; returns before it serves."""
        knobs = {
            "server.port": self.addresses[name].rpartition(":")[2],
            "server.pre_stop": 2,
            "server.drain": 120,
            "metrics.enabled": "false",
            "http.enabled": "false",
            "batch.max_rows": 4,
            "lanes.cores": 1,
            "sessions.store": self._store,
            "sessions.write_seconds": 1,
        }
        own = self._own.get(name, Own())
        sets = [f"--set={knob}={value}" for knob, value in {**knobs, **own.knobs}.items()]
        more = {"PYTHONPATH": str(DEPLOY.parent), "TTA_SESSIONS__SECRET": SECRET, **own.environment}
        self.servers[name] = await self._run(name, [sys.executable, "-m", "tta_service", "serve", *sets], more)

    async def start_proxy(self) -> None:
        """Starts HAProxy; returns before it serves."""
        environment = {"TTA_PROXY_BIND": self.proxy, "TTA_PROXY_METRICS": self._numbers}
        environment |= {f"TTA_{name.upper()}": address for name, address in self.addresses.items()}
        configuration = DEPLOY / "haproxy" / "haproxy.cfg"
        if further := [name for name in self.addresses if name not in "ab"]:
            lines = [f'    server {name} "${{TTA_{name.upper()}}}" id {ord(name) - ord("a") + 1}' for name in further]
            text = re.sub(r"(?m)^    server b .*$", lambda b: "\n".join([b[0], *lines]), configuration.read_text())
            text = text.replace("timeout check 2s", "timeout check 60s")  # that a busy machine may take for an answer
            configuration = self._folder / "haproxy.cfg"
            configuration.write_text(text)
        await self._run("haproxy", [program("haproxy"), "-f", str(configuration)], environment)

    async def leave(self, name: str) -> None:
        """SIGTERM to a server; returns when it has ended, as it should."""
        self.servers[name].send_signal(signal.SIGTERM)
        assert await self.servers[name].wait() == 0, self._folder
        others = dict.fromkeys(self.addresses.keys() - {name}, True)
        await self.until(**{name: False}, **others)

    async def come_back(self, name: str) -> None:
        """Starts it again; returns when HAProxy sees it."""
        await self.start(name)
        await self.until(**{name: True})

    def log(self, name: str) -> str:
        """What a process has written."""
        return (self._folder / f"{name}.log").read_text()

    async def until(self, **up: bool) -> None:
        """Waits until HAProxy sees these servers up or down."""
        async with asyncio.timeout(AT_MOST):
            while not up.items() <= (await asyncio.to_thread(self._server_states)).items():
                ended = {name: self.servers[name].returncode for name in up if up[name]}
                assert not any(code is not None for code in ended.values()), (ended, self._folder)
                await asyncio.sleep(BETWEEN)

    async def sessions_of(self, name: str) -> dict[str, SessionInfo]:
        """The sessions of one server, by id; asked directly, not through the proxy."""
        async with AsyncClient(self.addresses[name], timeout=60) as client:
            return {session.session_id: session for session in await client.sessions()}

    async def stored(self, session: str) -> int:
        """How many frames of a session the store knows of."""
        async with make_client(self._store, AT_MOST) as client:
            state = await client.hget(f"tta:session:{name_of('', session)}", "state")
        return (
            int(SignedCodec(SECRET.encode()).loads(state, Subject("session", "", session))[0]["frames"]) if state else 0
        )

    async def until_stored(self, frames: dict[str, int]) -> None:
        """Waits until the store has all of these frames."""
        async with asyncio.timeout(AT_MOST):
            while any([await self.stored(session) < count for session, count in frames.items()]):  # noqa: ASYNC110
                await asyncio.sleep(BETWEEN)

    def _server_states(self) -> dict[str, bool]:
        try:
            with urllib.request.urlopen(f"http://{self._numbers}/metrics", timeout=10) as reply:
                return {name: state == "1" for name, state in STATUS.findall(reply.read().decode())}
        except OSError:  # it does not listen yet, or does not answer
            return {}

    async def _run(self, name: str, command: list[str], environment: dict[str, str]) -> Process:
        with (self._folder / f"{name}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *command, env=os.environ | environment, stdout=log, stderr=log
            )
        self._stack.push_async_callback(_kill, process)
        return process


@asynccontextmanager
async def fleet(
    folder: Path, names: str = "ab", own: Mapping[str, Own] | None = None, store: str = ""
) -> AsyncIterator[Fleet]:
    """All are up for HAProxy. Each process writes its log into `folder`. Without a `store` a Redis is started."""
    program("haproxy")
    async with AsyncExitStack() as stack:
        servers = Fleet(names, store or stack.enter_context(redis_server()), folder, stack, own)
        await asyncio.gather(servers.start_proxy(), *map(servers.start, names))
        await servers.until(**dict.fromkeys(names, True))
        yield servers


async def _kill(process: Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()
