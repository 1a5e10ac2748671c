"""What each strategy takes on this machine."""

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
        Path | None, typer.Option(help="Where to write it; `serve --set metrics.peaks=FILE` publishes it.")
    ] = None,
    classes: Annotated[int, typer.Option(min=1, max=100_000, help="Labels to tell apart.")] = 10,
) -> None:
    """The most memory that one answer of each strategy takes, measured alone. One JSON object per line."""
    flags = {
        "batch.max_rows": 64,
        "limits.names": max(2000, classes),
    }
    settings = configure(flags)
    try:
        if out:
            out.open("a").close()  # found out now, not when all is measured
    except OSError:
        raise BadRequest(f"--out: {out} is no file that can be written", "out") from None
    from .. import app  # the towers: seconds that a mistake should not cost

    lines: list[str] = []

    def write(line: str) -> None:
        lines.append(line)
        sys.stdout.write(line)
        sys.stdout.flush()

    app.measure(settings, classes, write)
    if out:
        out.write_text("".join(lines))
