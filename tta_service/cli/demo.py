"""The demo as a command."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ..settings import load

OWN = {"server.port": 0, "metrics.port": 0, "log.level": "warning"}  # said by the demo, whatever else says


def demo(
    frames: Annotated[int, typer.Option(min=1, help="Frames of the virtual camera.")] = 240,
    views: Annotated[int, typer.Option(min=1, max=512, help="Views per image, for strategies that take several.")] = 16,
) -> None:
    """Start a service on free ports, stream a virtual camera through it with four strategies, stop it."""
    load(OWN)  # a mistake in variables or tta.toml is told here, and not by the service that ends at once
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
