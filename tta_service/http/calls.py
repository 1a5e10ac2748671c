"""One call of a method by HTTP: who makes it, until when, and what becomes of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from google.protobuf.message import Message
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import Response

from ..core.errors import BadRequest, DeadlineTooShort, TTAError
from ..core.events import Observe, Refused, Responded
from ..methods.service import AdaptationService
from ..wire.identity import SERVICE, Identity, Peer, current_owner
from ..wire.json_mapping import to_json
from ..wire.oip.requests import facts_of
from ..wire.requests import trace_of
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


class CallRunner:
    """Runs calls of a service's methods: asks who makes them, reports them, and gives errors the form of `refuse`."""

    def __init__(
        self, service: str, identity: Identity, observe: Observe, refuse: Callable[[TTAError], Response]
    ) -> None:
        self._service, self._identity, self._observe, self._refuse = service, identity, observe, refuse

    async def run(
        self, method: str, request: Request, work: Callable[[HttpContext, list[Message]], Awaitable[Response]]
    ) -> Response:
        """The response that `work` makes, or the error's. `work` adds the message to the list once it is read."""
        started, context, found = time.monotonic(), HttpContext(request), list[Message]()
        try:
            self._identity.check(self._service, method, peer_of(request))
            response = await work(context, found)
        except (ClientLeft, ClientDisconnect):  # during the answer, or before the body was whole
            response = Response(status_code=LEFT)
        except Exception as error:
            failure, trace = to_tta_error(error), trace_of(context.invocation_metadata())
            strategy, id, session = facts_of(found[0] if found else None)
            self._observe(Refused(failure, method, strategy, "", trace, id, session, None, current_owner()))
            response = self._refuse(failure)
        finally:
            context.end()
        self._observe(Responded(method, response.status_code, time.monotonic() - started))
        return response


class Calls:
    """Answers requests with the methods of the service."""

    def __init__(self, service: AdaptationService, identity: Identity, budget: BodyBudget, observe: Observe) -> None:
        self._service, self._budget = service, budget
        self._runner = CallRunner(SERVICE, identity, observe, to_problem)

    async def answer(self, route: Route, request: Request) -> Response:
        """The method's reply as JSON, or the problem. A client that leaves cancels the method."""

        async def work(context: HttpContext, found: list[Message]) -> Response:
            async with self._budget.read(request) as body:
                found.append(await parse_body(route, request, body))
                del body
                method, seconds = getattr(self._service, route.method), context.time_remaining()
                reply = await until_left(method(found[0], context), request, seconds)
            return Response(await _to_json(reply), media_type="application/json")

        return await self._runner.run(route.method, request, work)


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
