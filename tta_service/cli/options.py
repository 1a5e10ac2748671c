"""Options that several commands share, and how they become settings and instances."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from ..clip.text.templates import expand_templates
from ..core.catalogue import Catalogue
from ..core.errors import BadLabels, BadParameters
from ..core.labels import LabelSet
from ..core.parameters import parse_value
from ..reducers import catalogue as reducers
from ..settings import BadSettings, Settings, load, unknown_variables
from ..strategies import catalogue as strategies
from .text import read_lines, utf8

T = TypeVar("T")

Configure = Callable[[Mapping[str, Any]], Settings]  # a command's own values by setting; None: not given

MODEL: dict[str, tuple[str, Any]] = {  # the flags of every command that loads a model, with their settings
    "model": ("model.name", typer.Option(help="pocket, or a name that open_clip knows.")),
    "pretrained": ("model.pretrained", typer.Option(help="Tag of the weights, as open_clip lists them.")),
    "checkpoint": ("model.checkpoint", typer.Option(help="File with the weights.")),
    "model_config": ("model.config", typer.Option(help="File that describes the weights: model.toml or JSON.")),
    "plugin": (
        "model.plugin",
        typer.Option(metavar="MODULE:FUNCTION", help="Code of yours that registers towers or builds the model."),
    ),
    "name": ("model.served_name", typer.Option(help="What answers call the model.")),
    "device": ("model.device", typer.Option(help="auto, cpu, cuda, cuda:1, ...")),
    "precision": ("model.precision", typer.Option(help="float32, bfloat16, float16, int8, or auto: the fastest.")),
    "runtime": ("model.runtime", typer.Option(help="eager, compile, cudagraphs, onnxruntime, openvino or auto.")),
    "compress": (
        "model.compress",
        typer.Option(metavar="svd:RANK|prune:RATIO", help="Compress the image tower's linear layers."),
    ),
    "reducers": (
        "model.reducers",
        typer.Option(metavar="A,B:keep=0.5,...", help="Reducers that a runtime other than eager serves."),
    ),
}
SPELLINGS = {
    knob: f"--{flag.replace('_', '-')}" for flag, (knob, _) in MODEL.items()
} | {  # the flag of a setting, where it has one
    "server.host": "--host",
    "server.port": "--port",
    "http.port": "--http-port",
    "http.enabled": "--no-http",
    "metrics.host": "--metrics-host",
    "metrics.port": "--metrics-port",
    "defaults.strategy": "--strategy",
    "defaults.reducer": "--reducer",
    "log.format": "--log-format",
    "log.level": "--log-level",
}
Config = Annotated[Path | None, typer.Option(help="A TOML file in place of ./tta.toml.")]
Sets = Annotated[
    list[str] | None, typer.Option("--set", metavar="KNOB=VALUE", help="Any setting: --set batch.waiting=64.")
]
Duplicates = Annotated[
    bool, typer.Option("--allow-duplicates", help="A name may stand for several classes, which differ by their index.")
]
Templates = Annotated[
    list[str] | None,
    typer.Option(
        "--template",
        "--templates",
        metavar="TEXT|openai|simple",
        help="A sentence in which {} stands for the label, or a published set: 80 sentences, and the seven best.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object per line.")]


def configure_command(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the flags of `MODEL`, --config and --set after its own.

    Its first parameter, a `Configure`, makes settings of these flags and of the values that the command adds.
    """
    _, *own = inspect.signature(command, eval_str=True).parameters.values()
    kinds = {name: Annotated[str | None, option] for name, (_, option) in MODEL.items()}
    kinds |= {"config": Config, "sets": Sets}
    flag = inspect.Parameter.KEYWORD_ONLY
    shared = [inspect.Parameter(name, flag, default=None, annotation=kind) for name, kind in kinds.items()]

    @wraps(command)
    def run(**given: Any) -> None:
        model = {knob: given.pop(name) for name, (knob, _) in MODEL.items()}
        sets, config = given.pop("sets"), given.pop("config")
        loaded: list[Settings] = []

        def configure(values: Mapping[str, Any]) -> Settings:
            loaded.append(load_settings({**model, **values}, sets, config))
            return loaded[-1]

        try:
            command(configure, **given)
        except BadSettings as error:
            if not loaded:
                raise
            knob, _, message = str(error).partition(": ")
            raise BadSettings(loaded[-1].locate_mistake(knob, message)) from error

    parameters = [*own, *shared]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # typer reads it
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


def load_settings(flags: Mapping[str, Any], sets: Iterable[str] | None, config: Path | None) -> Settings:
    """The settings of this run. Names unknown TTA_ variables on stderr. Raises `BadSettings`."""
    for name in unknown_variables(os.environ):
        print(f"tta-service: no setting answers to the variable {name}", file=sys.stderr)
    given, spellings, wrong = dict(flags), dict(SPELLINGS), list[str]()
    for text in sets or ():
        knob, equals, value = text.partition("=")
        if not equals or not knob.strip():
            wrong.append(f"--set {text}: write it as KNOB=VALUE")
        else:
            given[knob.strip()], spellings[knob.strip()] = value, "--set"
    try:
        settings = load(
            given, config, spellings, {"defaults.strategy": strategies.get, "defaults.reducer": reducers.get}
        )
    except BadSettings as error:
        raise BadSettings("\n".join([*wrong, str(error)])) from None
    if wrong:
        raise BadSettings("\n".join(wrong))
    return settings


def parse_names(labels: str) -> tuple[str, ...]:
    """The names in `A,B,…`, or the lines of `@FILE`, without the empty ones. Raises `BadLabels` for other encodings."""
    try:
        words = read_lines(labels[1:]) if labels.startswith("@") else utf8(labels).split(",")
    except ValueError as error:
        raise BadLabels(f"--labels: {error}", "labels") from error
    return tuple(word.strip() for word in words if word.strip())


def build_label_set(names: tuple[str, ...], templates: Iterable[str] | None, allow_duplicates: bool) -> LabelSet:
    """The label set of `--labels` and `--template`, as UTF-8 whatever the locale. Raises `BadLabels`."""
    try:
        given = tuple(map(utf8, templates or ()))
    except ValueError as error:
        raise BadLabels(f"--template: {error}", "labels") from error
    if given:
        return LabelSet(names, expand_templates(given), allow_duplicates=allow_duplicates)
    return LabelSet(names, allow_duplicates=allow_duplicates)


def build(
    catalogue: Catalogue[T], name: str, parameters: Iterable[str] | None, limits: Mapping[str, float] | None = None
) -> T:
    """An instance with parameters from `NAME=VALUE` texts, checked as in a request. Raises `BadParameters`."""
    return catalogue.build(name, dict(_parameter(text) for text in parameters or ()), limits)


def _parameter(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise BadParameters(f"{text!r}: write a parameter as NAME=VALUE", "parameters")
    return name.strip(), parse_value(value)
