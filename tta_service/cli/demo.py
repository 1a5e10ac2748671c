"""The command `demo`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ..settings import load

OWN = {"server.port": 0, "metrics.port": 0, "log.level": "warning"}  # the demo's own flags, over any other source


def demo(
    frames: Annotated[int, typer.Option(min=1, help="Frames of the virtual camera.")] = 240,
    views: Annotated[int, typer.Option(min=1, max=512, help="Views per image, for strategies that take several.")] = 16,
) -> None:
    """Start a service on free ports, stream a virtual camera through it with four strategies, stop it."""
    load(OWN)  # names mistakes in variables or tta.toml here, instead of in the child process
    try:
        from .. import demo as show  # the client and its camera are an extra
    except ImportError as error:
        missing = error.name or str(error)
        print(f"tta-service: the demo needs {missing}: pip install './clients/python[camera,virtual]'", file=sys.stderr)
        raise typer.Exit(2) from None
    try:
        show.run(frames, views)
    except (show.DemoFailed, show.TTAClientError) as error:
        print(f"tta-service: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
