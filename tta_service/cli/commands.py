"""The commands by name. Only the one that is asked for is imported: most need torch, which takes seconds."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any, NamedTuple

import typer


class Place(NamedTuple):
    """The module and name of a command, and its line in the list of commands."""

    module: str
    name: str
    help: str


COMMANDS = {
    "serve": Place("service", "serve", "Serve gRPC, HTTP and /metrics."),
    "demo": Place("service", "demo", "Stream a virtual camera through a service of its own, with four strategies."),
    "classify": Place("classify", "classify", "Label images."),
    "lessons": Place("lessons", "lessons", "Lessons of a session or lesson group of a running service."),
    "advise": Place("advise", "advise", "Find the template and the strategy that suit your own images."),
    "evaluate": Place("evaluate", "evaluate", "Measure strategies on pictures with labels, and write a report."),
    "compare": Place("compare", "compare", "Compare two evaluations of the same pictures."),
    "tune": Place("service", "tune", "Find the fastest precision and runtime for a model on this machine."),
    "size": Place("size", "size", "Say how many servers some cameras need, by what a frame takes here."),
    "measure": Place("service", "measure", "Measure the peak memory of one answer of each strategy."),
    "strategies": Place("catalogue", "strategies", "List the strategies, or switch one off on a running server."),
    "reducers": Place("catalogue", "reducers", "List the token reducers."),
    "export-edge": Place("edge", "export_edge", "Write the image tower for cameras that encode without torch."),
    "settings": Place("settings", "settings", "Show every setting, its value and where it was set."),
    "keys": Place("keys", "keys", "API keys: add, list, revoke."),
    "owners": Place("owners", "owners", "Delete all that a running server has of an owner."),
}


def make_app(words: Iterable[str]) -> typer.Typer:
    """The application for a command line: all commands in its list, of which only the one in `words` can run."""
    app = typer.Typer(
        help="Test-time adaptation of a frozen CLIP, one strategy per call.",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    asked = next((word for word in words if not word.startswith("-")), None)
    for name, place in COMMANDS.items():
        found: Any = _listed if name != asked else getattr(import_module(f".{place.module}", __package__), place.name)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name)
        else:
            app.command(name, short_help=place.help)(found)
    return app


def _listed() -> None:
    """Stands in the list of commands for one that was not asked for."""
