"""Messages of protobuf as JSON schemas (https://protobuf.dev/programming-guides/json), with the proto's comments."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

REF = "#/components/schemas/"
PACKAGE = "tta.v1."
WHOLE = {
    FieldDescriptor.CPPTYPE_INT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.CPPTYPE_UINT32: {"type": "integer", "minimum": 0, "maximum": (1 << 32) - 1},
}
LONG = {"anyOf": [{"type": "string", "pattern": "^[0-9]+$"}, {"type": "integer", "minimum": 0}]}
UNBOUNDED = {"anyOf": [{"type": "number"}, {"enum": ["Infinity"]}]}
OWN_FORMS: dict[str, dict[str, Any]] = {  # of well-known types
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$", "examples": ["1.5s"]},
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Struct": {"type": "object"},
    "google.protobuf.Value": {},
    "google.rpc.Status": {
        "type": "object",
        "properties": {
            "code": {"type": "integer", "description": "of google.rpc.Code"},
            "message": {"type": "string"},
            "details": {"type": "array", "items": {"type": "object"}},
        },
    },
}
INFINITE = ("GetLessonSumsResponse.epsilon_given", "GetLessonSumsResponse.delta_given")  # reals that may be
NAME = re.compile(r"^(?:message|enum|service) (\w+)|rpc (\w+)|(\w+) = \d+;$")


def messages_in(roots: Iterable[Descriptor]) -> dict[str, Descriptor]:
    """The messages of our own that these are or hold, by name."""
    found: dict[str, Descriptor] = {}

    def visit(message: Descriptor) -> None:
        if message.full_name in OWN_FORMS or message.full_name in found:
            return
        found[message.full_name] = message
        for field in message.fields:
            if field.message_type is not None:
                visit(field.message_type)

    for root in roots:
        visit(root)
    return {name.removeprefix(PACKAGE): one for name, one in found.items() if not one.GetOptions().map_entry}


def schemas_of(
    asked: dict[str, Descriptor], answered: dict[str, Descriptor], comments: dict[str, str]
) -> dict[str, Any]:
    """Schemas by name. Requests refuse unknown fields; answers have every field that cannot be absent."""
    made = {}
    for name, message in (asked | answered).items():
        schema: dict[str, Any] = {"type": "object"}
        if name in comments:
            schema["description"] = comments[name]
        schema["properties"] = {field.name: field_of(field, comments) for field in message.fields}
        if name in asked:
            schema["additionalProperties"] = False
        elif required := [field.name for field in message.fields if not field.has_presence]:
            schema["required"] = required
        made[name] = schema
    return made


def field_of(field: FieldDescriptor, comments: dict[str, str]) -> dict[str, Any]:
    name = field.full_name.removeprefix(PACKAGE)
    inner = scalar_of(field) if field.message_type is None else value_of(field.message_type)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        held = field.message_type.fields_by_name["value"]
        schema = {"type": "object", "additionalProperties": field_of(held, {})}
    elif field.is_repeated:
        schema = {"type": "array", "items": inner}
    else:
        schema = UNBOUNDED if name in INFINITE else inner
    said = [comments[name]] if name in comments else []
    if field.enum_type is not None:
        said += enum_comments(field.enum_type, comments)
    others = [one.name for one in field.containing_oneof.fields if one is not field] if field.containing_oneof else []
    if others:
        said.append(f"Excludes {', '.join(others)}.")
    return {**schema, "description": "\n".join(said)} if said else schema


def value_of(message: Descriptor) -> dict[str, Any]:
    own = OWN_FORMS.get(message.full_name)
    return {"$ref": REF + message.full_name.removeprefix(PACKAGE)} if own is None else own


def scalar_of(field: FieldDescriptor) -> dict[str, Any]:
    """The schema of one value that is no message."""
    if field.enum_type is not None:
        return {"type": "string", "enum": [value.name for value in field.enum_type.values]}
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return {"type": "boolean"}
    if kind == FieldDescriptor.CPPTYPE_STRING:
        return {"type": "string"} | ({"contentEncoding": "base64"} if field.type == FieldDescriptor.TYPE_BYTES else {})
    return WHOLE.get(kind) or (LONG if kind == FieldDescriptor.CPPTYPE_UINT64 else {"type": "number"})


def enum_comments(enum: EnumDescriptor, comments: dict[str, str]) -> list[str]:
    prefix = enum.full_name.removeprefix(PACKAGE)
    return [f"`{one.name}`: {said}" for one in enum.values if (said := comments.get(f"{prefix}.{one.name}"))]


def comments_of(source: str) -> dict[str, str]:
    """What a proto says about messages, fields, values and methods, by name without the package.

    A comment is above what it is about, or beside it and goes on below, further to the right.
    """
    found: dict[str, str] = {}
    scopes, above, last = list[str](), list[str](), ""  # what is open, lines that wait, the last name
    for line in source.splitlines():
        code, _, comment = (part.strip() for part in line.partition("//"))
        if not code and comment and last and line.index("/") > 2 * len(scopes) + 4:
            found[last] = f"{found.get(last, '')} {comment}".strip()
            continue
        if not code:
            above = [*above, comment] if comment else []
            continue
        named = NAME.search(code)
        opens, closes = code.count("{"), code.count("}")
        if named:
            last = ".".join([*filter(None, scopes), next(filter(None, named.groups()))])
            if said := " ".join([*above, *([comment] if comment else [])]):
                found[last] = said
        scopes.extend([last.rpartition(".")[2] if named else ""] * (opens > closes))
        if closes > opens:
            scopes.pop()
        above = []
    return found
