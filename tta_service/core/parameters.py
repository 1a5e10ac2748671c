"""Hyper-parameters of a strategy or reducer: described by the dataclass, validated when a request comes in."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from typing import Annotated, Any, Literal, cast, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from .errors import BadParameters

TYPES = {int: "int", float: "float", bool: "bool", str: "string"}  # of parameters
BOUNDS = {Ge: "ge", Gt: "gt", Le: "le", Lt: "lt"}
SPELLINGS: Mapping[str, Any] = {  # of values in texts that are no JSON
    "True": True,
    "False": False,
    **dict.fromkeys(("nan", "NaN"), math.nan),
    **dict.fromkeys(("inf", "Infinity"), math.inf),
    **dict.fromkeys(("-inf", "-Infinity"), -math.inf),
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One field. `minimum` and `maximum` are finite for every number."""

    name: str
    type: str  # "int" | "float" | "bool" | "string"
    default: Any
    minimum: float | None = None
    maximum: float | None = None
    description: str = ""
    choices: tuple[str, ...] = ()


@cache
def parameters_of(cls: type) -> tuple[Parameter, ...]:
    """The fields of a frozen dataclass in their order. A string in `Annotated[…]` is the description."""
    return tuple(_parameter(f.name, hint, f.default) for f, hint in _hints(cls))


def validate(cls: type, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Values for all fields of `cls`, with defaults. Raises `BadParameters`, which names the first invalid field."""
    ints = {p.name for p in parameters_of(cls) if p.type == "int"}
    given = {k: _whole(v) if k in ints else v for k, v in parameters.items()}
    try:
        return dict(_model(cls).model_validate(given))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = str(first["loc"][0]) if first["loc"] else ""
        if first["type"] == "extra_forbidden":
            known = ", ".join(p.name for p in parameters_of(cls)) or "none"
            raise BadParameters(
                f"unknown parameter {shorten(field)}; there are: {known}", f"parameters.{field}"
            ) from None
        message = first["msg"][:1].lower() + first["msg"][1:]
        raise BadParameters(f"{field}: {message}, got {shorten(first['input'])}", f"parameters.{field}") from None


def parse_value(text: str) -> Any:
    """The value of a parameter that is written as a text: JSON or Python's own spelling of it, else a word."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return SPELLINGS.get(text.strip(), text.strip())


def shorten(value: Any, most: int = 64) -> str:
    """`repr` of at most `most` characters, for untrusted values in error messages."""
    text = repr(value)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _hints(cls: type) -> list[tuple[Any, Any]]:
    hints = get_type_hints(cls, include_extras=True)
    return [(field, hints[field.name]) for field in fields(cls)]


def _parameter(name: str, hint: Any, default: Any) -> Parameter:
    kind, *notes = cast("tuple[Any, ...]", get_args(hint) if get_origin(hint) is Annotated else (hint,))
    bounds: dict[type, float] = {
        type(note): float(getattr(note, BOUNDS[type(note)])) for note in notes if type(note) in BOUNDS
    }
    exclusive = [f"{word} {bounds[bound]:g}" for bound, word in ((Gt, "above"), (Lt, "below")) if bound in bounds]
    description = "; ".join([*(note for note in notes if isinstance(note, str)), *exclusive])
    if get_origin(kind) is Literal:
        return Parameter(name, "string", default, description=description, choices=get_args(kind))
    minimum, maximum = bounds.get(Ge, bounds.get(Gt)), bounds.get(Le, bounds.get(Lt))
    return Parameter(name, TYPES[kind], default, minimum, maximum, description)


@cache
def _model(cls: type) -> type[BaseModel]:
    """A pydantic model of the same fields: strict validation of a stdlib dataclass would demand an instance."""
    config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
    wanted: dict[str, Any] = {f.name: (hint, ... if f.default is MISSING else f.default) for f, hint in _hints(cls)}
    return create_model(cls.__name__, __config__=config, **wanted)


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value
