"""Protobuf's JSON mapping (https://protobuf.dev/programming-guides/json), with errors that name the field."""

from __future__ import annotations

import json
import math
from typing import Any, TypeVar, cast

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from ..core.errors import BadRequest
from ..core.parameters import SPELLINGS
from .base64_text import decode_base64
from .json_text import load_json
from .structs import check_json_struct, check_parsed_structs

Query = dict[str, list[str]]  # values of a URL's query or of a form, by dotted path
M = TypeVar("M", bound=Message)
DEPTH = 32  # of nested messages; ours have six, and parameters a few of their own
OWN_FORM = "google.protobuf."  # well-known types, each with a form of its own in JSON
WHOLE = {  # the numbers of each kind of field
    FieldDescriptor.CPPTYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, (1 << 32) - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, (1 << 64) - 1),
}
REALS = FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE


def parse_json(kind: type[M], text: bytes | str) -> M:
    """The message in a JSON text. Raises `BadRequest` for a text that is not one."""
    return from_json(kind, load_json(text))


def from_json(kind: type[M], value: Any) -> M:
    """The message that a JSON value maps to. Raises `BadRequest` that names the field."""
    try:
        _check_message(kind.DESCRIPTOR, value, "")
        message = json_format.ParseDict(value, kind(), max_recursion_depth=DEPTH)
    except json_format.ParseError as error:  # of a well-known type, or a text with half a character
        raise BadRequest(str(error).splitlines()[0].rstrip(".")) from None
    except RecursionError:
        raise BadRequest("this JSON is nested too deeply") from None
    check_parsed_structs(message)
    return message


def from_query(kind: type[M], given: Query) -> M:
    """The message whose fields a URL's query names, by dotted path. Raises `BadRequest` that names the field."""
    value: dict[str, Any] = {}
    for path, texts in given.items():
        *parents, name = path.split(".")
        descriptor, inner = kind.DESCRIPTOR, value
        for parent in parents:
            found = descriptor.fields_by_name.get(parent)
            if found is None or found.message_type is None:
                raise BadRequest("there is no such parameter", path)
            part: Any = inner.setdefault(parent, {})
            if not isinstance(part, dict):
                raise BadRequest(f"{parent} is given as a whole too", path)
            descriptor, inner = found.message_type, cast("dict[str, Any]", part)
        free = descriptor.full_name == f"{OWN_FORM}Struct"
        field = descriptor.fields_by_name.get(name)
        if field is None and not free:
            raise BadRequest("there is no such parameter", path)
        if name in inner:
            raise BadRequest("a part of it is given too", path)
        inner[name] = _from_words(texts, path) if free else _from_texts(field, texts, path)
    return from_json(kind, value)


def to_json(message: Message) -> bytes:
    """The message as JSON, with the field names of the proto."""
    value = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _from_texts(field: Any, texts: list[str], path: str) -> Any:
    """A list has its elements one by one, or one text with commas between them."""
    if field.is_repeated:
        return texts[0].split(",") if len(texts) == 1 else texts
    if len(texts) > 1:
        raise BadRequest("this is given more than once", path)
    (text,) = texts
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        if text not in ("true", "false"):
            raise BadRequest(f"{text[:60]!r} is neither true nor false", path)
        return text == "true"
    return text


def _from_words(texts: list[str], path: str) -> Any:
    """A value of a Struct: as `parse_value`, but JSON is read by the rules of messages."""
    if len(texts) > 1:
        raise BadRequest("this is given more than once", path)
    try:
        return load_json(texts[0], path)
    except BadRequest:
        return SPELLINGS.get(texts[0], texts[0])


def _check_message(descriptor: Any, value: Any, path: str) -> None:
    """Raises `BadRequest` for a value that does not map to a message of that kind."""
    if descriptor.full_name.startswith(OWN_FORM):
        return check_json_struct(value, path)
    if not isinstance(value, dict):
        raise BadRequest("a JSON object is needed", path)
    chosen = dict[str, str]()  # by oneof
    for name, item in cast("dict[str, Any]", value).items():
        field = descriptor.fields_by_name.get(name) or descriptor.fields_by_camelcase_name.get(name)
        where = f"{path}.{field.name if field else name[:60]}".lstrip(".")
        if field is None:
            raise BadRequest("there is no such field", where)
        if item is None:  # as good as absent
            continue
        if (
            field.containing_oneof
            and (other := chosen.setdefault(field.containing_oneof.name, field.name)) != field.name
        ):
            raise BadRequest(f"{other} and {field.name} exclude each other", path)
        _check_field(field, item, where)


def _check_field(field: Any, value: Any, path: str) -> None:
    if not field.is_repeated:
        return _check_value(field, value, path)
    if field.message_type and field.message_type.GetOptions().map_entry:
        if not isinstance(value, dict):
            raise BadRequest("a JSON object is needed", path)
        return None
    if not isinstance(value, list):
        raise BadRequest("a list is needed", path)
    for place, item in enumerate(cast("list[Any]", value)):
        _check_value(field, item, f"{path}[{place}]")
    return None


def _check_value(field: Any, value: Any, path: str) -> None:
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_MESSAGE:
        _check_message(field.message_type, value, path)
    elif kind == FieldDescriptor.CPPTYPE_ENUM:
        names = list(field.enum_type.values_by_name)
        if value not in (names if isinstance(value, str) else list(field.enum_type.values_by_number)):
            raise BadRequest(f"{value!r:.60} is none of {', '.join(names)}", path)
    elif kind == FieldDescriptor.CPPTYPE_BOOL:
        if not isinstance(value, bool):
            raise BadRequest(f"{value!r:.60} is neither true nor false", path)
    elif kind == FieldDescriptor.CPPTYPE_STRING:
        if not isinstance(value, str):
            what = "base64" if field.type == FieldDescriptor.TYPE_BYTES else "a text"
            raise BadRequest(f"{what} is needed, not {value!r:.60}", path)
        if field.type == FieldDescriptor.TYPE_BYTES:
            decode_base64(value, path)  # json_format would pass over other characters in silence
    else:
        _check_number(kind, value, path)


def _check_number(kind: int, value: Any, path: str) -> None:
    """Texts stand for numbers too, since JavaScript's have 53 bits."""
    if kind in REALS:
        if not math.isfinite(_to_number(float, value)):
            raise BadRequest(f"{value!r:.60} is no number", path)
        return
    least, most = WHOLE[kind]
    number = _to_number(int if isinstance(value, int | str) else float, value)
    if not least <= number <= most or number % 1:
        raise BadRequest(f"{value!r:.60} is no whole number from {least} to {most}", path)


def _to_number(kind: type[int] | type[float], value: Any) -> float:
    """NaN for what is no number."""
    try:
        return math.nan if isinstance(value, bool) else kind(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
