"""The command `classify`: files through the same engine, in this process and without a network."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ..core.errors import TTAError
from ..core.reducer import Reduction
from ..core.request import Encoded, Report, Request
from ..reducers import catalogue as reducers
from ..strategies import catalogue as strategies
from .options import AsJson, Configure, Duplicates, Templates, build, build_label_set, configure_command, parse_names
from .output import open_output
from .text import printable


@configure_command
def classify(
    configure: Configure,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", show_default=False, help="JPEG, PNG or WebP.")],
    labels: Annotated[str, typer.Option(metavar="A,B,...|@FILE", help="Names of the classes; @FILE: one name a line.")],
    strategy: Annotated[str | None, typer.Option(help="One of `tta-service strategies`.")] = None,
    param: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Parameter of the strategy.")] = None,
    reducer: Annotated[str | None, typer.Option(help="One of `tta-service reducers`.")] = None,
    reducer_param: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Parameter of the reducer.")
    ] = None,
    template: Templates = None,
    allow_duplicates: Duplicates = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the views; each further file adds one.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Label images. Several files are one session, so a strategy that remembers learns from file to file."""
    flags = {
        "defaults.strategy": strategy,
        "defaults.reducer": reducer,
        "batch.max_rows": 16,  # one request at a time needs no measured maximum
    }
    settings = configure(flags)
    template_request = Request(
        image=Encoded(b""),
        labels=build_label_set(parse_names(labels), template, allow_duplicates),
        strategy=build(strategies, settings.defaults.strategy, param, settings.limits.parameters),
        reduction=Reduction(build(reducers, settings.defaults.reducer, reducer_param)),
        session="files",
        seed=seed,
    )
    from .. import app  # imports torch for seconds, so mistakes come first

    unread: list[str] = []
    unseen: set[str] = set()
    with open_output(as_json) as show:

        def on_answer(request: Request, answer: Report | TTAError) -> None:
            if not isinstance(answer, Report):
                return _report_unread(unread, request.request_id, answer)
            if new := sorted({*answer.unseen} - unseen):
                unseen.update(new)
                print(f"tta-service: the text tower was never taught: {', '.join(new)}", file=sys.stderr)
            show(answer)

        app.classify(settings, _requests(template_request, files, unread), on_answer)
    if unread:
        raise typer.Exit(2)


def _requests(like: Request, files: list[Path], unread: list[str]) -> Iterator[Request]:
    """A request for each file that can be read. Names the others on stderr and in `unread`."""
    for place, file in enumerate(files):
        name = printable(str(file))
        try:
            yield replace(like, image=Encoded(file.read_bytes()), seed=like.seed + place, request_id=name)
        except OSError as error:
            _report_unread(unread, name, error)


def _report_unread(unread: list[str], file: str, error: Exception) -> None:
    unread.append(file)
    message = error.strerror if isinstance(error, OSError) else str(error)
    print(f"tta-service: {file}: {message}", file=sys.stderr)
