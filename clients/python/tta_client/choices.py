"""What to ask for: strategies and reducers with their parameters, and the options of a call or a frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from google.protobuf import json_format

from .v1 import tta_pb2

SCOPES = {
    "all": tta_pb2.Reduction.SCOPE_ALL_VIEWS,
    "augmented": tta_pb2.Reduction.SCOPE_AUGMENTED,
    "two_looks": tta_pb2.Reduction.SCOPE_TWO_LOOKS,
}
DEADLINES = {"degrade": tta_pb2.ON_DEADLINE_DEGRADE, "fail": tta_pb2.ON_DEADLINE_FAIL}


@dataclass(frozen=True, slots=True)
class Choice:
    """A strategy or a reducer by name; parameters that are left out keep the server's defaults."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __str__(self) -> str:
        shown = (f"{k}={v:g}" if isinstance(v, float) else f"{k}={v}" for k, v in self.parameters.items())
        return f"{self.name}({', '.join(shown)})" if self.parameters else self.name


@dataclass(frozen=True, slots=True)
class Reduction:
    """A token reduction, of all views or of some."""

    reducer: Choice
    scope: Literal["all", "augmented", "two_looks"] = "all"


@dataclass(frozen=True, slots=True)
class Cascade:
    """Go on to `to` when the first answer's entropy divided by ln(labels), 0 … 1, is above `above`.

    Left out, it is the server's, which has one after `zero_shot` and `mean` only.
    """

    to: Choice
    above: float | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """All that a call or a frame may wish for; what is left out is the server's default."""

    strategy: str | Choice = ""
    reducer: str | Choice | Reduction = ""
    cascade: Cascade | None = None
    top_k: int | None = None
    seed: int | None = None
    explain: bool = False
    on_deadline: Literal["", "degrade", "fail"] = ""

    def choosing(self, strategy: str | Choice) -> Options:
        """The same wishes with that strategy; an empty one changes nothing."""
        return replace(self, strategy=strategy) if strategy else self


DEFAULTS = Options()


def options_message(options: Options) -> tta_pb2.Options:
    message = tta_pb2.Options(explain=options.explain, top_k=options.top_k, seed=options.seed)
    if options.strategy:
        message.strategy.CopyFrom(choice_message(options.strategy))
    if options.reducer:
        message.reduction.CopyFrom(_reduction_message(options.reducer))
    if options.cascade is not None:
        message.cascade.to.CopyFrom(choice_message(options.cascade.to))
        if options.cascade.above is not None:
            message.cascade.above = options.cascade.above
    if options.on_deadline:
        message.on_deadline = DEADLINES[options.on_deadline]
    return message


def choice_message(choice: str | Choice) -> tta_pb2.Choice:
    choice = Choice(choice) if isinstance(choice, str) else choice
    message = tta_pb2.Choice(name=choice.name)
    message.parameters.update(choice.parameters)
    return message


def choice_from(message: tta_pb2.Choice) -> Choice:
    return Choice(message.name, json_format.MessageToDict(message.parameters))


def _reduction_message(reducer: str | Choice | Reduction) -> tta_pb2.Reduction:
    if not isinstance(reducer, Reduction):
        return tta_pb2.Reduction(reducer=choice_message(reducer))
    return tta_pb2.Reduction(reducer=choice_message(reducer.reducer), scope=SCOPES[reducer.scope])
