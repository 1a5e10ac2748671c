"""Pages of the site that are made of the code: strategies, reducers, settings, gRPC, REST."""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tta_service.cli.catalogue import LIVES
from tta_service.cli.options import SPELLINGS
from tta_service.core.catalogue import Description
from tta_service.reducers import catalogue as reducers
from tta_service.settings import Settings
from tta_service.strategies import catalogue as strategies

ROOT = Path(__file__).parents[2]
CATALOGUES: dict[str, Any] = {"strategies": strategies, "reducers": reducers}
DEFINITION = re.compile(r"((?:^//.*\n)*)^(message|enum|service) (\w+) \{(?:.*\}$|.*\n(?:(?!\}).*\n)*\})", re.MULTILINE)
RPC = re.compile(r"((?:^  //.*\n)*)  rpc (\w+)\((stream )?(\w+)\) returns \((stream )?(\w+)\)", re.MULTILINE)


def names(kind: str) -> tuple[str, ...]:
    """Of all "strategies" or "reducers"."""
    return tuple(CATALOGUES[kind].names())


def pages() -> Iterator[tuple[str, str]]:
    """The place of each page in docs/, and its Markdown."""
    for kind, catalogue in CATALOGUES.items():
        for name in catalogue.names():
            yield f"{kind}/{name}.md", "\n".join(_entry(kind, catalogue.get(name), catalogue.describe(name)))
    rows = [f"| [`{name}`]({name}.md) | {reducers.describe(name).summary} |" for name in reducers.names()]
    yield "reducers/index.md", "\n".join([*REDUCERS, "| reducer | what it does |", "| --- | --- |", *rows])
    yield "reference/settings.md", "\n".join(_settings())
    for place, proto in (("grpc", "tta/v1/tta.proto"), ("open_inference", "inference/open_inference.proto")):
        yield f"reference/{place}.md", "\n".join(_proto(ROOT / "protos" / proto))
    yield "reference/rest.md", "\n".join(_rest(ROOT / "tta_service" / "http" / "openapi.json"))


REDUCERS = (
    "# Reducers\n",
    "A token reduction removes or merges patches inside the image tower, which makes encoding cheaper. A call names",
    "one beside its strategy, for all views, for all but the plain one, or for a first look at all of them.",
    "What they cost and gain: [measurements](../measurements.md#images-and-towers).\n",
)


def _entry(kind: str, cls: type, entry: Description) -> Iterator[str]:
    """The page of a strategy or reducer."""
    module: Any = sys.modules[cls.__module__]
    yield f"# {entry.name}\n\n{entry.summary}\n"
    if entry.paper:
        yield re.sub(r"(?<![<(])(https?://[^\s,;)]+[^\s,;).])", r"<\1>", entry.paper) + "\n"
    yield inspect.cleandoc(cls.__doc__ or "") + "\n"
    if kind == "strategies":
        needs = entry.needs
        wants = [f"{needs.views} view{'' if needs.views == 1 else 's'} by default", LIVES[needs.memory]]
        wants += ["gradients through the text tower"] * needs.gradient
        learns = "It learns from lessons." if entry.teachable else "It does not learn from lessons."
        yield f"**It assumes** {', '.join(wants)}. {learns}\n"
    if entry.parameters:
        yield "## Parameters\n\n| parameter | default | allowed | what it is |\n| --- | --- | --- | --- |"
        for one in entry.parameters:
            allowed = " ".join(f"`{choice}`" for choice in one.choices) or _range(one.minimum, one.maximum)
            yield f"| `{one.name}` | `{json.dumps(one.default)}` | {allowed or one.type} | {_cell(one.description)} |"
    measured = list(_measured(entry.name)) if kind == "strategies" else []
    if measured:
        yield "\n## Measured\n\nWith the pocket model; how, and what the columns are: [strategies](../strategies.md).\n"
        yield from measured
    yield "\n## Formula\n\nAs it is computed; the tests hold it against an independent derivation in float64.\n"
    yield f'```python title="{module.__name__.replace(".", "/")}.py"\n{inspect.getsource(module).rstrip()}\n```'


def _measured(name: str) -> Iterator[str]:
    """The rows of docs/strategies.md about a strategy, each below the head of its table."""
    lines = (ROOT / "docs" / "strategies.md").read_text(encoding="utf-8").splitlines()
    head = 0
    for place, line in enumerate(lines):
        head = place if line.startswith("|--") else head
        if re.match(rf"\| \[?`{name}`", line):
            yield "\n".join([lines[head - 1], lines[head], line, ""])


def _settings() -> Iterator[str]:
    schema = Settings.model_json_schema()
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `([\w.]+)` \|[^|]*\| (.*) \|$", text, re.MULTILINE))
    yield "# Settings\n\nAll of them, with their bounds. Where they can be set: [configuration](../configuration.md).\n"
    yield from _section(schema, schema, "", told)


def _section(schema: dict[str, Any], part: dict[str, Any], prefix: str, told: dict[str, str]) -> Iterator[str]:
    """The settings of a section in a table, then its own sections."""
    resolved = {name: _resolve(schema, value) for name, value in part["properties"].items()}
    leaves = {name: value for name, value in resolved.items() if "properties" not in value}
    if prefix:
        yield f"\n## {prefix.rstrip('.')}\n\n{part.get('description', '')}\n"
    if leaves:
        yield "| setting | default | allowed | what it is |\n| --- | --- | --- | --- |"
    for name, value in leaves.items():
        knob = f"{prefix}{name}"
        other = f"TTA_{knob.upper().replace('.', '__')}" + (f" {SPELLINGS[knob]}" if knob in SPELLINGS else "")
        what = re.sub(r"\]\((?!https?:)", "](../", told.get(knob, ""))
        default = json.dumps(value.get("default"), ensure_ascii=False)
        yield f"| `{knob}`<br><small>{other}</small> | `{default}` | {_cell(_allowed(value))} | {what} |"
    for name, value in resolved.items():
        if name not in leaves:
            yield from _section(schema, value, f"{prefix}{name}.", told)


def _resolve(schema: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    return schema["$defs"][value["$ref"].rpartition("/")[2]] if "$ref" in value else value


def _allowed(value: dict[str, Any]) -> str:
    if "enum" in value:
        return " ".join(f"`{one}`" for one in value["enum"])
    bounds = [
        (key, value[key]) for key in ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum") if key in value
    ]
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    kind = {"string": "text", "number": "number", "integer": "whole number", "boolean": "true, false"}
    shown = [f"{signs[key]} {_number(one)}" for key, one in bounds]
    return " ".join([kind.get(value.get("type", ""), value.get("type", "")), ", ".join(shown)]).strip()


def _proto(path: Path) -> Iterator[str]:
    text = path.read_text(encoding="utf-8")
    found = [
        (comment, kind, name, whole[0])
        for whole in DEFINITION.finditer(text)
        for comment, kind, name in [whole.groups()]
    ]
    titles = {name for _, _, name, _ in found}
    about = re.match(r"(?://.*\n)+", text)
    yield f"# {path.stem}\n\n{_comment(about[0]) if about else ''}\n\nMade of `{path.relative_to(ROOT)}`.\n"
    for comment, kind, name, body in found:
        yield f"## {name}\n\n{_comment(comment)}\n"
        if kind == "service":
            yield "| method | takes | gives | |\n| --- | --- | --- | --- |"
            for about_rpc, method, sends, takes, streams, gives in RPC.findall(body):
                kinds = (
                    (f"stream of {_link(takes, titles)}" if sends else _link(takes, titles)),
                    (f"stream of {_link(gives, titles)}" if streams else _link(gives, titles)),
                )
                yield f"| `{method}` | {kinds[0]} | {kinds[1]} | {_cell(_comment(about_rpc))} |"
        else:
            code = body[len(comment) :]
            linked = [
                _link(one, titles) for one in dict.fromkeys(re.findall(r"\b[A-Z]\w+\b", code)) if one in titles - {name}
            ]
            yield f"```proto\n{code}\n```\n" + (f"\n{' · '.join(linked)}\n" if linked else "")
        yield ""


def _rest(path: Path) -> Iterator[str]:
    document = json.loads(path.read_text(encoding="utf-8"))
    yield f"# REST\n\n{document['info'].get('description', '')}\n"
    yield "Messages are those of the [gRPC reference](grpc.md); the server's own page at `/docs` tries them out.\n"
    for tag in document["tags"]:
        yield f"## {tag['name']}\n\n{tag.get('description', '')}\n"
        for place, methods in document["paths"].items():
            for method, call in methods.items():
                if isinstance(call, dict) and tag["name"] in call.get("tags", ()):
                    yield from _call(method, place, call)


def _call(method: str, place: str, call: dict[str, Any]) -> Iterator[str]:
    yield f"### {method.upper()} {place}\n\n{call.get('description') or call.get('summary', '')}\n"
    parameters = [one for one in call.get("parameters", ()) if "name" in one]
    if parameters:
        yield "| parameter | in | what it is |\n| --- | --- | --- |"
        for one in parameters:
            what = one.get("description") or one["schema"].get("type", "")
            yield f"| `{one['name']}` | {one['in']} | {_cell(what)} |"
        yield ""
    for kind, content in call.get("requestBody", {}).get("content", {}).items():
        message = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
        name = f"[{message}](grpc.md#{message.lower()})" if message else ""
        yield f"Body `{kind}` {name}\n"


def _link(name: str, titles: set[str]) -> str:
    return f"[{name}](#{name.lower()})" if name in titles else f"`{name}`"


def _comment(lines: str) -> str:
    """The text of `//` lines; braces and angle brackets stay letters."""
    return " ".join(re.sub(r"^\s*// ?", "", line) for line in lines.splitlines()).strip().replace("<", "&lt;")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _range(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{_number(low)} to {_number(high)}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:g}"
