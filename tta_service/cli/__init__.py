"""The command `tta-service`. A command is imported when it is asked for: most need torch, which takes seconds."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Annotated

import typer

from .commands import make_app


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"tta-service {version('tta-service')}")
        raise typer.Exit


def _options(
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None: ...


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command. Mistakes that the user can correct get a line each on stderr, and the exit code 2."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that lacks a letter shows "?"
    words = sys.argv[1:] if arguments is None else arguments
    try:
        app = make_app(_completed() or words)
        app.callback()(_options)
        app(words, prog_name="tta-service")
    except Exception as error:
        from ..core.errors import TTAError  # pydantic and torch, which `--help` does without
        from ..core.masking import without_secrets
        from ..settings import BadSettings

        if not isinstance(error, TTAError | BadSettings | OSError):
            raise
        text = str(error) if isinstance(error, BadSettings) else _one_line(error)
        for line in text.splitlines():
            print(f"tta-service: {without_secrets(' '.join(line.split()))}", file=sys.stderr)
        raise SystemExit(2) from None


def _completed() -> list[str]:
    """The words of a line that a shell wants to complete: after the command's own name, as typer gets them."""
    return (os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS", "")).split()[1:]


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__
