"""The OpenAPI document: valid, current, and what the server really takes and gives."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.http.conftest import BothTransports
from tta_service.http import app
from tta_service.http.routes import ROUTES, Route
from tta_service.wire.json_mapping import parse_json

ROOT = Path(__file__).parents[2]
DOCUMENT: dict[str, Any] = json.loads((Path(app.__file__).parent / "openapi.json").read_text())
JSON, PROBLEM = "application/json", "application/problem+json"


def operation(route: Route) -> Any:
    return DOCUMENT["paths"][route.path][route.verb.lower()]


def check(value: Any, schema: Any) -> None:
    jsonschema.Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(value)


def media(content: Any, kind: str = JSON) -> tuple[Any, Any]:
    """A schema and its example."""
    return content[kind]["schema"], content[kind].get("example")


@pytest.mark.slow
def test_the_document_is_valid_and_what_the_descriptors_say():
    OpenAPIV31SpecValidator(DOCUMENT).validate()
    subprocess.run([sys.executable, ROOT / "protos/generate_openapi.py", "--check"], check=True)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.verb} {route.path}")
def test_every_route_is_described_with_its_path_and_examples_that_fit(route: Route):
    found = operation(route)
    named = {one["name"] for one in found["parameters"] if one.get("in") == "path"}
    assert named == set(re.findall(r"{(\w+)}", route.path))
    schema, example = media(found["responses"]["200"]["content"])
    assert schema["$ref"].endswith(f"/{route.response.name}")
    if example is not None:
        check(example, schema)
    if route.body:
        schema, example = media(found["requestBody"]["content"])
        assert example
        check(example, schema)
        parse_json(route.request, json.dumps(example if route.body == "*" else {route.body: example}))


async def test_examples_of_requests_are_answered_as_described(both: BothTransports):
    """In an order in which each has what it needs."""
    order = ["Classify", "Embed", "PutLabelSet", "GetLabelSet", "ListLabelSets", "ListStrategies", "ListReducers",
             "GetServerInfo", "GetSession", "ListSessions", "TeachSession", "ListLessons", "ListQuestions",
             "GetLessonSums", "SetStrategyState", "Unlearn", "ResetSession", "CloseSession"]  # fmt: skip
    for method in order:
        route = next(route for route in ROUTES if route.method == method)
        found = operation(route)
        values = {one["name"]: one["example"] for one in found["parameters"] if one.get("in") == "path"}
        if "id" in values:
            values["id"] = (await both.http.get("/v1/label-sets")).json()["infos"][0]["id"]
        body = media(found["requestBody"]["content"])[1] if route.body else None
        reply = await both.http.request(route.verb, route.path.format(**values), json=body)
        assert reply.status_code == 200, (method, reply.text)
        check(reply.json(), media(found["responses"]["200"]["content"])[0])


async def test_a_problem_is_as_described(both: BothTransports):
    schema, example = media(DOCUMENT["components"]["responses"]["Problem"]["content"], PROBLEM)
    check(example, schema)
    for path in ("/nosuch", "/v1/sessions/nosuch", "/v1/sessions/no!slash"):
        reply = await both.http.get(path)
        assert reply.status_code >= 400
        check(reply.json(), schema)


async def test_the_document_and_the_page_that_shows_it_are_served(both: BothTransports):
    assert (await both.http.get("/openapi.json")).json() == DOCUMENT
    page = await both.http.get("/docs")
    assert page.status_code == 200
    for name in re.findall(r'(?:src|href)="([\w./-]+)"', page.text):
        assert (await both.http.get(f"/{name}")).status_code == 200, name
