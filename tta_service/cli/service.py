"""The commands that start a service: `serve` until SIGTERM or Ctrl-C, `demo` and `measure` for a while."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.errors import BadRequest
from ..settings import load
from ..telemetry.logging import configure_logging
from .options import Configure, configure_command
from .text import json_line

if TYPE_CHECKING:
    from ..app import Application

# Turns for which a thread of a forward looks whether the others have finished before it sleeps, some 0.2 ms; by default
# it looks for 15 ms, after each operation, while decoding, the network or other processes need its core.
SPINS = "4000"
DEMO = {
    "server.port": 0,
    "http.enabled": False,
    "metrics.port": 0,
    "log.level": "warning",
}  # the demo's own flags, over any other source


@configure_command
def serve(
    configure: Configure,
    host: Annotated[str | None, typer.Option(help="Address to listen on, by default 127.0.0.1.")] = None,
    port: Annotated[str | None, typer.Option(metavar="NUMBER", help="Port of gRPC; 0 takes a free one.")] = None,
    http_port: Annotated[
        str | None, typer.Option(metavar="NUMBER", help="Port of REST and the page; 0 takes a free one.")
    ] = None,
    no_http: Annotated[bool, typer.Option("--no-http", help="Serve gRPC alone.")] = False,
    metrics_host: Annotated[str | None, typer.Option(help="Address of /metrics, by default 127.0.0.1.")] = None,
    metrics_port: Annotated[
        str | None, typer.Option(metavar="NUMBER", help="Port of /metrics over HTTP; 0 takes a free one.")
    ] = None,
    strategy: Annotated[str | None, typer.Option(help="For requests that name none.")] = None,
    log_format: Annotated[str | None, typer.Option(help="console or json.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
) -> None:
    """Serve gRPC, HTTP and /metrics. Prints one line with the addresses as soon as it answers."""
    flags = {
        "server.host": host,
        "server.port": port,
        "http.port": http_port,
        "http.enabled": False if no_http else None,
        "metrics.host": metrics_host,
        "metrics.port": metrics_port,
        "defaults.strategy": strategy,
        "log.format": log_format,
        "log.level": log_level,
    }
    settings = configure(flags)
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)  # read when torch is imported
    from .. import app  # imports torch for seconds, so mistakes come first

    with configure_logging(sys.stderr, settings.log.format, settings.log.level):
        as_json = settings.log.format == "json"
        app.serve(settings, lambda application: print(_serving(application, as_json), flush=True))


def _serving(application: Application, as_json: bool) -> str:
    if as_json:
        return json_line({"event": "serving", **application.facts})
    return " ".join(["SERVING", *map("=".join, application.facts.items())])


def demo(
    frames: Annotated[int, typer.Option(min=1, help="Frames of the virtual camera.")] = 240,
    views: Annotated[int, typer.Option(min=1, max=512, help="Views per image, for strategies that take several.")] = 16,
) -> None:
    """Stream a virtual camera through a service of its own, with four strategies."""
    load(DEMO)  # names mistakes in variables or tta.toml here, instead of in the child process
    try:
        from .. import demo as show  # the client and its camera are an extra
    except ImportError as error:
        missing = error.name or str(error)
        print(
            f"tta-service: the demo needs {missing}: pip install './clients/python[camera,virtual]' in a checkout",
            file=sys.stderr,
        )
        raise typer.Exit(2) from None
    try:
        show.run(frames, views)
    except (show.DemoFailed, show.TTAClientError) as error:
        print(f"tta-service: {error}", file=sys.stderr)
        raise typer.Exit(1) from None


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


@configure_command
def tune(
    configure: Configure,
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="That it may take.")] = 120.0,
) -> None:
    """Measure every precision and runtime that can be used here, and remember the fastest that agrees with float32.

    With --precision or --runtime only those forms. `serve` with the same model starts with it, where --precision or
    --runtime is `auto`.
    """
    settings = configure({})
    flags = {one.knob for one in settings.describe() if one.where.startswith("--")}
    opened = {name: "auto" for name in ("precision", "runtime") if ("model", name) not in flags}
    settings = settings.model_copy(update={"model": settings.model.model_copy(update=opened)})
    from .. import app  # imports torch for seconds, so mistakes come first

    found, best = app.tune(settings, seconds)
    for one in found:
        print(f"{app.describe(one)}{'' if one.agrees else ': does not agree'}")
    if best is None:
        print(f"tta-service: nothing could be measured within {seconds:g} s", file=sys.stderr)
        raise typer.Exit(1)
    print(f"BEST {app.describe(best)}")
