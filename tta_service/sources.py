"""Where the value of a knob was said: in a file, by a variable, by a flag. Nothing is judged here but its form."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Container, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

PREFIX, BETWEEN = "TTA_", "__"
Knob = tuple[str, ...]  # "server.port" as its parts
TABLES = {("limits", "parameters")}  # besides the sections


class SourcedValue(NamedTuple):
    """One value, and what to call the place where it was said; "": a caller within the program."""

    knob: Knob
    value: Any
    where: str


class Unreadable(Exception):
    """A file of settings that cannot be read, with the reason."""


def in_file(file: Path, must_exist: bool) -> list[SourcedValue]:
    """What a TOML file says, in UTF-8 with or without a mark of its byte order. Raises `Unreadable`."""
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


def in_variables(environment: Mapping[str, str], sections: Container[str]) -> list[SourcedValue]:
    """What `TTA_SECTION__KNOB` say; of `TTA_SECTION={…}` and `TTA_SECTION__KNOB` the latter counts."""
    named = [(tuple(name.lower().removeprefix(PREFIX.lower()).split(BETWEEN)), name) for name in environment]
    ours = [(knob, name) for knob, name in named if name.upper().startswith(PREFIX) and knob[0] in sections]
    said = [SourcedValue(knob, environment[name], name) for knob, name in sorted(ours, key=lambda one: len(one[0]))]
    return [one for one in said if len(one.knob) > 1 or one.value]  # Compose leaves empty what nobody has set


def in_flags(flags: Mapping[str, Any], spelt: Mapping[str, str]) -> list[SourcedValue]:
    """What flags say, by dotted knob, and how each is `spelt`; None was not given."""
    return [
        SourcedValue(tuple(knob.split(".")), value, spelt.get(knob, ""))
        for knob, value in flags.items()
        if value is not None
    ]


def leaves(all_said: Iterable[SourcedValue], sections: Container[str]) -> Iterator[SourcedValue]:
    """The same without tables: {"port": 1} said of "server" is 1 said of "server.port". A table may be JSON text."""
    for knob, value, where in all_said:
        is_section = len(knob) == 1 and knob[0] in sections
        if isinstance(value, str) and (is_section or knob in TABLES):
            value = _parse(value)
        if knob == ("model",) and isinstance(value, str) and not value.lstrip().startswith("{"):
            yield SourcedValue(("model", "name"), value, where)
        elif isinstance(value, Mapping) and value:
            yield from leaves((SourcedValue((*knob, str(key)), inner, where) for key, inner in value.items()), sections)
        elif value != {} or not is_section:
            yield SourcedValue(knob, value, where)


def tree(of: Iterable[SourcedValue]) -> dict[str, Any]:
    """{"a": {"b": 1}} of 1 said of "a.b"; no knob may be the beginning of another."""
    whole: dict[str, Any] = {}
    for (*path, last), value, _ in of:
        place = whole
        for name in path:
            place = place.setdefault(name, {})
        place[last] = value
    return whole


def place_of(knob: Knob, said: Mapping[Knob, SourcedValue]) -> str:
    """Where it was said, or the table around it, or something in it."""
    around = (said[knob[:length]] for length in range(len(knob), 0, -1) if knob[:length] in said)
    inside = (one for one in said.values() if one.knob[: len(knob)] == knob)
    found = next(around, None) or next(inside, None)
    return found.where if found else ""


def _parse(text: str) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, dict) else text
