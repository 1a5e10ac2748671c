"""Messages of gRPC's calls: received, and decoded from bytes that nobody has checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import grpc
from google.protobuf.message import DecodeError

from ..core.errors import BadRequest
from ..wire.structs import check_structs
from ..wire.v1 import tta_pb2 as pb

Kind = Literal["unary", "bidi_stream", "server_stream", "client_stream"]
Method = tuple[str, str, Kind]  # service, name and kind, as events say them
SERVICES: Mapping[str, Any] = {one.full_name: one for one in pb.DESCRIPTOR.services_by_name.values()}
WRONG_MESSAGE = "the bytes are not the message that this method takes"


async def receive_one(context: Any) -> bytes:
    """The message of a call that has one. Raises `BadRequest` when it ends without."""
    if (raw := await context.read()) is grpc.aio.EOF:  # pyright: ignore[reportAttributeAccessIssue]
        raise BadRequest("a call has a message, and none came")
    return raw


def decode(deserialize: Callable[[bytes], Any], raw: bytes, method: Method) -> Any:
    """The message in `raw`. Raises `BadRequest` for bytes that are not one, and for parameters without end."""
    if ours := SERVICES.get(method[0]):
        check_structs(ours.methods_by_name[method[1]].input_type, raw)
    try:
        return deserialize(raw)
    except DecodeError:
        raise BadRequest(WRONG_MESSAGE) from None
