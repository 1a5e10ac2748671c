"""Which names this server answers to, and which pages in browsers may ask it.

A page of another site must not reach a service on this machine by giving its own name our address (DNS rebinding), so
every request names a host that is ours. A browser says which page asks, in Origin; other programs send none.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from ..core.errors import BadRequest, PermissionDenied, TTAError
from ..core.parameters import shorten
from .problems import to_problem, to_refusal

LENGTH = "inference-header-content-length"  # of the Open Inference Protocol, both ways
SHARED = ("authorization", "content-encoding", "content-type", LENGTH, "traceparent", "x-session-id", "x-timeout-ms")


class HostCheck:
    """An ASGI application that refuses requests to other hosts, and from pages that are neither ours nor `origins`.

    `hosts` are names beside localhost and IP addresses, which no other site can have.
    """

    def __init__(self, app: ASGIApp, hosts: Sequence[str] = (), origins: Sequence[str] = ()) -> None:
        self._app, self._hosts, self._origins = app, frozenset(map(str.lower, hosts)), frozenset(origins)
        if origins:
            methods, shown = ("GET", "POST", "PUT", "DELETE"), ("Retry-After", "WWW-Authenticate", LENGTH)
            self._app = CORSMiddleware(
                app, allow_origins=origins, allow_methods=methods, allow_headers=SHARED, expose_headers=shown
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""
        wrong = self._mistake(HTTPConnection(scope).headers)
        if wrong is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await WebSocket(scope, receive, send).send_denial_response(to_problem(wrong))
        else:
            await to_refusal(wrong, scope["path"])(scope, receive, send)

    def _mistake(self, headers: Headers) -> TTAError | None:
        named = headers.getlist("host")
        if len(named) != 1:
            return BadRequest("a request names one host", "Host")
        host, origin = named[0].lower(), headers.get("origin")
        if not self._is_ours(host_name(host)):
            return PermissionDenied(f"this server does not answer to {shorten(host)}; http.hosts names more", "Host")
        if origin is None or origin in self._origins or origin.lower().partition("://")[2] == host:
            return None
        return PermissionDenied(f"pages of {shorten(origin)} may not ask here; http.origins names some", "Origin")

    def _is_ours(self, name: str) -> bool:
        return name in self._hosts or name == "localhost" or name.endswith(".localhost") or _is_address(name)


def host_name(host: str) -> str:
    """The host without its port, and an IPv6 address without brackets."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() and not host.endswith("]") else host
    return name.removeprefix("[").removesuffix("]").removesuffix(".")


def _is_address(name: str) -> bool:
    try:
        return bool(ip_address(name))
    except ValueError:
        return False
