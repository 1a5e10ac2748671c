"""What each strategy takes on this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..core.errors import BadRequest
from .options import (
    Checkpoint,
    Compress,
    Config,
    Device,
    ModelName,
    Precision,
    Pretrained,
    Runtime,
    Served,
    Sets,
    settings_from,
)


def measure(
    out: Annotated[
        Path | None, typer.Option(help="Where to write it; `serve --set metrics.peaks=FILE` publishes it.")
    ] = None,
    classes: Annotated[int, typer.Option(min=1, max=100_000, help="Labels to tell apart.")] = 10,
    model: ModelName = None,
    pretrained: Pretrained = None,
    checkpoint: Checkpoint = None,
    device: Device = None,
    precision: Precision = None,
    runtime: Runtime = None,
    compress: Compress = None,
    served: Served = None,
    config: Config = None,
    sets: Sets = None,
) -> None:
    """The most memory that one answer of each strategy takes, measured alone. One JSON object per line."""
    flags = {
        "model.name": model,
        "model.pretrained": pretrained,
        "model.checkpoint": checkpoint,
        "model.device": device,
        "model.precision": precision,
        "model.runtime": runtime,
        "model.compress": compress,
        "model.reducers": served,
        "batch.max_rows": 64,
        "limits.names": max(2000, classes),
    }
    settings = settings_from(flags, sets, config)
    if out and (out.is_dir() or not out.parent.is_dir()):
        raise BadRequest(f"--out: {out} is no file that can be written", "out")
    from .. import app  # the towers: seconds that a mistake should not cost

    said: list[str] = []

    def told(line: str) -> None:
        said.append(line)
        sys.stdout.write(line)
        sys.stdout.flush()

    app.measure(settings, classes, told)
    if out:
        out.write_text("".join(said))
