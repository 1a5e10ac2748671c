"""One call of a method by HTTP: who makes it, until when, and what becomes of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from google.protobuf.message import Message
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from ..core.errors import BadRequest, DeadlineTooShort
from ..core.events import Observe, Refused, Responded
from ..methods.service import AdaptationService
from ..wire.identity import SERVICE, Identity, Peer, set_caller
from ..wire.json_mapping import to_json
from ..wire.requests import strategy_name, trace_of
from ..wire.status import to_tta_error
from .bodies import SMALL, BodyBudget, parse_body
from .problems import to_problem
from .routes import Route

LEFT = 499  # what nginx calls a client that closed its request


class ClientLeft(Exception):
    """Nobody waits for the answer any more."""


class HttpContext:
    """What a method may know of a call by HTTP (`methods.context.Context`)."""

    def __init__(self, connection: HTTPConnection) -> None:
        self._headers, self._callbacks = connection.headers, list[Callable[[Any], None]]()
        self._began = time.monotonic()

    def time_remaining(self) -> float | None:
        """Seconds to the deadline of the header X-Timeout-Ms. Raises `BadRequest`."""
        given = self._headers.get("x-timeout-ms")
        return None if given is None else max(0.0, self._began + _seconds(given) - time.monotonic())

    def invocation_metadata(self) -> Iterable[tuple[str, str | bytes]]:
        """The headers."""
        return self._headers.items()

    def add_done_callback(self, callback: Callable[[Any], None], /) -> None:
        """Call it in `end`."""
        self._callbacks.append(callback)

    def end(self) -> None:
        """The call has ended."""
        for callback in self._callbacks:
            callback(self)


class Calls:
    """Answers requests with the methods of the service."""

    def __init__(self, service: AdaptationService, identity: Identity, budget: BodyBudget, observe: Observe) -> None:
        self._service, self._identity, self._budget, self._observe = service, identity, budget, observe

    async def answer(self, route: Route, request: Request) -> Response:
        """The method's reply as JSON, or the problem. A client that leaves cancels the method."""
        started, message, context = time.monotonic(), None, HttpContext(request)
        try:
            set_caller(self._identity.check(SERVICE, route.method, peer_of(request)))
            async with self._budget.read(request) as body:
                message = await parse_body(route, request, body)
                del body
                method, seconds = getattr(self._service, route.method), context.time_remaining()
                reply = await until_left(method(message, context), request, seconds)
            response = Response(await _to_json(reply), media_type="application/json")
        except ClientLeft:
            response = Response(status_code=LEFT)
        except Exception as error:
            failure, trace = to_tta_error(error), trace_of(context.invocation_metadata())
            session, id = getattr(message, "session_id", ""), getattr(message, "request_id", "")
            self._observe(Refused(failure, route.method, strategy_name(message), "", trace, id, session))
            response = to_problem(failure)
        finally:
            context.end()
        self._observe(Responded(route.method, response.status_code, time.monotonic() - started))
        return response


async def until_left(work: Awaitable[Message], request: Request, seconds: float | None) -> Message:
    """The result of `work`, which is cancelled when the client leaves and after `seconds`.

    Raises `ClientLeft`, `DeadlineTooShort`.
    """
    task, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_leave(request))
    try:
        await asyncio.wait((task, leaving), return_when=asyncio.FIRST_COMPLETED, timeout=seconds)
        if task.done():
            return task.result()
        if leaving.done():
            raise ClientLeft
        raise DeadlineTooShort("the time that X-Timeout-Ms gives is over")
    finally:
        task.cancel()
        leaving.cancel()


async def _leave(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _to_json(reply: Message) -> bytes:
    return to_json(reply) if reply.ByteSize() <= SMALL else await asyncio.to_thread(to_json, reply)


def peer_of(connection: HTTPConnection) -> Peer:
    """What HTTP knows of the other end."""
    address = connection.client.host if connection.client else ""
    chain = connection.scope.get("extensions", {}).get("tls", {}).get("client_cert_chain") or [""]
    return Peer(address, dict(connection.headers.items()), chain[0].encode())


def _seconds(milliseconds: str) -> float:
    """Raises `BadRequest`."""
    try:
        seconds = float(milliseconds) / 1000
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise BadRequest(f"{milliseconds[:20]!r} is no number of milliseconds", "X-Timeout-Ms")
    return seconds
