"""The stream of a camera by WebSocket: the same messages as by gRPC, in JSON, and pictures as bytes.

A browser cannot set headers of a WebSocket, so the message that opens the stream may hold the API key. A binary message
is a frame: four bytes, big-endian, with the length of its JSON; the JSON; the picture's file.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, cast

from starlette.websockets import WebSocket, WebSocketDisconnect

from ..core.errors import BadRequest, TTAError
from ..core.events import Observe, Refused, Responded
from ..methods.service import AdaptationService
from ..wire.identity import SERVICE, Caller, Identity, set_caller
from ..wire.json_mapping import from_json, to_json
from ..wire.json_text import load_json
from ..wire.requests import trace_of
from ..wire.status import to_tta_error
from ..wire.v1 import tta_pb2 as pb
from .bodies import SMALL
from .calls import HttpContext, peer_of
from .problems import describe

METHOD = "ClassifyStream"
ENDED, CLOSE = 1000, 4000  # close codes: the stream's own end, and 4000 + what HTTP's status would be
REASON = 123  # bytes that a close frame has for its sentence
Message = pb.ClassifyStreamRequest


class Streams:
    """Answers WebSockets with the method `ClassifyStream`."""

    def __init__(self, service: AdaptationService, identity: Identity, observe: Observe, first: float) -> None:
        """`first`: seconds for the message that opens a stream."""
        self._service, self._identity, self._observe, self._first = service, identity, observe, first

    async def answer(self, socket: WebSocket) -> None:
        """Replies until the client leaves or the stream ends; an error that ends it is a last message, `problem`."""
        began, context = time.monotonic(), HttpContext(socket)
        code, failure = 200, None
        await socket.accept()
        try:
            await self._run(socket, context)
            await socket.close(ENDED)
        except (WebSocketDisconnect, OSError):
            code = 499
        except Exception as error:
            failure = to_tta_error(error)
            code = describe(failure)["status"]
        finally:
            context.end()
        if failure:
            self._observe(Refused(failure, METHOD, "", trace=trace_of(context.invocation_metadata())))
            await _end(socket, failure)
        self._observe(Responded(METHOD, code, time.monotonic() - began))

    async def _run(self, socket: WebSocket, context: HttpContext) -> None:
        caller, opening = await self._open(socket)
        set_caller(caller)
        left = asyncio.Event()
        replies = self._service.ClassifyStream(self._messages(socket, opening, caller, left), context)
        task = asyncio.create_task(_send_all(replies, socket))
        leaving = asyncio.create_task(left.wait())
        try:
            await asyncio.wait((task, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise WebSocketDisconnect
            await task
        finally:
            leaving.cancel()
            task.cancel()
            await asyncio.wait((task,))
            await replies.aclose()  # type: ignore[attr-defined] # a generator

    async def _open(self, socket: WebSocket) -> tuple[Caller, Message]:
        try:
            async with asyncio.timeout(self._first):
                first = await _receive(socket)
        except TimeoutError:
            raise BadRequest(
                f"nothing came for {self._first:g} s; the first message opens the stream", "open"
            ) from None
        if not isinstance(first, str):
            raise BadRequest("the first message of a stream opens it", "open")
        value = await _load(first)
        token = cast(dict[str, Any], value).pop("token", None) if isinstance(value, dict) else None
        peer = peer_of(socket)
        if token is not None:
            if not isinstance(token, str):
                raise BadRequest("an API key is a text, ID.SECRET", "token")
            peer = replace(peer, headers={**peer.headers, "authorization": f"Bearer {token}"})
        return self._identity.check(SERVICE, METHOD, peer), await _map(first, value)

    async def _messages(
        self, socket: WebSocket, opening: Message, caller: Caller, left: asyncio.Event
    ) -> AsyncIterator[Message]:
        yield opening
        try:
            while (given := await _receive(socket)) != "":
                self._identity.recheck(caller)
                yield await _parse(given)
        except (WebSocketDisconnect, OSError):
            left.set()


async def _receive(socket: WebSocket) -> str | bytes:
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1005))
    given: str | None = message.get("text")
    return (message.get("bytes") or b"") if given is None else given


async def _parse(given: str | bytes) -> Message:
    if isinstance(given, str):
        return await _map(given, await _load(given))
    length = int.from_bytes(given[:4], "big")
    if len(given) < 4 + length:
        raise BadRequest(f"a binary message of {len(given)} bytes has no room for {length} bytes of JSON", "frame")
    if length > SMALL:
        raise BadRequest(f"{length} bytes of JSON before the picture; at most {SMALL} are allowed", "frame")
    message = from_json(Message, {"frame": load_json(given[4 : 4 + length] or b"{}", "frame")})
    message.frame.image.encoded = given[4 + length :]
    return message


async def _load(text: str) -> Any:
    return load_json(text) if len(text) <= SMALL else await asyncio.to_thread(load_json, text)


async def _map(text: str, value: Any) -> Message:
    return from_json(Message, value) if len(text) <= SMALL else await asyncio.to_thread(from_json, Message, value)


async def _send_all(replies: AsyncIterator[Any], socket: WebSocket) -> None:
    """Wait for the client before each reply, so that a slow one keeps back its own frames only."""
    async for reply in replies:
        await socket.send_text(to_json(reply).decode())


async def _end(socket: WebSocket, failure: TTAError) -> None:
    problem = describe(failure)
    if failure.retry_after is not None:
        problem["retry_after"] = failure.retry_after
    reason = problem["detail"].encode()[:REASON].decode(errors="ignore")
    try:
        await socket.send_text(json.dumps({"problem": problem}, ensure_ascii=False))
        await socket.close(CLOSE + problem["status"], reason)
    except (RuntimeError, OSError, WebSocketDisconnect):
        pass  # it has left
