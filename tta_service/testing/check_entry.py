"""Checks of what the catalogue requires of every entry, strategy or reducer."""

from __future__ import annotations

import math
from typing import Any

from ..core.catalogue import Catalogue
from ..core.errors import BadParameters
from ..core.parameters import parameters_of


def check_registered(cls: type, catalogue: Catalogue[Any]) -> None:
    """The class is registered under its own name, and its module has a docstring for the catalogue."""
    name = getattr(cls, "name", None)
    assert isinstance(name, str), f"{cls.__qualname__} has no name: decorate the dataclass with @register_…(name)"
    assert catalogue.get(name) is cls, f"the catalogue's {name!r} is another class than {cls.__qualname__}"
    assert len(catalogue.describe(name).summary) > 1, (
        f"begin {cls.__module__} with a docstring '<one sentence>. <authors, venue, arXiv:…>': clients are shown it"
    )


def check_bounds(cls: type) -> None:
    """Every number has a finite minimum and maximum, and its default is between them."""
    for field in parameters_of(cls):
        if field.type not in ("int", "float"):
            continue
        ends = (field.minimum, field.maximum)
        assert all(end is not None and math.isfinite(end) for end in ends), (
            f"{cls.__qualname__}.{field.name} has bounds {ends}: annotate it, Annotated[{field.type}, Ge(…), Le(…)]"
        )
        assert field.minimum <= field.default <= field.maximum, (  # type: ignore[operator]
            f"{cls.__qualname__}.{field.name} = {field.default} by default, outside {ends}"
        )


def check_round_trip(cls: type, catalogue: Catalogue[Any]) -> None:
    """Parameters sent as doubles build an equal instance; unknown and non-finite ones are refused."""
    fields = parameters_of(cls)
    plain = cls()
    sent = {f.name: float(v) if type(v := getattr(plain, f.name)) is int else v for f in fields}
    assert hash(plain) == hash(cls()), f"{cls.__qualname__} is not hashable by value: only plain numbers and strings"
    for parameters in ({}, sent):
        back = catalogue.build(cls.name, parameters)  # type: ignore[attr-defined]
        assert back == plain, f"{cls.__qualname__} built from {parameters} is {back}, not {plain}"
    wrong = [{"no such field": 1.0}, *({f.name: math.nan} for f in fields if f.type in ("int", "float"))]
    for parameters in wrong:
        try:
            catalogue.build(cls.name, parameters)  # type: ignore[attr-defined]
        except BadParameters:
            continue
        raise AssertionError(f"{cls.__qualname__} accepts the parameters {parameters}")
