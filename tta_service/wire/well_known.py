"""Protobuf's well-known types to and from plain Python values: Struct, Value, Duration, Timestamp."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from google.protobuf import duration_pb2, struct_pb2, timestamp_pb2


def from_struct(message: struct_pb2.Struct) -> dict[str, Any]:
    """A Struct as Python values. Unlike json_format it lets NaN through, so that the catalogue can refuse it."""
    return {name: _from_value(value) for name, value in message.fields.items()}


def to_struct(values: Mapping[str, Any]) -> struct_pb2.Struct:
    """Plain values and mappings of them as a Struct. Values that are not finite are left out: JSON has none."""
    finite = {name: value for name, value in values.items() if not isinstance(value, float) or math.isfinite(value)}
    return struct_pb2.Struct(fields={name: to_value(value) for name, value in finite.items()})


def to_value(value: bool | int | float | str | Mapping[str, Any]) -> struct_pb2.Value:
    """A plain value or mapping as a Value."""
    if isinstance(value, Mapping):
        return struct_pb2.Value(struct_value=to_struct(value))
    if isinstance(value, bool):
        return struct_pb2.Value(bool_value=value)
    if isinstance(value, str):
        return struct_pb2.Value(string_value=value)
    return struct_pb2.Value(number_value=value)


def to_duration(seconds: float) -> duration_pb2.Duration:
    """Seconds as a Duration."""
    message = duration_pb2.Duration()
    message.FromNanoseconds(int(seconds * 1e9))
    return message


def to_timestamp(seconds: float) -> timestamp_pb2.Timestamp:
    """Unix seconds as a Timestamp, from which the same number can be had again."""
    message, whole = timestamp_pb2.Timestamp(), int(seconds)
    message.FromNanoseconds(whole * 10**9 + round((seconds - whole) * 1e9))
    return message


def _from_value(value: struct_pb2.Value) -> Any:
    match value.WhichOneof("kind"):
        case "struct_value":
            return from_struct(value.struct_value)
        case "list_value":
            return [_from_value(item) for item in value.list_value.values]
        case "null_value" | None:
            return None
        case kind:
            return getattr(value, kind)
