"""The setting `model.reducers`: the reducers that a compiled runtime serves, fixed at start."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ..core.catalogue import reducers
from ..core.reducer import Reducer
from ..settings import BadSettings


def parse_reducers(text: str, default: str) -> tuple[Reducer, ...]:
    """The reducers in a text such as "tome,evit:keep=0.5:fuse=sum": names, with parameters where not the defaults.

    `default`, the reducer of requests that name none, comes first. Raises `UnknownReducer`, `BadParameters` and
    `BadSettings`.
    """
    named = [part.strip() for part in text.split(",") if part.strip()]
    return tuple(dict.fromkeys(_build(part) for part in (default, *named)))


def _build(part: str) -> Reducer:
    name, *given = part.split(":")
    return reducers.build(name.strip(), dict(_parameters(part, given)))


def _parameters(part: str, given: list[str]) -> Iterator[tuple[str, Any]]:
    for each in given:
        name, equals, value = each.partition("=")
        if not equals:
            raise BadSettings(f"model.reducers: write a reducer as NAME:PARAMETER=VALUE, got {part!r}")
        try:
            yield name.strip(), json.loads(value)
        except json.JSONDecodeError:
            yield name.strip(), value.strip()  # a word
