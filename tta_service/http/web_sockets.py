"""Connections that become WebSockets, and what an application hears of a connection's certificate."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from .crowd import Crowd


class WebSocketConnection(WebSocketsSansIOProtocol):
    """A connection that has become a WebSocket. Pings find out whether its client is there."""

    crowd: Crowd

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The request was read."""
        super().connection_made(transport)
        self.app = with_certificate(self.app, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more comes."""
        self.crowd.leave(self.transport)  # type: ignore[arg-type]
        super().connection_lost(exc)


def with_certificate(app: Any, transport: asyncio.BaseTransport) -> Any:
    """The application, which gets the client's certificate if there is one."""
    connection: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    shown = connection.getpeercert(True) if connection else None
    if not shown:
        return app
    chain = [ssl.DER_cert_to_PEM_cert(shown)]

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        extensions = {**scope.get("extensions", {}), "tls": {"client_cert_chain": chain}}
        await app({**scope, "extensions": extensions}, receive, send)

    return call
