"""All settings: flags > environment (TTA_…, `__` between levels) > tta.toml > defaults.

Only `app` and `cli` read them. The packages below receive plain arguments.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, PrivateAttr, ValidationError

from .core.errors import TTAError
from .sections import (
    Batch,
    Defaults,
    Http,
    Images,
    Lanes,
    Log,
    MetricsServer,
    Model,
    Section,
    Server,
    Sessions,
    Text,
    Tracing,
)
from .sources import Knob, SourcedValue, Unreadable, find_source, flatten, nest, read_file, read_flags, read_variables
from .wire.oip.limits import OipLimits
from .wire.server_info import Limits

Check = Callable[[Any], object]  # raises `TTAError` for a value of the right type that is not valid
SECRET_LENGTH = 16  # that every secret has at least
NONE: Mapping[str, Any] = MappingProxyType({})


class Settings(Section):
    """The whole configuration of one server."""

    model: Model = Model()
    server: Server = Server()
    http: Http = Http()
    oip: OipLimits = OipLimits()
    metrics: MetricsServer = MetricsServer()
    tracing: Tracing = Tracing()
    log: Log = Log()
    defaults: Defaults = Defaults()
    images: Images = Images()
    limits: Limits = Limits()
    batch: Batch = Batch()
    lanes: Lanes = Lanes()
    sessions: Sessions = Sessions()
    text: Text = Text()
    _given: dict[Knob, SourcedValue] = PrivateAttr(default_factory=dict[Knob, SourcedValue])

    def locate_mistake(self, knob: str, message: str) -> str:
        """The message with the name of the setting in front, and before that where it was set, if it was."""
        return _line(find_source(tuple(knob.split(".")), self._given), knob, message)

    def describe(self) -> Iterator[SourcedValue]:
        """Every setting with its value, and the file, variable or flag that gave it; "" for a default."""
        return _describe(self, (), self._given)


class BadSettings(Exception):
    """A configuration that cannot be used: a line for each mistake, with the name of the setting."""


def load(
    flags: Mapping[str, Any] | None = None,
    file: Path | None = None,
    spellings: Mapping[str, str] = NONE,
    checks: Mapping[str, Check] = NONE,
) -> Settings:
    """Settings from all sources. `flags` have dotted names ("server.port"); a flag of None was not given.

    `file` replaces ./tta.toml and must then exist. `spellings` has the spelling of each flag on the command line
    ("--port"). `checks`, by dotted name, check given values. Raises `BadSettings` with a line for each mistake, which
    names the file, variable or flag, and the setting.
    """
    wrong: list[str] = []
    try:
        from_file = read_file(file or Path("tta.toml"), must_exist=file is not None)
    except Unreadable as error:
        from_file, wrong = [], [str(error)]
    sections = Settings.model_fields
    values = (*from_file, *read_variables(os.environ, sections), *read_flags(flags or {}, spellings))
    return _validate(values, checks, wrong)


def make(values: Mapping[str, Any]) -> Settings:
    """Settings with these values by dotted name, whatever files and variables say. Raises `BadSettings`."""
    return _validate(read_flags(values, {}), NONE, [])


def _validate(values: Iterable[SourcedValue], checks: Mapping[str, Check], wrong: list[str]) -> Settings:
    given = {one.knob: one for one in flatten(values, Settings.model_fields)}  # the last one counts
    wrong += [*_take_misplaced(given), *_run_checks(checks, given)]
    try:
        settings = Settings.model_validate(nest(given.values()))
    except ValidationError as error:
        wrong += _mistakes(error, given)
        raise BadSettings("\n".join(wrong)) from None
    if wrong:
        raise BadSettings("\n".join(wrong))
    settings._given = given
    return settings


def _describe(part: BaseModel, around: Knob, given: Mapping[Knob, SourcedValue]) -> Iterator[SourcedValue]:
    for name in type(part).model_fields:
        knob, value = (*around, name), getattr(part, name)
        if isinstance(value, BaseModel):
            yield from _describe(value, knob, given)
        else:
            yield SourcedValue(knob, value, find_source(knob, given))


def _take_misplaced(given: dict[Knob, SourcedValue]) -> Iterator[str]:
    """Takes out what is no setting: a text for a whole section, and names below a setting. A line for each."""
    sections = Settings.model_fields
    for knob in sorted(given, key=len):
        if len(knob) == 1 and knob[0] in sections:
            example = f"{knob[0]}.{next(iter(type(sections[knob[0]].default).model_fields))}"
            message = f"this is a section; name a setting in it, such as {example}"
        elif any(knob[:length] in given for length in range(1, len(knob))):
            message = "there is no such setting"
        else:
            continue
        _, value, where = given.pop(knob)
        yield _line(where, ".".join(knob), message, value)


def _run_checks(checks: Mapping[str, Check], given: Mapping[Knob, SourcedValue]) -> Iterator[str]:
    for name, check in checks.items():
        one = given.get(tuple(name.split(".")))
        if one and isinstance(one.value, str):
            try:
                check(one.value)
            except TTAError as error:
                yield _line(one.where, name, error.message)


def _mistakes(error: ValidationError, given: Mapping[Knob, SourcedValue]) -> Iterator[str]:
    for one in error.errors(include_url=False):
        knob = tuple(map(str, one["loc"]))
        message = "there is no such setting" if one["type"] == "extra_forbidden" else one["msg"]
        message = message.removeprefix("Value error, ")
        yield _line(find_source(knob, given), ".".join(knob), message[:1].lower() + message[1:], one["input"])


def _line(where: str, knob: str, message: str, *got: Any) -> str:
    """The line of one mistake. It shows the values `got`, unless they may be secrets."""
    shown = [repr(value) for value in got if not _may_be_secret(knob, value)]
    text = ", got ".join([f"{knob}: {message}", *shown])
    return f"{where}: {text}" if where else text


def _may_be_secret(knob: str, value: Any) -> bool:
    """Whether the setting or the length of the value is that of a secret: one may stand in a wrong variable."""
    if isinstance(value, int | float):
        return False
    numbers = {name for name, field in Sessions.model_fields.items() if isinstance(field.default, int | float)}
    section, _, name = knob.partition(".")
    named = (section == "sessions" and name not in numbers) or re.search("secret|token|password|endpoint", name)
    return bool(named) or len(repr(value)) >= SECRET_LENGTH + 2  # quotes


def unknown_variables(environment: Iterable[str]) -> list[str]:
    """The TTA_ variables that belong to no section: a misspelt one would otherwise be ignored silently."""
    sections = {f"TTA_{name}".upper() for name in Settings.model_fields}
    ours = (name for name in environment if name.upper().startswith("TTA_"))
    return sorted(name for name in ours if name.upper().partition("__")[0] not in sections)
