"""The size of free-form values, found in the bytes of a message before it is parsed.

A parsed `google.protobuf.Struct` takes hundreds of times its bytes. What messages look like on the wire:
https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, cast

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from ..core.errors import BadRequest
from ..core.parameters import shorten

STRUCT = "google.protobuf.Struct"
MOST_BYTES = 64 << 10  # of all Structs of a message
MOST_FIELDS = {False: 1000, True: 50_000}  # that are looked at to find them; by whether lists are among them
FEWEST = 4  # bytes of a value within another one
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5


def check_structs(kind: Descriptor, raw: bytes) -> None:
    """Raises `BadRequest` that names the field where the message's Structs exceed `MOST_BYTES`.

    Linear in the fields outside of them. Bytes that are no message are left to the parser.
    """
    if len(raw) <= MOST_BYTES or not _holders(kind):
        return
    waiting, left, most = [(kind, 0, len(raw), "")], MOST_BYTES, MOST_FIELDS[_has_lists(kind)]
    fields = most
    try:
        while waiting:
            here, place, end, path = waiting.pop()
            inner = _holders(here)
            while place < end:
                if (fields := fields - 1) < 0:
                    raise BadRequest(f"this message has more than {most} fields")
                tag, place = _varint(raw, place)
                size, place = _payload(raw, place, tag & 7)
                if tag & 7 == LENGTH and (found := inner.get(tag >> 3)):
                    name, message = found
                    name = f"{path}.{name}".lstrip(".")
                    if message.full_name != STRUCT:
                        waiting.append((message, place, min(place + size, end), name))
                    else:
                        left = _take(left, size, name)
                place += size
    except IndexError:  # cut off within a number
        return


def check_json_struct(value: Any, path: str) -> None:
    """Raises `BadRequest` for a JSON value that no Struct holds, or that is certain to exceed `MOST_BYTES` as one."""
    waiting, left = [value], MOST_BYTES
    while waiting:
        here: Any = waiting.pop()
        if isinstance(here, dict | list):
            inner = cast("dict[str, Any] | list[Any]", here)
            left = _take(left, FEWEST * len(inner), path)
            waiting += inner.values() if isinstance(inner, dict) else inner
        elif isinstance(here, int) and abs(here) > sys.float_info.max:
            raise BadRequest(f"{shorten(here)} is too large for a number of 64 bits", path)


def check_parsed_structs(message: Message) -> None:
    """Raises `BadRequest` as `check_structs` does, for a message that was made of JSON."""
    waiting, left = [(message, "")], MOST_BYTES
    while waiting:
        here, path = waiting.pop()
        for number, value in here.ListFields():
            if found := _holders(here.DESCRIPTOR).get(number.number):
                name = f"{path}.{found[0]}".lstrip(".")
                for each in value if number.is_repeated else (value,):
                    if found[1].full_name == STRUCT:
                        left = _take(left, each.ByteSize(), name)
                    else:
                        waiting.append((each, name))


def _take(left: int, size: int, path: str) -> int:
    if left < size:
        raise BadRequest(f"parameters may take {MOST_BYTES} bytes in one message", path)
    return left - size


@lru_cache(None)
def _holders(kind: Descriptor) -> Mapping[int, tuple[str, Descriptor]]:
    """The fields that are Structs or may hold one, by number. Ours do not nest in themselves."""
    fields = [(field, field.message_type) for field in kind.fields]
    return {
        field.number: (field.name, inner)
        for field, inner in fields
        if inner is not None and (inner.full_name == STRUCT or _holders(inner))
    }


@lru_cache(None)
def _has_lists(kind: Descriptor) -> bool:
    """Whether fields on the way to its Structs are repeated."""
    fields, holders = kind.fields_by_number, _holders(kind)
    return any(
        fields[number].is_repeated or (inner.full_name != STRUCT and _has_lists(inner))
        for number, (_, inner) in holders.items()
    )


def _payload(raw: bytes, place: int, form: int) -> tuple[int, int]:
    """The size of a field's value, and where it begins. Groups have none: their fields follow like others."""
    if form == VARINT:
        return 0, _varint(raw, place)[1]
    if form == LENGTH:
        return _varint(raw, place)
    return {FIXED64: 8, FIXED32: 4}.get(form, 0), place


def _varint(raw: bytes, place: int) -> tuple[int, int]:
    """The number that begins there, and where the next one does."""
    number = shift = 0
    while True:
        byte = raw[place]
        place += 1
        number |= (byte & 127) << shift
        if byte < 128 or shift >= 63:
            return number, place
        shift += 7
