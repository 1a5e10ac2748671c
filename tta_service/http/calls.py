"""One call of a method by HTTP: who makes it, until when, and what becomes of it."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from google.protobuf.message import Message
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from ..core.errors import BadRequest
from ..core.events import Observe, Refused, Responded
from ..methods.service import AdaptationService
from ..wire.identity import SERVICE, Identity, Peer, set_caller
from ..wire.json_mapping import to_json
from ..wire.requests import strategy_name, trace_of
from ..wire.status import to_tta_error
from .bodies import BodyBudget, parse_body
from .problems import to_problem
from .routes import Route


class HttpContext:
    """What a method may know of a call by HTTP (`methods.context.Context`)."""

    def __init__(self, connection: HTTPConnection) -> None:
        self._headers, self._callbacks = connection.headers, list[Callable[[Any], None]]()
        self._deadline = _deadline(connection.headers.get("x-timeout-ms", ""))

    def time_remaining(self) -> float | None:
        """Seconds to the deadline of the header X-Timeout-Ms."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

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
        self.service, self.identity, self._budget, self._observe = service, identity, budget, observe

    async def answer(self, route: Route, request: Request) -> Response:
        """The method's reply as JSON, or the problem. A client that leaves cancels the method."""
        started, message = time.monotonic(), None
        try:
            set_caller(self.identity.check(SERVICE, route.method, peer_of(request)))
            context = HttpContext(request)
            async with self._budget.read(request) as body:
                message = await parse_body(route, request, body)
            try:
                method = getattr(self.service, route.method)
                reply = await until_disconnected(method(message, context), request)
            finally:
                context.end()
            response = Response(to_json(reply), media_type="application/json")
        except Exception as error:
            failure, trace = to_tta_error(error), trace_of(request.headers.items())
            session, id = getattr(message, "session_id", ""), getattr(message, "request_id", "")
            self._observe(Refused(failure, route.method, strategy_name(message), "", trace, id, session))
            response = to_problem(failure)
        self._observe(Responded(route.method, response.status_code, time.monotonic() - started))
        return response


async def until_disconnected(work: Awaitable[Message], request: Request) -> Message:
    """The result of `work`, which is cancelled when the client leaves. Raises CancelledError then."""
    task, left = asyncio.ensure_future(work), asyncio.ensure_future(_disconnect(request))
    try:
        await asyncio.wait((task, left), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
        return await task
    finally:
        task.cancel()
        left.cancel()


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def peer_of(connection: HTTPConnection) -> Peer:
    """What HTTP knows of the other end."""
    address = connection.client.host if connection.client else ""
    return Peer(address, dict(connection.headers.items()))


def _deadline(milliseconds: str) -> float | None:
    """Monotonic seconds. Raises `BadRequest`."""
    if not milliseconds:
        return None
    try:
        timeout = float(milliseconds)
    except ValueError:
        timeout = math.nan
    if not 0 < timeout < 1e9:
        raise BadRequest(f"{milliseconds[:20]!r} is no number of milliseconds", "X-Timeout-Ms")
    return time.monotonic() + timeout / 1000
