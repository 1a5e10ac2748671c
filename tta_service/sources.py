"""The sources of settings: a TOML file, environment variables, flags. `settings` checks the values."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Container, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

PREFIX, BETWEEN = "TTA_", "__"
Knob = tuple[str, ...]  # "server.port" as its parts
TABLES = {("limits", "parameters"), ("batch", "weights")}  # besides the sections


class SourcedValue(NamedTuple):
    """One value and its source: the name of the file, variable or flag, "" within the program."""

    knob: Knob
    value: Any
    where: str


class Unreadable(Exception):
    """A settings file that cannot be read, with the reason."""


def read_file(file: Path, must_exist: bool) -> list[SourcedValue]:
    """The values in a TOML file, in UTF-8 with or without a byte-order mark. Raises `Unreadable`."""
    try:
        table = tomllib.loads(file.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        if must_exist:
            raise Unreadable(f"{file} is not a file: there is nothing of that name") from None
        return []
    except IsADirectoryError:
        raise Unreadable(f"{file} is not a file but a folder") from None
    except OSError as error:
        raise Unreadable(f"{file}: it cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Unreadable(f"{file}: it is no UTF-8 text; save it in that encoding") from None
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"{file}: this is no TOML: {error}") from None
    return [SourcedValue((key,), value, str(file)) for key, value in table.items()]


def read_variables(environment: Mapping[str, str], sections: Container[str]) -> list[SourcedValue]:
    """The values of `TTA_SECTION__KNOB`; it overrides `TTA_SECTION={…}`."""
    named = [(tuple(name.lower().removeprefix(PREFIX.lower()).split(BETWEEN)), name) for name in environment]
    ours = [(knob, name) for knob, name in named if name.upper().startswith(PREFIX) and knob[0] in sections]
    given = [SourcedValue(knob, environment[name], name) for knob, name in sorted(ours, key=lambda one: len(one[0]))]
    return [one for one in given if len(one.knob) > 1 or one.value]  # Compose sets undefined variables to ""


def read_flags(flags: Mapping[str, Any], spellings: Mapping[str, str]) -> list[SourcedValue]:
    """The values of flags by dotted name, with the spelling of each in `spellings`. None was not given."""
    return [
        SourcedValue(tuple(knob.split(".")), value, spellings.get(knob, ""))
        for knob, value in flags.items()
        if value is not None
    ]


def flatten(values: Iterable[SourcedValue], sections: Container[str]) -> Iterator[SourcedValue]:
    """The values without tables: {"port": 1} of "server" becomes 1 of "server.port". A table may be JSON text."""
    for one in values:
        is_section = len(one.knob) == 1 and one.knob[0] in sections
        knob, value, where = _parse_text(one) if is_section or one.knob in TABLES else one
        if isinstance(value, Mapping) and value:
            inner = (SourcedValue((*knob, str(key)), part, where) for key, part in value.items())
            yield from flatten(inner, sections)
        elif value != {} or not is_section:
            yield SourcedValue(knob, value, where)


def nest(values: Iterable[SourcedValue]) -> dict[str, Any]:
    """The values as nested tables: 1 of "a.b" becomes {"a": {"b": 1}}. No knob may be the beginning of another."""
    root: dict[str, Any] = {}
    for (*path, last), value, _ in values:
        table = root
        for name in path:
            table = table.setdefault(name, {})
        table[last] = value
    return root


def find_source(knob: Knob, given: Mapping[Knob, SourcedValue]) -> str:
    """The source of a setting, or of the table around it, or of a setting in it; "" for none."""
    around = (given[knob[:length]] for length in range(len(knob), 0, -1) if knob[:length] in given)
    inside = (one for one in given.values() if one.knob[: len(knob)] == knob)
    found = next(around, None) or next(inside, None)
    return found.where if found else ""


def _parse_text(one: SourcedValue) -> SourcedValue:
    """A text as the table that it holds. Any other text of "model" is that of "model.name"."""
    if not isinstance(one.value, str):
        return one
    try:
        table = json.loads(one.value)
    except (ValueError, RecursionError):
        table = None
    if isinstance(table, dict):
        return one._replace(value=table)
    is_name = one.knob == ("model",) and not one.value.lstrip().startswith("{")
    return one._replace(knob=("model", "name")) if is_name else one
