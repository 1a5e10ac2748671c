"""The HTTP server: uvicorn in the service's own event loop, without its signal handlers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Generator
from functools import partial
from typing import Any

import uvicorn

from ..wire.certificates import Certificates


class _Uvicorn(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave the signals to the application, which drains."""
        yield


class HttpServer:
    """Listens from `start` to `stop`, with TLS if there are certificates; new ones count for the next connection."""

    def __init__(self, app: Any, connections: int = 1024, certificates: Certificates | None = None) -> None:
        config = uvicorn.Config(
            app, lifespan="off", log_config=None, access_log=False, server_header=False, limit_concurrency=connections,
            timeout_keep_alive=30, timeout_graceful_shutdown=None, ws="websockets-sansio",
            ssl_context_factory=partial(_make_context, certificates) if certificates else None,
        )  # fmt: skip
        self._server, self._task = _Uvicorn(config), None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listen and return the port. Raises OSError when the address is taken."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family)
        self._task = asyncio.create_task(self._server.serve([listening]), name="http")
        await self._server.listening.wait()
        return listening.getsockname()[1]

    async def stop(self, grace: float) -> None:
        """Accept nothing more and give running requests `grace` seconds to end."""
        if self._task is None:
            return
        self._server.config.timeout_graceful_shutdown = max(1, round(grace))
        self._server.should_exit = True
        await asyncio.wait({self._task}, timeout=grace + 5)


def _make_context(certificates: Certificates, *_: object) -> ssl.SSLContext:
    """What each handshake replaces by the certificate of its time."""

    def renew(connection: ssl.SSLObject, name: str | None, before: ssl.SSLContext) -> None:
        connection.context = certificates.context()

    context = certificates.context()
    context.sni_callback = renew
    return context
