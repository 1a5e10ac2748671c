"""The command `tta-service`: serve · demo · classify FILE… · advise · measure · strategies · reducers."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from ..core.errors import TTAError
from ..settings import BadSettings
from .advise import advise
from .catalogue import reducers, strategies
from .classify import classify
from .demo import demo
from .measure import measure
from .serve import serve

app = typer.Typer(
    help="Test-time adaptation of a frozen CLIP, one strategy per call.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for command in (serve, demo, classify, advise, measure, strategies, reducers):
    app.command()(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command. What the user can mend is told in one line; the exit code is then 2."""
    try:
        app(arguments, prog_name="tta-service")
    except (TTAError, BadSettings, OSError) as error:
        print(f"tta-service: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(2) from None
