"""The size of free-form values, found in the bytes of a message before it is parsed.

A parsed `google.protobuf.Struct` takes hundreds of times its bytes. What messages look like on the wire:
https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from google.protobuf.descriptor import Descriptor

from ..core.errors import BadRequest

STRUCT = "google.protobuf.Struct"
MOST_BYTES, MOST_FIELDS = 64 << 10, 100_000  # of all Structs of a message; that are looked at to find them
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5


def check_structs(kind: Descriptor, raw: bytes) -> None:
    """Raises `BadRequest` that names the field where the message's Structs exceed `MOST_BYTES`.

    Linear in the fields outside of them. Bytes that are no message are left to the parser.
    """
    if len(raw) <= MOST_BYTES or not _holders(kind):
        return
    waiting, left, fields = [(kind, 0, len(raw), "")], MOST_BYTES, MOST_FIELDS
    try:
        while waiting:
            here, place, end, path = waiting.pop()
            inner = _holders(here)
            while place < end:
                if (fields := fields - 1) < 0:
                    raise BadRequest(f"this message has more than {MOST_FIELDS} fields")
                tag, place = _varint(raw, place)
                size, place = _payload(raw, place, tag & 7)
                if tag & 7 == LENGTH and (found := inner.get(tag >> 3)):
                    name, message = found
                    name = f"{path}.{name}".lstrip(".")
                    if message.full_name != STRUCT:
                        waiting.append((message, place, min(place + size, end), name))
                    elif (left := left - size) < 0:
                        raise BadRequest(f"parameters may take {MOST_BYTES} bytes in one message", name)
                place += size
    except IndexError:  # cut off within a number
        return


@lru_cache(None)
def _holders(kind: Descriptor) -> Mapping[int, tuple[str, Descriptor]]:
    """The fields that are Structs or may hold one, by number. Ours do not nest in themselves."""
    fields = [(field, field.message_type) for field in kind.fields]
    return {
        field.number: (field.name, inner)
        for field, inner in fields
        if inner is not None and (inner.full_name == STRUCT or _holders(inner))
    }


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
