"""The commands `strategies` and `reducers`: what there is to choose from, with every parameter and its bounds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Any

import typer

from ..core.catalogue import Catalogue, Description
from ..core.parameters import Parameter
from ..core.strategy import Needs, Scope
from ..reducers import catalogue as all_reducers
from ..strategies import catalogue as all_strategies
from .options import AsJson
from .remote import Remote, operator_command
from .text import json_line

Name = Annotated[str, typer.Argument(metavar="NAME", help="The strategy.")]
LIVES = {Scope.REQUEST: "no memory", Scope.LABELS: "one memory per label set", Scope.SESSION: "a memory per session"}


strategies = typer.Typer()


@strategies.callback(invoke_without_command=True)
def list_strategies(context: typer.Context, as_json: AsJson = False) -> None:
    """List the strategies: parameters, bounds, needs, paper. Or switch one off on a running server."""
    if context.invoked_subcommand is None:
        _show(all_strategies, as_json)


@strategies.command()
@operator_command
def disable(remote: Remote, name: Name) -> None:
    """Switch a strategy off: zero_shot answers in its place, and says so, until `enable` or the server's end."""
    _set_state(remote, name, enabled=False)


@strategies.command()
@operator_command
def enable(remote: Remote, name: Name) -> None:
    """Switch a strategy on again."""
    _set_state(remote, name, enabled=True)


def _set_state(remote: Remote, name: str, enabled: bool) -> None:
    from ..wire.v1 import tta_pb2 as pb

    reply = remote.call("SetStrategyState", pb.SetStrategyStateRequest(name=name, enabled=enabled))
    print(f"disabled: {', '.join(reply.disabled) or 'none'}")


def reducers(as_json: AsJson = False) -> None:
    """List the token reducers: parameters, bounds, paper."""
    _show(all_reducers, as_json)


def _show(catalogue: Catalogue[Any], as_json: bool) -> None:
    for name in catalogue.names():
        entry = catalogue.describe(name)
        print(json_line(asdict(entry)) if as_json else "\n".join(_lines(entry, catalogue is all_strategies)))


def _lines(entry: Description, adapts: bool) -> Iterator[str]:
    yield f"{entry.name}: {entry.summary}"
    if entry.paper:
        yield f"    {entry.paper}"
    if adapts:
        yield f"    {_needs(entry.needs)}"
    settings = [f"{parameter.name}={_plain(parameter.default)}" for parameter in entry.parameters]
    width = max(map(len, settings), default=0)
    for setting, parameter in zip(settings, entry.parameters):
        yield f"    {'--param' if adapts else '--reducer-param'} {setting:<{width}}  {_bounds(parameter)}"
    yield ""


def _needs(needs: Needs) -> str:
    views = f"needs {needs.views} view{'' if needs.views == 1 else 's'}"
    return f"{views}, {LIVES[needs.memory]}{', gradients' if needs.gradient else ''}"


def _bounds(parameter: Parameter) -> str:
    allowed = "" if parameter.minimum is None else f"{_plain(parameter.minimum)} … {_plain(parameter.maximum)}"
    parts = (parameter.type, allowed, " | ".join(parameter.choices), parameter.description)
    return "  ".join(part for part in parts if part)


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else json.dumps(value).strip('"')
