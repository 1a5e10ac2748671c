"""The file of cameras: a table for each, with the options of the command line by their names."""

from __future__ import annotations

import argparse
import copy
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from .masking import mask_secrets
from .parser import Parser, build_parser
from .text import describe_unreadable, make_printable

FOR_ALL = (  # options of the command alone
    "json",
    "show",
    "show_port",
    "sources",
    "teach",
    "encode_on_device",
    "strict",
    "show_completion",
)
IN_ONE = "labels", "strategy"  # lists that are one word, with commas


class TableParser(Parser):
    """Raises ValueError instead of ending the process."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(mask_secrets(message))


def read_tables(file: Path, common: argparse.Namespace) -> Iterator[tuple[str, argparse.Namespace]]:
    """Each `[[camera]]` of the file: its name, and the command's options with its own over them. Raises ValueError."""
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8")).get("camera", [])
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: {error}") from error
    except OSError as error:
        raise ValueError(f"--sources: {describe_unreadable(file, error)}") from error
    if not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
        raise ValueError(f"{file}: cameras are tables [[camera]]")
    if not tables:
        raise ValueError(f"{file} names no camera")
    for place, table in enumerate(tables, 1):
        name = table.get("name")
        if not isinstance(name, str) or not name:
            raise ValueError(f"{file}: camera {place} has no name")
        try:
            yield name, _read_table(table, common)
        except ValueError as error:
            raise ValueError(f"{file}: camera {make_printable(name)}: {error}") from error


def _read_table(table: Mapping[str, Any], common: argparse.Namespace) -> argparse.Namespace:
    given = {"session": table["name"], **{key: _expand(value) for key, value in table.items()}}
    url, _ = given.pop("url", ""), given.pop("name")
    if not isinstance(url, str) or not url:
        raise ValueError("url is needed, as SOURCE is")
    words = [word for key, value in given.items() for word in _to_words(key, value)]
    options = build_parser(TableParser).parse_args(words, copy.copy(common))
    options.source, options.name = url, table["name"]
    return options


def _expand(value: Any) -> Any:
    """The value, or the items of a list, with environment variables in place of ${NAME}."""
    if isinstance(value, list):
        return [_expand(item) for item in value]

    def look_up(match: re.Match[str]) -> str:
        if (found := os.environ.get(match[1])) is None:
            raise ValueError(f"there is no environment variable {match[1]}")
        return found

    return re.sub(r"\$\{(\w+)\}", look_up, value) if isinstance(value, str) else value


def _to_words(key: str, value: Any) -> list[str]:
    """A key of a table as words of a command line."""
    option = f"--{key.replace('_', '-')}"
    if key.replace("-", "_") in FOR_ALL:
        raise ValueError(f"{key} is said once, for all cameras")
    if isinstance(value, bool):
        return [option] if value else ["--no-live"] if key == "live" else []
    if isinstance(value, list) and key in IN_ONE:
        return [f"{option}={_join(key, value)}"]
    return [f"{option}={item}" for item in (value if isinstance(value, list) else [value])]


def _join(key: str, names: list[Any]) -> str:
    if any("," in str(name) for name in names):
        raise ValueError(f"{key}: names with commas go into a file, @FILE")
    return ",".join(map(str, names))
