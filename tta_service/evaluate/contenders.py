"""What is compared: a strategy with its parameters, and the row that it is compared with."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from .. import maths
from ..core.catalogue import strategies
from ..core.parameters import parse_value
from ..core.strategy import Needs, Scope, Strategy

ALL = (
    *("zero_shot", "mean", "zero", "rtpt", "mta", "tpt", "c_tpt", "tda", "tda:views=64", "boost_adapter"),
    *("boost_adapter:summary=plain", "oga", "dota", "adapt", "stata", "dmn", "swap_prompt", "self_tpt", "vb_weights"),
    *("cutmixout", "scenes"),
)
TAUGHT = ("tip_adapter", "gda", "taught")  # these learn from lessons alone: without any they are zero-shot


@dataclass(frozen=True)
class Contender:
    """One row of the table: every parameter that is not given has its default."""

    strategy: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, text: str) -> Contender:
        """From `tda` or `tda:views=64,alpha=1`. Raises `TTAError` for what the catalogue does not have."""
        name, _, rest = text.partition(":")
        parameters = _parse_parameters(rest)
        strategies.build(name.strip(), parameters)
        return _tidy(name.strip(), parameters)

    def __str__(self) -> str:
        shown = ",".join(f"{key}={json.dumps(value).strip(chr(34))}" for key, value in self.parameters.items())
        return f"{self.strategy}:{shown}" if shown else self.strategy

    def __hash__(self) -> int:
        return hash(str(self))

    def build(self) -> Strategy[Any]:
        """The strategy."""
        return strategies.build(self.strategy, self.parameters)

    @property
    def needs(self) -> Needs:
        """What the strategy asks for."""
        return self.build().needs()

    @property
    def remembers(self) -> bool:
        """Whether its answers depend on the order of the stream."""
        return self.needs.memory is Scope.SESSION

    @property
    def digest(self) -> str:
        """Of everything that its answers depend on, defaults and the strategy's own files included."""
        strategy = self.build()
        rounds = strategy.needs().rounds  # kept answers of these are of the first views, once they were of all
        made = f"{strategy}{rounds or ''}".encode()
        return hashlib.sha256(made + _code_of(type(strategy))).hexdigest()[:12]

    @property
    def beside(self) -> Contender | None:
        """What it must beat to be worth its views: `mean` of the same ones, or the same cache fed with one view."""
        needs = self.needs
        if needs.views == 1 or self.strategy == "mean" or needs.augment == "named":
            return None
        if self.remembers and needs.gradient:  # its views are a lesson, not evidence
            return None
        if self.remembers and "views" in _fields(self.strategy):
            return _tidy(self.strategy, {**self.parameters, "views": 1})
        return _tidy("mean", {"views": needs.views, "augment": needs.augment})


@cache
def _code_of(kind: type) -> bytes:
    """Of the files of a strategy and of what strategies share: kept answers are those of this code."""
    file = Path(inspect.getfile(kind))
    own = sorted(file.parent.glob("*.py")) if file.name == "__init__.py" else [file]
    return b"".join(one.read_bytes() for one in [*own, Path(maths.__file__)])


def limit_views(one: Contender, views: int) -> Contender:
    """The same with at most `views` views, where it looks at views that it can have fewer of."""
    if "views" in _fields(one.strategy) and one.needs.views > views:
        return Contender(one.strategy, {**one.parameters, "views": views})
    return one


def split_strategies(text: str) -> list[str]:
    """`a,b` or, where one has parameters, `a;b:x=1,y=2`."""
    return [word.strip() for word in text.split(";" if ";" in text or ":" in text else ",") if word.strip()]


def parse_contenders(texts: list[str]) -> tuple[Contender, ...]:
    """The named contenders, zero-shot first, and the rows that some of them are compared with, each once."""
    wished = [Contender.of(text) for text in texts]
    whole = [Contender("zero_shot"), *wished, *(other for one in wished if (other := one.beside))]
    return tuple({one.digest: one for one in reversed(whole)}.values())[::-1]


def _tidy(strategy: str, parameters: Mapping[str, Any]) -> Contender:
    """Without what is the default anyway, so that equal ones have one name."""
    defaults = {parameter.name: parameter.default for parameter in strategies.describe(strategy).parameters}
    return Contender(strategy, {key: value for key, value in parameters.items() if value != defaults[key]})


def _fields(strategy: str) -> set[str]:
    return {parameter.name for parameter in strategies.describe(strategy).parameters}


def parse_reducer(text: str) -> tuple[str, dict[str, Any]]:
    """`tome` or `tome:keep=0.5` to name and parameters."""
    name, _, rest = text.partition(":")
    return name.strip(), _parse_parameters(rest)


def _parse_parameters(text: str) -> dict[str, Any]:
    """From `views=64,alpha=1`."""
    pairs = (part.partition("=") for part in text.split(",") if part)
    return {key.strip(): parse_value(value) for key, _, value in pairs}
