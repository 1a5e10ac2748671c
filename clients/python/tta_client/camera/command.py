"""The cameras that a command line names: one or several sources, and those of a file, which may change."""

from __future__ import annotations

import argparse
import copy
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from .access import read_token
from .arguments import Arguments, make_arguments
from .masking import mask_secrets
from .parser import Parser, build_parser
from .text import describe_unreadable, make_printable

FOR_ALL = "json", "sources", "teach", "encode_on_device", "strict"  # options of the command alone
ALONE = "teach", "encode_on_device", "name"  # what takes one camera
IN_ONE = "labels", "strategy"  # lists that are one word, with commas


class TableParser(Parser):
    """Raises ValueError instead of ending the process."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(mask_secrets(message))


@dataclass(frozen=True, slots=True)
class Definition:
    """One camera of the command line or the file. Two are equal when their options are."""

    options: argparse.Namespace
    arguments: Arguments = field(compare=False)


@dataclass(frozen=True, slots=True)
class Command:
    """The parsed command line, and its cameras by name, as they were at the start."""

    options: argparse.Namespace
    cameras: dict[str, Definition] = field(default_factory=dict[str, Definition])

    @property
    def file(self) -> Path | None:
        """The file of cameras."""
        return Path(self.options.sources) if self.options.sources else None

    def file_version(self) -> int:
        """Another number when the file has changed; 0: there is none."""
        try:
            return self.file.stat().st_mtime_ns if self.file else 0
        except OSError:
            return 0

    @property
    def alone(self) -> bool:
        """Whether it is about one camera, which needs no name."""
        return self.file is None and len(self.options.source) == 1

    def read_cameras(self) -> dict[str, Definition]:
        """The cameras by name, as the file has them now. Raises ValueError, OSError."""
        if not self.options.source and self.file is None:
            raise ValueError("a SOURCE is needed, or --sources with a file that names some")
        if self.alone:
            options = copy.copy(self.options)
            options.source = options.source[0]
            options.name = options.name or options.session or _name_of(options.source)
            return {"": Definition(options, make_arguments(options))}
        for name in ALONE:
            if getattr(self.options, name):
                raise ValueError(f"--{name.replace('_', '-')} takes one camera")
        cameras = dict[str, Definition]()
        for name, options in (*self._positional(), *(_read_tables(self.file, self.options) if self.file else ())):
            if name in cameras:
                raise ValueError(f"two cameras are called {make_printable(name)}")
            try:
                cameras[name] = Definition(options, make_arguments(options))
            except (ValueError, OSError) as error:
                raise ValueError(f"camera {make_printable(name)}: {error}") from error
        return cameras

    def _positional(self) -> Iterator[tuple[str, argparse.Namespace]]:
        names = list[str]()
        for source in self.options.source:
            name = base = _name_of(source)
            while name in names:
                name = f"{base}-{names.count(base) + sum(one.startswith(f'{base}-') for one in names) + 1}"
            names.append(name)
            options = copy.copy(self.options)
            options.source, options.name = source, name
            options.session = f"{options.session}-{name}" if options.session else ""  # one memory for each
            yield name, options


def parse_command(words: list[str] | None = None) -> Command:
    """Parses `sys.argv`, or the given words. Invalid ones exit with code 2 and a sentence on stderr."""
    parser = build_parser()
    command = Command(parser.parse_args(words))
    try:
        command.options.token = read_token(command.options.token)  # once: its file may be a pipe
        return replace(command, cameras=command.read_cameras())
    except (ValueError, OSError) as error:
        parser.error(str(error))


def parse_arguments(words: list[str] | None = None) -> Arguments:
    """The arguments of a command about one camera."""
    (camera,) = parse_command(words).cameras.values()
    return camera.arguments


def _name_of(source: str) -> str:
    """The last part of a path or a URL, without what may be secret."""
    path = urlsplit(source).path if "://" in source else source
    return re.sub(r"[^\w.-]+", "-", mask_secrets(path.rstrip("/").rpartition("/")[2])).strip("-") or "camera"


def _read_tables(file: Path, common: argparse.Namespace) -> Iterator[tuple[str, argparse.Namespace]]:
    """Each `[[camera]]` of the file: its name, and the command's options with its own over them."""
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
    """The value with environment variables in place of ${NAME}."""

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
