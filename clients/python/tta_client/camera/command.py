"""The cameras that a command line names: one or several sources, and those of a file, which may change."""

from __future__ import annotations

import argparse
import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, count
from pathlib import Path

from .access import read_token
from .arguments import Arguments, make_arguments
from .camera_file import read_tables
from .masking import mask_secrets
from .parser import build_parser
from .text import make_printable

ALONE = "teach", "encode_on_device", "name"  # what takes one camera


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
            options.name = options.name or options.session or _derive_name(options.source)
            return {"": Definition(options, make_arguments(options))}
        _check_alone(self.options)
        cameras = dict[str, Definition]()
        for name, options in (*self._read_positional(), *(read_tables(self.file, self.options) if self.file else ())):
            if name in cameras:
                raise ValueError(f"two cameras are called {make_printable(name)}")
            try:
                cameras[name] = Definition(options, make_arguments(options))
            except (ValueError, OSError) as error:
                raise ValueError(f"camera {make_printable(name)}: {error}") from error
        _check_files(cameras)
        return cameras

    def _read_positional(self) -> Iterator[tuple[str, argparse.Namespace]]:
        names = list[str]()
        for source in self.options.source:
            base = _derive_name(source)
            numbered = (f"{base}-{number}" for number in count(2))
            name = next(one for one in chain([base], numbered) if one not in names)
            names.append(name)
            options = copy.copy(self.options)
            options.source, options.name = source, name
            file = Path(options.save)
            options.save = str(file.with_stem(f"{file.stem}-{name}")) if options.save else ""
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


def _check_alone(options: argparse.Namespace) -> None:
    """Raises ValueError for an option that several cameras cannot share."""
    for name in ALONE:
        if getattr(options, name):
            raise ValueError(f"--{name.replace('_', '-')} takes one camera")
    if options.source.count("-") > 1:
        raise ValueError("standard input is one source")


def _check_files(cameras: Mapping[str, Definition]) -> None:
    """Raises ValueError if two cameras write to one video."""
    saved = [camera.arguments.save for camera in cameras.values() if camera.arguments.save]
    if twice := next((file for file in saved if saved.count(file) > 1), ""):
        raise ValueError(f"--save: two cameras write to {make_printable(twice)}")


def _derive_name(source: str) -> str:
    """The last part of a path or a URL, without what may be secret."""
    if source == "-":
        return "stdin"
    masked = mask_secrets(source)  # all of it: a password may hold a /
    path = re.split("[?#]", masked.partition("://")[2])[0].partition("/")[2] if "://" in masked else masked
    return re.sub(r"[^\w.-]+", "-", path.rstrip("/").rpartition("/")[2]).strip("-") or "camera"
