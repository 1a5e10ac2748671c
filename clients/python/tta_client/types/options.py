"""Options of a call or a frame: strategies and reducers with their parameters, and the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

from google.protobuf import json_format

from ..errors import blame_field, make_refusal
from ..v1 import tta_pb2
from .confidence import Ask, Smooth, look_up_calibrate, make_smooth_message
from .values import check_kind, parse_number, parse_unsigned, to_plain

T = TypeVar("T")
SCOPES = {
    "all": tta_pb2.Reduction.SCOPE_ALL_VIEWS,
    "augmented": tta_pb2.Reduction.SCOPE_AUGMENTED,
    "two_looks": tta_pb2.Reduction.SCOPE_TWO_LOOKS,
}
DEADLINES = {"degrade": tta_pb2.ON_DEADLINE_DEGRADE, "fail": tta_pb2.ON_DEADLINE_FAIL}


@dataclass(frozen=True, slots=True)
class Choice:
    """A strategy or a reducer by name. Parameters that are left out have the server's defaults."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __str__(self) -> str:
        texts = (f"{k}={v:g}" if isinstance(v, float) else f"{k}={v}" for k, v in self.parameters.items())
        return f"{self.name}({', '.join(texts)})" if self.parameters else self.name


@dataclass(frozen=True, slots=True)
class Reduction:
    """A token reduction and the views that it applies to."""

    reducer: Choice
    scope: Literal["all", "augmented", "two_looks"] = "all"


@dataclass(frozen=True, slots=True)
class Cascade:
    """Runs `to` when the entropy of the first answer, divided by ln(number of labels), is above `above` (0 … 1).

    Without `above` the server's threshold holds; it has one after `zero_shot` and `mean` only.
    """

    to: Choice
    above: float | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a call or a frame. An option that is left out has the server's default.

    `guard`: whether the server answers without the session's memory where there is a sign that it does harm.
    """

    strategy: str | Choice = ""
    reducer: str | Choice | Reduction = ""
    cascade: Cascade | None = None
    top_k: int | None = None
    seed: int | None = None
    explain: bool = False
    on_deadline: Literal["", "degrade", "fail"] = ""
    guard: bool | None = None
    calibrate: Literal["", "none", "zero_shot_range", "lessons"] = ""  # how the confidence is made
    defer_below: float | None = None  # answers of less confidence are left to a person
    coverage: float | None = None  # share of prediction sets that hold the right label; plural sets defer
    none_below: float | None = None  # with a cosine below it the image shows none of the labels
    admit_below: float = 0.0  # no memory learns from frames under this quantile of the recent cosines
    smooth: Smooth | None = None
    ask: bool | Ask = False  # the image becomes a question, see `Client.questions`; a call must name its session

    def with_strategy(self, strategy: str | Choice) -> Options:
        """The same options with that strategy; an empty one changes nothing."""
        return replace(self, strategy=strategy) if strategy else self


DEFAULTS = Options()


def check_options(options: Any, path: str = "options") -> Options:
    """The options, if that is what they are. Raises `Refused`."""
    if not isinstance(options, Options):
        raise make_refusal(f"they are {repr(options)[:60]}, not Options(…); a strategy is an argument of its own", path)
    return options


def make_options_message(options: Options, path: str = "options") -> tta_pb2.Options:
    """Options for the field at `path`. Raises `Refused`, naming a field there."""
    message, options = tta_pb2.Options(), check_options(options, path)
    with blame_field(path):
        message.explain = bool(options.explain)
        if isinstance(options.ask, Ask):
            message.asking.per_hour = parse_number(options.ask.per_hour, f"{path}.asking.per_hour")
        else:
            message.ask = bool(options.ask)
        if options.top_k is not None:
            message.top_k = parse_unsigned(options.top_k, f"{path}.top_k", bits=32)
        if options.seed is not None:
            message.seed = parse_unsigned(options.seed, f"{path}.seed")
        if options.strategy:
            message.strategy.CopyFrom(make_choice_message(options.strategy, f"{path}.strategy"))
        if options.reducer:
            message.reduction.CopyFrom(make_reduction_message(options.reducer, f"{path}.reduction"))
        if options.cascade is not None:
            message.cascade.CopyFrom(_make_cascade_message(options.cascade, f"{path}.cascade"))
        if options.guard is not None:
            message.guard = bool(options.guard)
        _add_trust(message, options, path)
        if options.on_deadline:
            message.on_deadline = _look_up(DEADLINES, options.on_deadline, f"{path}.on_deadline")
    return message


def _add_trust(message: tta_pb2.Options, options: Options, path: str) -> None:
    if options.calibrate:
        message.calibrate = look_up_calibrate(options.calibrate, f"{path}.calibrate")
    for name in ("defer_below", "coverage", "none_below", "admit_below"):
        if (value := getattr(options, name)) is not None:
            setattr(message, name, parse_number(value, f"{path}.{name}"))
    if options.smooth is not None:
        message.smooth.CopyFrom(make_smooth_message(options.smooth, f"{path}.smooth"))


def make_choice_message(choice: str | Choice, path: str) -> tta_pb2.Choice:
    """A choice for the field at `path`. Raises `Refused`, naming it or the parameter below it."""
    with blame_field(path):
        choice = Choice(choice) if isinstance(choice, str) else check_kind(choice, Choice, path)
        message = tta_pb2.Choice(name=choice.name)
        for name, value in choice.parameters.items():
            with blame_field(f"{path}.parameters.{name}"):
                message.parameters.update({name: to_plain(value)})
        return message


def parse_choice(message: tta_pb2.Choice) -> Choice:
    """A choice of the wire."""
    return Choice(message.name, json_format.MessageToDict(message.parameters))


def make_reduction_message(reducer: str | Choice | Reduction, path: str) -> tta_pb2.Reduction:
    """A reduction for the field at `path`. Raises `Refused`, naming it or a field below it."""
    if not isinstance(reducer, Reduction):
        return tta_pb2.Reduction(reducer=make_choice_message(reducer, f"{path}.reducer"))
    scope = _look_up(SCOPES, reducer.scope, f"{path}.scope")
    return tta_pb2.Reduction(reducer=make_choice_message(reducer.reducer, f"{path}.reducer"), scope=scope)


def parse_reduction(message: tta_pb2.Reduction) -> Reduction:
    """A reduction of the wire."""
    scopes: Any = {number: name for name, number in SCOPES.items()}
    return Reduction(parse_choice(message.reducer), scopes.get(message.scope, "all"))


def _make_cascade_message(cascade: Cascade, path: str) -> tta_pb2.Cascade:
    cascade = check_kind(cascade, Cascade, path)
    message = tta_pb2.Cascade(to=make_choice_message(cascade.to, f"{path}.to"))
    if cascade.above is not None:
        message.above = parse_number(cascade.above, f"{path}.above")
    return message


def _look_up(known: Mapping[str, T], name: str, field: str) -> T:
    if name not in known:
        raise make_refusal(f"there is no {name!r}, only {', '.join(known)}", field)
    return known[name]
