"""The command `tta-service`: serve · demo · classify · lessons · advise · measure · strategies · reducers · keys."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from io import TextIOWrapper

import typer

from ..core.errors import TTAError
from ..core.masking import without_secrets
from ..settings import BadSettings
from .advise import advise
from .catalogue import reducers, strategies
from .classify import classify
from .keys import keys
from .lessons import lessons
from .service import demo, measure, serve

app = typer.Typer(
    help="Test-time adaptation of a frozen CLIP, one strategy per call.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for command in (serve, demo, classify, advise, measure, reducers):
    app.command()(command)
app.add_typer(strategies, name="strategies")
app.add_typer(keys, name="keys")
app.add_typer(lessons, name="lessons")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command. Mistakes that the user can correct get a line each on stderr, and the exit code 2."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that lacks a letter shows "?"
    try:
        app(arguments, prog_name="tta-service")
    except (TTAError, BadSettings, OSError) as error:
        for line in _one_line(error).splitlines():
            print(f"tta-service: {without_secrets(' '.join(line.split()))}", file=sys.stderr)
        raise SystemExit(2) from None


def _one_line(error: Exception) -> str:
    if isinstance(error, BadSettings):
        return str(error)
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__
