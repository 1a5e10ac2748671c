"""The command `classify`: files through the same engine, in this process and without a network."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ..core.errors import TTAError
from ..core.masking import without_secrets
from ..core.reducer import Reduction
from ..core.request import Encoded, Report, Request
from ..reducers import catalogue as reducers
from ..strategies import catalogue as strategies
from .inputs import Input, find_inputs, number_inputs, to_name
from .options import AsJson, Configure, Duplicates, Templates, build, build_label_set, configure_command, parse_names
from .output import open_output
from .result_file import open_results
from .text import printable


@configure_command
def classify(
    configure: Configure,
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            show_default=False,
            help="JPEG, PNG or WebP, a video (MP4, GIF, ...), a folder, a pattern such as 'shots/**/*.jpg', or a URL.",
        ),
    ],
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
    every: Annotated[float, typer.Option(min=0, metavar="S", help="Of a video, one frame for S seconds; 0: all.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv|FILE.jsonl", help="Write answers there, and go on where an earlier run ended."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Label images. Several files are one session, so a strategy that remembers learns from file to file.

    Examples:

    tta-service classify photo.jpg --labels cat,dog --strategy mta

    tta-service classify shots/ holiday.mp4 --every 1 --labels @names.txt --out results.csv
    """
    flags = {
        "defaults.strategy": strategy,
        "defaults.reducer": reducer,
        "batch.max_rows": 64,  # a few requests at a time need no measured maximum
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
    with ExitStack() as stack:
        results = stack.enter_context(open_results(out)) if out else None
        inputs = number_inputs(list(_find(files, unread)))
        show = results.add if results else stack.enter_context(open_output(as_json))
        step = stack.enter_context(_open_progress(inputs)) if results else lambda: None

        def on_answer(request: Request, answer: Report | TTAError) -> None:
            step()
            if not isinstance(answer, Report):
                return _report_unread(unread, request.request_id, answer)
            if new := sorted({*answer.unseen} - unseen):
                unseen.update(new)
                print(f"tta-service: the text tower was never taught: {', '.join(new)}", file=sys.stderr)
            show(answer)

        done = (
            {*results.done, *map(to_name, results.done)} if results else set[str]()
        )  # older runs have left secrets there
        largest = settings.limits.image_bytes
        app.classify(settings, _make_requests(template_request, inputs, every, largest, done, unread, step), on_answer)
    if unread:
        raise typer.Exit(2)


def _find(words: list[str], unread: list[str]) -> Iterator[Input]:
    for word in words:
        try:
            yield from find_inputs([word])
        except OSError as error:
            _report_unread(unread, printable(word), error)


def _make_requests(
    like: Request,
    inputs: Iterable[Input],
    every: float,
    largest: int,
    done: Container[str],
    unread: list[str],
    skip: Callable[[], None],
) -> Iterator[Request]:
    """A request for each picture that can be read and is not done. Names the others on stderr and in `unread`."""
    place = itertools.count()
    for source in inputs:
        try:
            for picture in source.pictures(every, largest):
                seed = like.seed + next(place)  # which a picture keeps in a run that goes on
                if picture.name in done:
                    skip()
                    continue
                try:
                    yield replace(like, image=picture.read(), seed=seed, request_id=picture.name)
                except OSError as error:
                    _report_unread(unread, picture.name, error)
        except OSError as error:
            _report_unread(unread, source.name, error)


@contextmanager
def _open_progress(inputs: Iterable[Input]) -> Iterator[Callable[[], None]]:
    """A bar on stderr with the time left, on a terminal alone; what is yielded moves it one step on."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda: None
        return
    total = 0
    for source in inputs:
        with suppress(OSError):
            total += source.count()
    with Progress(BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console) as bar:
        task = bar.add_task("", total=total)
        yield lambda: bar.advance(task)


def _report_unread(unread: list[str], file: str, error: Exception) -> None:
    unread.append(file)
    message = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
    message = message.removeprefix(f"{file}: ")  # a video names itself
    print(f"tta-service: {without_secrets(f'{file}: {message}', file)}", file=sys.stderr)
