"""JSON with pictures in it, read in steps so short that other threads are not kept waiting.

Python's JSON and base64 hold the interpreter while they read: for 8 MB, 30 ms and more. So long texts without escapes
are taken out first and decoded in pieces.
"""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from .base64_text import decode_base64
from .json_mapping import M, from_json
from .json_text import load_json
from .v1 import tta_pb2 as pb

LONG = 64 << 10  # characters of a text that is taken out
NAMES = {
    name.encode()
    for message in pb.DESCRIPTOR.message_types_by_name.values()
    for field in message.fields
    for name in (field.name, field.json_name)
    if field.type == FieldDescriptor.TYPE_BYTES
}
KEY = re.compile(rb'"(\w+)"\s*:\s*$')
MARK = secrets.token_bytes(16)  # what stands in a field of bytes until it is filled; no caller knows it


def parse_large(kind: type[M], text: bytes, part: str = "") -> M:
    """The message in a JSON text, as `json_mapping.parse_json`. The text may hold its field `part` alone."""
    taken = list[bytes]()
    value = load_json(b"".join(_take_out(text, taken)))
    message = from_json(kind, {part: value} if part and not (isinstance(value, dict) and part in value) else value)
    if taken:
        _fill(message, taken, "")
    return message


def _take_out(text: bytes, taken: list[bytes]) -> Iterator[bytes]:
    """The text with a mark in place of each long string, which goes to `taken`."""
    begin = 0
    while len(text) - begin > LONG:
        start = text.find(b'"', begin)
        end = text.find(b'"', start + 1) if start >= 0 else -1
        if end < 0:
            break
        if text[end - 1 : end] == b"\\":  # an escaped quote: no base64, so the plain reader may have all that follows
            break
        key = KEY.search(text[max(0, start - 80) : start]) if end - start > LONG else None
        if key and key[1] in NAMES:
            yield text[begin : start + 1] + base64.b64encode(MARK + str(len(taken)).encode()) + b'"'
            taken.append(text[start + 1 : end])
        else:
            yield text[begin : end + 1]
        begin = end + 1
    yield text[begin:]


def _fill(message: Any, taken: list[bytes], path: str) -> None:
    for field, value in message.ListFields():
        here, values = f"{path}.{field.name}".lstrip("."), value if field.is_repeated else (value,)
        if field.message_type is not None and not field.message_type.GetOptions().map_entry:
            for place, inner in enumerate(values):
                _fill(inner, taken, f"{here}[{place}]" if field.is_repeated else here)
        elif field.type == FieldDescriptor.TYPE_BYTES and not field.is_repeated and value.startswith(MARK):
            setattr(message, field.name, decode_base64(taken[int(value[len(MARK) :])], here, escaped=True))
