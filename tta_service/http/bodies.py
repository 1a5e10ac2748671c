"""Bodies of requests, counted before they are read, and what becomes of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

from google.protobuf.message import Message
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request

from ..core.errors import BadRequest, Overloaded, TooLarge
from ..wire.json_mapping import from_json, from_query, load_json
from ..wire.v1 import tta_pb2 as pb
from .routes import Route

SMALL = 64 << 10  # bytes that are parsed in the event loop, in less than a millisecond
SHORT = {"labels": "labels.label_set.names", "templates": "labels.label_set.templates", "labels_id": "labels.id",
         "strategy": "options.strategy.name", "reducer": "options.reduction.reducer.name"}  # fmt: skip
FILE_FIELDS = ("image", "file")


class BodyBudget:
    """The bytes of bodies that the server holds at a time, and the seconds that one may take to arrive."""

    def __init__(self, body_bytes: int, total_bytes: int, seconds: float) -> None:
        self.body_bytes, self._total, self._seconds, self.held = body_bytes, total_bytes, seconds, 0

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncGenerator[bytes]:
        """The whole body, which counts until the block ends. Raises `TooLarge`, `Overloaded`, `BadRequest`."""
        announced = request.headers.get("content-length")
        wanted = int(announced) if announced and announced.isdecimal() else self.body_bytes
        self._check(wanted)
        if self.held + wanted > self._total:
            busy = Overloaded("the bodies that this server reads now take all the memory that it has for them")
            busy.retry_after = 1.0
            raise busy
        self.held += wanted
        try:
            yield await self._receive(request)
        finally:
            self.held -= wanted

    async def _receive(self, request: Request) -> bytes:
        parts, size = list[bytes](), 0
        try:
            async with asyncio.timeout(self._seconds):
                async for part in request.stream():
                    size += len(part)
                    self._check(size)
                    parts.append(part)
        except TimeoutError:
            raise BadRequest(f"the body did not arrive within {self._seconds:g} s") from None
        return b"".join(parts)

    def _check(self, size: int) -> None:
        if size > self.body_bytes:
            raise TooLarge(f"the body has {size} bytes or more, at most {self.body_bytes} are allowed")


async def parse_body(route: Route, request: Request, body: bytes) -> Message:
    """The message of a request, from its path, its query and its body. Raises `BadRequest` that names the field."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    given = _long_names(dict(request.query_params)) | dict(request.path_params)
    if route.method == "Classify" and kind == "multipart/form-data":
        return await _from_form(request, body, given)
    if route.method == "Classify" and (kind.startswith("image/") or kind == "application/octet-stream"):
        message = from_query(pb.ClassifyRequest, given)
        message.image.encoded = body
        return message
    if not route.body:
        return from_query(route.request, given)
    if kind not in ("application/json", ""):
        raise BadRequest(f"a body of type {kind[:60]!r} is not taken here; send application/json")
    if len(body) <= SMALL:
        return _from_body(route, body, given)
    return await asyncio.to_thread(_from_body, route, body, given)


def _from_body(route: Route, body: bytes, given: dict[str, str]) -> Message:
    value = load_json(body or b"{}")
    named = given.pop("session_id") if route.body == "snapshot" else ""
    if named and isinstance(value, dict) and cast(Any, value).get("session_id") != named:
        raise BadRequest("the snapshot is of another session than the path", "snapshot.session_id")
    message = from_json(route.request, value if route.body == "*" else {route.body: value})
    message.MergeFrom(from_query(route.request, given))
    return message


async def _from_form(request: Request, body: bytes, given: dict[str, str]) -> pb.ClassifyRequest:
    """A form has a file `image`, `options` and `labels` as JSON or words, and other fields by dotted path."""
    replay = Request(request.scope, _replay(body))
    try:
        form = await replay.form(max_files=1, max_fields=64, max_part_size=1 << 20)
    except (MultiPartException, ClientDisconnect) as error:
        raise BadRequest(f"this is no form: {getattr(error, 'message', error)}") from None
    image, value = b"", dict[str, Any]()
    try:
        for name, part in form.multi_items():
            if isinstance(part, UploadFile):
                if name not in FILE_FIELDS:
                    raise BadRequest("a file is taken as `image` only", name)
                image = await part.read()
            elif part.lstrip().startswith("{"):
                value[name] = load_json(part)
            else:
                given[name] = f"{given[name]},{part}" if name in given else part
    finally:
        await form.close()
    message = from_json(pb.ClassifyRequest, value)
    message.MergeFrom(from_query(pb.ClassifyRequest, _long_names(given)))
    message.image.encoded = image
    return message


def _long_names(given: Mapping[str, str]) -> dict[str, str]:
    return {SHORT.get(name, name): text for name, text in given.items()}


def _replay(body: bytes) -> Any:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
