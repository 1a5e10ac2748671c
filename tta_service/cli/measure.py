"""The command `measure`: the memory that each strategy takes on this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..core.errors import BadRequest
from .options import Configure, configure_command


@configure_command
def measure(
    configure: Configure,
    out: Annotated[
        Path | None, typer.Option(help="File for the result; `serve --set metrics.peaks=FILE` publishes it.")
    ] = None,
    classes: Annotated[int, typer.Option(min=1, max=100_000, help="Number of labels.")] = 10,
) -> None:
    """Measure the peak memory of one answer of each strategy, each alone. Prints one JSON object per line."""
    flags = {
        "batch.max_rows": 64,
        "limits.names": max(2000, classes),
    }
    settings = configure(flags)
    try:
        if out:
            out.open("a").close()  # fails now instead of after the measurement
    except OSError:
        raise BadRequest(f"--out: {out} is no file that can be written", "out") from None
    from .. import app  # imports torch for seconds, so mistakes come first

    lines: list[str] = []

    def write(line: str) -> None:
        lines.append(line)
        sys.stdout.write(line)
        sys.stdout.flush()

    app.measure(settings, classes, write)
    if out:
        out.write_text("".join(lines))
