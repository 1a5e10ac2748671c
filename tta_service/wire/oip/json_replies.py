"""Replies as JSON in this protocol's form, which is not protobuf's."""

from __future__ import annotations

import json
from typing import Any

from google.protobuf.message import Message


def to_plain(message: Message) -> dict[str, Any]:
    """The message as JSON in this protocol's form, where 64-bit numbers are numbers."""
    fields = [field for field in message.DESCRIPTOR.fields if not field.has_presence or message.HasField(field.name)]
    return {field.name: _plain(field, getattr(message, field.name)) for field in fields}


def dump(value: Any) -> bytes:
    """JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _plain(field: Any, value: Any) -> Any:
    if field.message_type and field.message_type.GetOptions().map_entry:
        return dict(value)
    return [_plain_one(field, one) for one in value] if field.is_repeated else _plain_one(field, value)


def _plain_one(field: Any, value: Any) -> Any:
    if field.message_type:
        return to_plain(value)
    return field.enum_type.values_by_number[value].name if field.enum_type else value
