"""Writes the OpenAPI document of the HTTP interface; `--check` proves the committed file equal.

`tta_service.http.routes` says which path is which method, the descriptors what messages hold, the comments of the proto
what that means, and `openapi_examples.json` has examples.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from openapi_schemas import REF, comments_of, messages_in, scalar_of, schemas_of

from tta_service.http.bodies import SHORT
from tta_service.http.problems import PROBLEM
from tta_service.http.routes import METHODS, ROUTES, Route

HERE = Path(__file__).resolve().parent
PROBLEM_RESPONSE = "#/components/responses/Problem"
OUT = HERE.parent / "tta_service/http/openapi.json"
EXAMPLES: dict[str, dict[str, Any]] = json.loads((HERE / "openapi_examples.json").read_text(encoding="utf-8"))
PICTURES = "image/jpeg", "image/png", "image/webp", "application/octet-stream"
COMMENTS = comments_of((HERE / "tta/v1/tta.proto").read_text(encoding="utf-8"))
ABOUT = """The methods of `AdaptationService` by HTTP, in protobuf's JSON mapping: names as in `tta.proto`, bytes in
base64, 64-bit numbers as texts; fields that are not given have their defaults, and unknown ones are refused.

Where the server has keys, `Authorization: Bearer ID.SECRET` shows one. The stream of a camera is a WebSocket at
`/v1/stream`, which OpenAPI cannot describe: see docs/http.md."""
TAGS = {
    "classify": "One picture, one answer.",
    "embed": "Pictures or texts to unit features.",
    "label-sets": "Names, templates and sentences, encoded once.",
    "strategies": "What may adapt.",
    "reducers": "What may leave tokens out.",
    "info": "What this server is.",
    "sessions": "What strategies carry from one picture to the next, and what people taught.",
    "groups": "Sessions that share their lessons.",
    "owners": "Who has sessions, lesson groups and label sets.",
    "server": "Whether it lives, whether it is ready, its numbers.",
}
PROBLEM_SCHEMA = {
    "type": "object",
    "description": "What is wrong (RFC 9457).",
    "required": ["title", "status", "detail"],
    "properties": {
        "title": {"type": "string", "description": "the name of the status"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "a sentence, the same as by gRPC"},
        "reason": {"type": "string", "description": "a word for programs"},
        "field": {"type": "string", "description": "the path of the field that is wrong"},
        "quota": {
            "type": "string",
            "description": "the setting that bounds what one client may have",
        },
    },
}


def main() -> int:
    text = json.dumps(document(), indent=1, ensure_ascii=False) + "\n"
    if "--check" not in sys.argv[1:]:
        OUT.write_text(text, encoding="utf-8")
    elif not OUT.is_file() or OUT.read_text(encoding="utf-8") != text:
        print(f"{OUT.relative_to(HERE.parent)} is not what protos/ generates: run `make proto`", file=sys.stderr)
        return 1
    return 0


def document() -> dict[str, Any]:
    """The whole document, OpenAPI 3.1."""
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.verb.lower()] = operation(route)
    asked = messages_in(route.request.DESCRIPTOR for route in ROUTES)
    answered = messages_in(route.response for route in ROUTES)
    schemas = schemas_of(asked, answered, COMMENTS) | {"Problem": PROBLEM_SCHEMA}
    wait = {"Retry-After": {"description": "seconds", "schema": {"type": "integer", "minimum": 1}}}
    wrong = {PROBLEM: {"schema": {"$ref": REF + "Problem"}, "example": EXAMPLES["Problem"]["response"]}}
    licence = {"name": "MIT", "identifier": "MIT"}
    return {
        "openapi": "3.1.0",
        "info": {"title": "tta-service", "version": "v1", "description": ABOUT, "license": licence},
        "servers": [{"url": "/"}],
        "security": [{}, {"key": []}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": dict(sorted(paths.items())) | server_paths(),
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "responses": {
                "Problem": {"description": "What is wrong, and with which field.", "content": wrong},
                "Busy": {"description": "Come back later, or send less.", "headers": wait, "content": wrong},
            },
            "parameters": {"Timeout": timeout()},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "an API key, ID.SECRET"}},
        },
    }  # fmt: skip


def operation(route: Route) -> dict[str, Any]:
    name = operation_id(route)
    examples, comment = EXAMPLES.get(route.method, {}), COMMENTS.get(f"AdaptationService.{route.method}", "")
    made: dict[str, Any] = {
        "operationId": name,
        "summary": summary_of(name),
        "tags": [route.path.split("/")[2]],
        "parameters": [*path_parameters(route), *query_parameters(route), {"$ref": "#/components/parameters/Timeout"}],
        "responses": {
            "200": {"description": "The answer.", "content": content(route.response.name, examples.get("response"))},
            "429": {"$ref": "#/components/responses/Busy"},
            "503": {"$ref": "#/components/responses/Busy"},
            "default": {"$ref": PROBLEM_RESPONSE},
        },
    }
    if comment:
        made["description"] = comment
    if route.body:
        made["requestBody"] = {"required": True, "content": body_of(route, examples.get("request"))}
    return made


def operation_id(route: Route) -> str:
    """The method's name; those of a group have a second path."""
    shared = sum(one.method == route.method for one in ROUTES) > 1
    return f"{route.method}OfGroup" if shared and "/groups/" in route.path else route.method


def summary_of(name: str) -> str:
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).split()
    return " ".join(words).capitalize()


def content(name: str, example: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"schema": {"$ref": REF + name}}
    return {"application/json": found | ({"example": example} if example is not None else {})}


def body_of(route: Route, example: Any) -> dict[str, Any]:
    request = METHODS[route.method].input_type
    kind = request.name if route.body == "*" else request.fields_by_name[route.body].message_type.name
    if route.method != "Classify":
        return content(kind, example)
    fields: dict[str, Any] = {
        name: {"type": "string", "description": f"short for {path}"} for name, path in SHORT.items()
    }
    fields["labels"] = {
        "type": "string",
        "description": "the names between commas, or Labels as JSON",
        "examples": ["cat,dog,car"],
    }
    fields["strategy"]["examples"] = ["mta"]
    fields["options"] = {"$ref": REF + "Options"}
    rest = {name: {"type": "string"} for name in ("session_id", "request_id", "lesson_group")}
    file = {"type": "string", "format": "binary", "description": "JPEG, PNG or WebP"}
    form = {
        "type": "object",
        "description": "Other fields are named by their path, such as options.seed.",
        "required": ["image"],
        "properties": {"image": file, **fields, **rest},
    }
    picture = {"schema": {"type": "string", "format": "binary"}}
    return {"multipart/form-data": {"schema": form}, **content(kind, example)} | dict.fromkeys(PICTURES, picture)


def path_parameters(route: Route) -> Iterator[dict[str, Any]]:
    for name in (part[1:-1] for part in route.path.split("/") if part.startswith("{")):
        schema = {"type": "string", "minLength": 1}
        if name in ("session_id", "lesson_group"):
            schema |= {"maxLength": 128, "pattern": "^[A-Za-z0-9._:-]+$"}
        example = EXAMPLES["paths"][name]
        yield {"name": name, "in": "path", "required": True, "schema": schema, "example": example}


def query_parameters(route: Route) -> Iterator[dict[str, Any]]:
    """What the query may hold: what the body does not, and of a classification all but its picture."""
    if route.body == "*" and route.method != "Classify":
        return
    short = {path: name for name, path in SHORT.items()}
    for path, field in leaves(METHODS[route.method].input_type, ""):
        if path.startswith(("image.", f"{route.body}.")) or f"{{{path}}}" in route.path or clashes(path, route):
            continue
        schema = scalar_of(field)
        if field.is_repeated:
            schema = {"type": "array", "items": schema}
        about = COMMENTS.get(field.full_name.removeprefix("tta.v1."), "")
        made = {"name": short.get(path, path), "in": "query", "schema": schema}
        yield made | ({"description": about} if about else {}) | ({"explode": True} if field.is_repeated else {})


def clashes(path: str, route: Route) -> bool:
    """A path of a group names no session, and the other way round."""
    other = {"/sessions/": "lesson_group", "/groups/": "session_id"}
    return any(part in route.path and path == name for part, name in other.items())


def leaves(message: Descriptor, before: str) -> Iterator[tuple[str, FieldDescriptor]]:
    """The fields of a message that one text can hold, by dotted path."""
    for field in message.fields:
        path = f"{before}{field.name}"
        if field.message_type is None:
            yield path, field
        elif not field.is_repeated and not field.message_type.full_name.startswith("google."):
            yield from leaves(field.message_type, f"{path}.")


def timeout() -> dict[str, Any]:
    about = "Milliseconds until the caller does not wait any more: the deadline of the call."
    schema = {"type": "number", "minimum": 0.001, "maximum": 999999999}
    return {"name": "X-Timeout-Ms", "in": "header", "description": about, "schema": schema, "example": 2000}


def server_paths() -> dict[str, Any]:
    text = {"content": {"text/plain": {"schema": {"type": "string"}}}}
    no, refused = {"503": {"description": "No, or not yet.", **text}}, {"default": {"$ref": PROBLEM_RESPONSE}}
    paths = {
        "/healthz": ("IsAlive", "Whether the process answers", {}),
        "/readyz": ("IsReady", "Whether the model answers", no),
        "/metrics": ("Metrics", "Prometheus' numbers, where this server shows them", refused),
    }
    return {
        path: {
            "get": {
                "operationId": name,
                "summary": about,
                "tags": ["server"],
                "responses": {"200": {"description": "A text.", **text}, **others},
            }
        }
        for path, (name, about, others) in paths.items()
    }


if __name__ == "__main__":
    sys.exit(main())
