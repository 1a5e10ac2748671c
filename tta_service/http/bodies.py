"""Bodies of requests, counted before they are read, and what becomes of them."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from functools import partial
from typing import Any, cast

from google.protobuf.message import Message
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import File, create_form_parser
from starlette.requests import Request

from ..core.errors import BadRequest, TooLarge
from ..methods.uploads import UploadBudget
from ..wire.identity import current_caller
from ..wire.json_mapping import Query, from_json, from_query
from ..wire.json_text import load_json
from ..wire.large_json import parse_large
from ..wire.v1 import tta_pb2 as pb
from .routes import Route

SMALL = 64 << 10  # bytes that are parsed in the event loop, in less than a millisecond
FIELDS = 64  # of one form
SHORT = {"labels": "labels.label_set.names", "templates": "labels.label_set.templates", "labels_id": "labels.id",
         "strategy": "options.strategy.name", "reducer": "options.reduction.reducer.name"}  # fmt: skip
CHOICES = ("strategy", "reducer")  # a name, or a name with parameters
FILE_FIELDS = ("image", "file")


class BodyBudget:
    """The bytes of bodies that the server holds at a time, and the seconds that one may take to arrive.

    One client has `share` of them. A body for which there is no room is refused at once.
    """

    def __init__(self, body_bytes: int, total_bytes: int, seconds: float, share: float = 1.0) -> None:
        self.body_bytes = body_bytes
        self._uploads = UploadBudget(body_bytes, total_bytes, share, seconds, waits=False)

    @property
    def held(self) -> int:
        """Bytes of the bodies that are read or answered now."""
        return self._uploads.bytes

    def read(self, request: Request) -> AbstractAsyncContextManager[bytes]:
        """The whole body, which counts until the block ends. Raises `TooLarge`, `Overloaded`, `BadRequest`."""
        announced = request.headers.get("content-length")
        chunked = "transfer-encoding" in request.headers
        most = int(announced) if announced and announced.isdecimal() else self.body_bytes if chunked else 0
        self._check(most)
        return self._uploads.read(current_caller().client, partial(self._receive, request), most)

    def hold(self, size: int) -> AbstractContextManager[None]:
        """Counts so many bytes until the block ends. Raises `Overloaded`."""
        return self._uploads.hold(current_caller().client, size)

    async def _receive(self, request: Request) -> bytes:
        parts, size = list[bytes](), 0
        async for part in request.stream():
            size += len(part)
            self._check(size)
            parts.append(part)
        return b"".join(parts)

    def _check(self, size: int) -> None:
        if size > self.body_bytes:
            raise TooLarge(f"the body has {size} bytes or more, at most {self.body_bytes} are allowed")


async def parse_body(route: Route, request: Request, body: bytes) -> Message:
    """The message of a request, from its path, its query and its body. Raises `BadRequest` that names the field."""
    parse = _parser(route, request)
    if route.body and not body and not request.query_params:
        raise BadRequest("the body is empty; a JSON object is needed")
    message = parse(body) if len(body) <= SMALL else await asyncio.to_thread(parse, body)
    for name, value in request.path_params.items():
        if name not in route.request.DESCRIPTOR.fields_by_name:
            continue  # it is inside the snapshot
        if getattr(message, name) not in ("", value):
            raise BadRequest(f"the path names {value}", name)
        setattr(message, name, value)
    return message


def _parser(route: Route, request: Request) -> Callable[[bytes], Message]:
    """What makes a message of a body of that type."""
    given: Query = {}
    for name, text in request.query_params.multi_items():
        given.setdefault(_long(name), []).append(text)
    content_type = request.headers.get("content-type", "")
    kind = content_type.partition(";")[0].strip().lower()
    if route.method == "Classify" and kind == "multipart/form-data":
        return partial(_from_form, content_type, given)
    if route.method == "Classify" and (kind.startswith("image/") or kind == "application/octet-stream"):
        return partial(_from_picture, given)
    if not route.body:
        message = from_query(route.request, given)
        return lambda body: message
    if kind not in ("application/json", ""):
        raise BadRequest(f"a body of type {kind[:60]!r} is not taken here; send application/json")
    return partial(_from_body, route, request, given)


def _from_body(route: Route, request: Request, given: Query, body: bytes) -> Message:
    message = parse_large(route.request, body or b"{}", route.body.strip("*"))
    named = request.path_params.get("session_id")
    if route.body == "snapshot" and cast(Any, message).snapshot.session_id != named:
        raise BadRequest("the snapshot is of another session than the path", "snapshot.session_id")
    message.MergeFrom(from_query(route.request, given))
    return message


def _from_picture(given: Query, body: bytes) -> pb.ClassifyRequest:
    message = from_query(pb.ClassifyRequest, given)
    message.image.encoded = body
    return message


def _from_form(content_type: str, given: Query, body: bytes) -> pb.ClassifyRequest:
    """A form has a file `image`, `options` and `labels` as JSON or words, and other fields by dotted path."""
    pictures, value = list[bytes](), dict[str, Any]()

    def take_field(field: Any) -> None:
        name, text = _text(field.field_name), _text(field.value)
        if text.lstrip().startswith("{"):
            _place(value, name, load_json(text, name))
        else:
            given.setdefault(_long(name), []).append(text)
        if len(value) + len(given) > FIELDS:
            raise BadRequest(f"a form has at most {FIELDS} fields")

    def take_file(file: File) -> None:
        name = _text(file.field_name)
        if name not in FILE_FIELDS or pictures:
            raise BadRequest("one file is taken, as `image`", name)
        cast(io.BytesIO, file.file_object).seek(0)
        pictures.append(file.file_object.read())

    headers = {"Content-Type": content_type.encode()}
    try:
        parser = create_form_parser(headers, take_field, take_file, config={"MAX_MEMORY_FILE_SIZE": len(body) + 1})  # type: ignore[arg-type]
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise BadRequest(f"this is no form: {error}") from None
    message = from_json(pb.ClassifyRequest, value)
    message.MergeFrom(from_query(pb.ClassifyRequest, given))
    message.image.encoded = b"".join(pictures)
    return message


def _long(name: str) -> str:
    """The path of a field that has a short name, or of what is inside `strategy` and `reducer`."""
    head, dot, rest = name.partition(".")
    if dot and head in CHOICES:
        return SHORT[head].removesuffix("name") + rest
    return SHORT.get(name, name)


def _place(value: dict[str, Any], name: str, item: Any) -> None:
    """Puts the JSON of a form's field where its path says. Raises `BadRequest` where something is already."""
    *parents, last = (SHORT[name].removesuffix(".name") if name in CHOICES else name).split(".")
    for parent in parents:
        value = value.setdefault(parent, {})
    if last in value:
        raise BadRequest("this, or a part of it, is given too", name)
    value[last] = item


def _text(given: bytes | None) -> str:
    try:
        return (given or b"").decode()
    except UnicodeDecodeError:
        raise BadRequest("a form's fields are UTF-8") from None
