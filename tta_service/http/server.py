"""The HTTP server: uvicorn's protocols in the service's own event loop, with an end for connections that only wait."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
from functools import partial
from typing import Any

import h11
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from ..core.errors import BadRequest, NotReady
from ..wire.certificates import Certificates
from .crowd import Crowd
from .problems import PROBLEM, describe, to_refusal
from .web_sockets import WebSocketConnection, with_certificate

SILENCE = 10.0  # seconds for a handshake, for the head of a request, and in which a reader takes nothing
HEAD_BYTES = 64 << 10  # of a request: its first line and its headers
BUSY = "this server has no connection to spare"


class Connection(H11Protocol):
    """One connection. It ends when a request's head does not come whole, and when a reader takes nothing more."""

    silence = SILENCE
    crowd = Crowd(1024)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The handshake is over."""
        super().connection_made(transport)
        self._head = self.loop.call_later(self.silence, transport.abort)
        self._stuck: asyncio.TimerHandle | None = None
        place = self.crowd.join(transport, lambda: self.cycle is None or self.cycle.response_complete)  # type: ignore[reportUnnecessaryComparison]
        self.app = with_certificate(self.app, transport) if place == "open" else _busy
        if place == "none":
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more comes."""
        self._head.cancel()
        self.crowd.leave(self.transport)
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """The clock runs from the first byte of a head to its last, whatever drips in between."""
        before: Any = self.cycle  # None before the first request
        super().data_received(data)
        if self.cycle is not before or self.transport.get_protocol() is not self:
            self._head.cancel()
        elif (before is None or before.response_complete) and self._head.cancelled():
            self._head = self.loop.call_later(self.silence, self.transport.abort)

    def _should_upgrade(self) -> bool:
        return self.app is not _busy and super()._should_upgrade()

    def pause_writing(self) -> None:
        """The client reads slower than we write."""
        super().pause_writing()
        self._watch_reader(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """It has read on."""
        super().resume_writing()
        if self._stuck:
            self._stuck.cancel()

    def send_400_response(self, msg: str) -> None:
        """Bytes that are no HTTP."""
        with contextlib.suppress(h11.LocalProtocolError):  # the response has begun
            body = json.dumps(describe(BadRequest("these bytes are not a request of HTTP/1.1"))).encode()
            headers = [("content-type", PROBLEM), ("content-length", str(len(body))), ("connection", "close")]
            for event in (h11.Response(status_code=400, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _watch_reader(self, before: int) -> None:
        def look() -> None:
            now = self.transport.get_write_buffer_size()
            if now >= before:
                self.transport.abort()
            else:
                self._watch_reader(now)

        self._stuck = self.loop.call_later(self.silence, look)


class HttpServer:
    """Listens from `start` to `stop`, with TLS if there are certificates; new ones count for the next connection.

    `ask_client`: clients may show a certificate, which the application finds in the scope as ASGI's TLS extension.
    """

    def __init__(
        self,
        app: Any,
        connections: int = 1024,
        certificates: Certificates | None = None,
        ask_client: bool = False,
        message_bytes: int = 16 << 20,
        silence: float = SILENCE,
    ) -> None:
        own: dict[str, Any] = {"silence": silence, "crowd": Crowd(connections)}
        self._config = uvicorn.Config(
            app,
            http=type("Connection", (Connection,), own),
            ws=type("WebSocketConnection", (WebSocketConnection,), own),
            ws_max_size=message_bytes,
            ws_per_message_deflate=False,  # pictures are compressed, and what inflates can hurt
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,
            timeout_keep_alive=30,
            h11_max_incomplete_event_size=HEAD_BYTES,
        )
        self._config.load()
        self._state, self._silence = ServerState(), silence
        self._context = _make_context(certificates, ask_client) if certificates else None
        self._listening: asyncio.Server | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listen and return the port. Raises OSError when the address is taken."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        bound = socket.create_server((host, port), family=family)
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio sets it for other sockets only
        make = partial(self._config.http_protocol_class, self._config, self._state, {})  # type: ignore[arg-type]
        limit = self._silence if self._context else None
        self._listening = await asyncio.get_running_loop().create_server(
            make, sock=bound, ssl=self._context, backlog=2048, ssl_handshake_timeout=limit
        )
        return bound.getsockname()[1]

    async def stop(self, grace: float) -> None:
        """Accept nothing more, and give requests and streams `grace` seconds to end."""
        if self._listening is None:
            return
        self._listening.close()
        for connection in list(self._state.connections):
            if isinstance(connection, Connection):
                connection.shutdown()  # after its response
        await self._wait(grace)
        for connection in list(self._state.connections):
            connection.shutdown()
        await self._wait(1.0)
        for connection in list(self._state.connections):
            connection.transport.abort()
        for task in self._state.tasks:
            task.cancel()

    async def _wait(self, seconds: float) -> None:
        if self._state.tasks:
            await asyncio.wait(self._state.tasks, timeout=seconds)


async def _busy(scope: Scope, receive: Receive, send: Send) -> None:
    refusal = to_refusal(NotReady(BUSY), scope["path"])
    refusal.headers["Connection"] = "close"  # the next request has a connection that may have a place
    await refusal(scope, receive, send)


def _make_context(certificates: Certificates, ask_client: bool) -> ssl.SSLContext:
    """A context in which each handshake takes the certificate of its time."""

    def renew(connection: ssl.SSLObject, name: str | None, before: ssl.SSLContext) -> None:
        connection.context = certificates.context(ask_client)

    context = certificates.context(ask_client)
    context.sni_callback = renew
    return context
