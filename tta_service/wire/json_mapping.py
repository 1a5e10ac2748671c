"""Protobuf's JSON mapping (https://protobuf.dev/programming-guides/json), with errors that name the field."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn, TypeVar, cast

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from ..core.errors import BadRequest

Query = dict[str, list[str]]  # values of a URL's query or of a form, by dotted path
M = TypeVar("M", bound=Message)
DEPTH = 32  # of nested messages; ours have six, and parameters a few of their own
UNKNOWN = re.compile(r'has no field named "([^"]*)" at "\w+\.?([^"]*)"')
PARENT = re.compile(r"Failed to parse (\w+) field: ")
PLACE = re.compile(r' at "?\w+\.([\w.\[\]]*\w)"?')


def parse_json(kind: type[M], text: bytes | str) -> M:
    """The message in a JSON text. Raises `BadRequest` for a text that is not one."""
    return from_json(kind, load_json(text))


def load_json(text: bytes | str) -> Any:
    """The value in a JSON text. Raises `BadRequest`; NaN and Infinity are no JSON."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise BadRequest("this JSON is nested too deeply") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise BadRequest(f"this is not JSON: {error}") from None


def from_json(kind: type[M], value: Any) -> M:
    """The message that a JSON value maps to. Raises `BadRequest` that names the field."""
    if not isinstance(value, dict):
        raise BadRequest("a JSON object is needed")
    try:
        return json_format.ParseDict(cast(Any, value), kind(), max_recursion_depth=DEPTH)
    except json_format.ParseError as error:
        raise _to_bad_request(str(error)) from None
    except RecursionError:
        raise BadRequest("this JSON is nested too deeply") from None


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
            descriptor, inner = found.message_type, inner.setdefault(parent, {})
        field = descriptor.fields_by_name.get(name)
        if field is None:
            raise BadRequest("there is no such parameter", path)
        inner[name] = _from_texts(field, texts, path)
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


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _to_bad_request(sentence: str) -> BadRequest:
    """json_format's sentence, with the path of the field taken out of it."""
    first = sentence.splitlines()[0]
    if unknown := UNKNOWN.search(first):
        name, parent = unknown.groups()
        return BadRequest("there is no such field", f"{parent}.{name}".lstrip("."))
    path = ".".join(PARENT.findall(first))
    words = PLACE.sub("", PARENT.sub("", first))
    place = next((match[1] for match in PLACE.finditer(first)), "")  # of the innermost message that is at fault
    return BadRequest(words.strip(" ."), place if len(place) > len(path) else path)
