"""The command `serve`: the service until SIGTERM or Ctrl-C."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ..telemetry.logging import configure_logging
from .options import Configure, configure_command


@configure_command
def serve(
    configure: Configure,
    host: Annotated[str | None, typer.Option(help="Address to listen on, by default 127.0.0.1.")] = None,
    port: Annotated[str | None, typer.Option(metavar="NUMBER", help="Port of gRPC; 0 takes a free one.")] = None,
    metrics_host: Annotated[str | None, typer.Option(help="Address of /metrics, by default 127.0.0.1.")] = None,
    metrics_port: Annotated[
        str | None, typer.Option(metavar="NUMBER", help="Port of /metrics over HTTP; 0 takes a free one.")
    ] = None,
    strategy: Annotated[str | None, typer.Option(help="For requests that name none.")] = None,
    log_format: Annotated[str | None, typer.Option(help="console or json.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
) -> None:
    """Serve gRPC and /metrics. Prints one line with the addresses as soon as it answers."""
    flags = {
        "server.host": host,
        "server.port": port,
        "metrics.host": metrics_host,
        "metrics.port": metrics_port,
        "defaults.strategy": strategy,
        "log.format": log_format,
        "log.level": log_level,
    }
    settings = configure(flags)
    from .. import app  # imports torch for seconds, so mistakes come first

    with configure_logging(sys.stderr, settings.log.format, settings.log.level):
        app.serve(settings, lambda application: print(application.status_line, flush=True))
