"""The command `settings`: every setting that a server would have if it were started here and now."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any

import typer
from pydantic import SecretStr

from ..core.masking import without_secrets
from ..settings import Settings
from ..sources import SourcedValue
from .options import AsJson, Config, Sets, load_settings
from .text import json_line


def settings(
    config: Config = None,
    sets: Sets = None,
    example: Annotated[bool, typer.Option(help="Write a tta.toml with all defaults, each commented out.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show every setting, its value and where it was set: flag, variable, file, or none for a default."""
    if example:
        print("\n".join(_example(Settings().describe())))
        return
    for one in load_settings({}, sets, config).describe():
        name, value = ".".join(one.knob), _plain(one.value)
        if as_json:
            print(json_line({"setting": name, "value": value, "source": one.where}))
        else:
            print(f"{name:34} {json.dumps(value, ensure_ascii=False):24} {one.where}".rstrip())


def _example(values: Iterable[SourcedValue]) -> Iterator[str]:
    yield "# docs/configuration.md says what each one is. Environment variables and flags override this file."
    tables = defaultdict[str, list[SourcedValue]](list)
    for one in values:
        tables[".".join(one.knob[:-1])].append(one)
    for table, settings in tables.items():
        yield f"\n[{table}]"
        for one in settings:
            value = _plain(one.value)
            yield f"# {one.knob[-1]} = {'{}' if value == {} else json.dumps(value, ensure_ascii=False)}"


def _plain(value: Any) -> Any:
    """The value as JSON and TOML have it. A secret shows only whether there is one."""
    if isinstance(value, SecretStr):
        return "***" if value.get_secret_value() else ""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if isinstance(value, str):
        return without_secrets(value)
    return value if isinstance(value, int | float) else str(value)
