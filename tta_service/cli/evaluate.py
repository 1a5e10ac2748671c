"""The command `evaluate`: what strategies are worth on pictures with labels."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.errors import BadLabels, BadRequest
from ..core.masking import without_secrets
from .options import AsJson, Configure, Templates, configure_command, parse_names
from .text import json_line, utf8

if TYPE_CHECKING:
    from ..evaluate.command import EvaluationOptions
    from ..evaluate.evaluation import Advance

DATA = "A folder of class folders or with a metadata file, a CSV, an npz file, torchvision:NAME, or a paper's set."
BESIDE_PAPER = {  # options that say what a paper's protocol says, or print what it does not
    *("strategies", "labels", "shift", "order", "repeat", "lessons", "template", "views", "seed", "guard"),
    *("report", "as_json", "as_csv"),
}


@configure_command
def evaluate(
    configure: Configure,
    context: typer.Context,
    data: Annotated[str, typer.Argument(metavar="DATA", help=DATA, show_default=False)] = "",
    strategies: Annotated[
        str, typer.Option(metavar="A,B|A;B:x=1|all", help="Which to compare with plain CLIP, with parameters.")
    ] = "all",
    labels: Annotated[
        str | None, typer.Option(metavar="A,B,...|@FILE", help="Other names of the classes, or more classes.")
    ] = None,
    shift: Annotated[
        list[str] | None, typer.Option(metavar="KIND:SEVERITY", help="A corruption beside the clean pictures: fog:3.")
    ] = None,
    order: Annotated[
        str, typer.Option(metavar="shuffled,given,classes", help="In which order memories see the pictures.")
    ] = "shuffled",
    repeat: Annotated[int, typer.Option(min=1, max=100, help="Seeded orders, and draws of lessons.")] = 3,
    lessons: Annotated[str, typer.Option(metavar="0,1,2,4,8", help="Taught before, of each class.")] = "0",
    template: Templates = None,
    count: Annotated[
        int | None, typer.Option(min=0, help="Pictures, a seeded choice, 500 by default; 0: all, as with --paper.")
    ] = None,
    views: Annotated[int, typer.Option(min=1, max=512, help="Of a picture, at most.")] = 64,
    seed: Annotated[int, typer.Option(min=0, max=1_000_000, help="Of everything that is drawn.")] = 0,
    guard: Annotated[bool, typer.Option(help="As the service: a memory that does harm does not answer.")] = True,
    paper: Annotated[
        str | None, typer.Option(metavar="NAME|list", help="A published protocol; DATA is the folder of its sets.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --paper: made-up pictures, and the bundled model.")
    ] = False,
    report: Annotated[Path, typer.Option(metavar="FILE", help="The HTML report.")] = Path("evaluation.html"),
    cache: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Features and answers; ~/.cache/tta-service by default.")
    ] = None,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="A line for every prediction.")] = False,
) -> None:
    """Encode the pictures once, replay every strategy on them, print a table and write an HTML report.

    Nothing is made twice: a run that was stopped goes on where it was.
    """
    from ..evaluate.command import EvaluationOptions, run_evaluation, run_paper  # imports torch for seconds

    options = EvaluationOptions(
        data=utf8(data),
        strategies=strategies,
        labels=_parse_labels(labels),
        shifts=tuple(shift or ()),
        order=order,
        repeat=repeat,
        lessons=lessons,
        templates=tuple(map(utf8, template or ())),
        count=count,
        views=views,
        seed=seed,
        guard=guard,
        cache=cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tta-service",
    )
    _check_together(context, paper, dry_run)
    _check(options, "list" if paper and dry_run else paper, report, as_json and as_csv)
    with _show_progress() as advance:
        if paper:
            for line in run_paper(configure, options, paper, dry_run, advance):
                print(line, flush=True)
            return
        made = run_evaluation(configure, options, advance)
    _print(made, _make_command(context), report, as_json, as_csv)


def _parse_labels(labels: str | None) -> tuple[str, ...]:
    names = parse_names(labels) if labels is not None else ()
    if labels is not None and not names:
        raise BadLabels("--labels names no class", "labels")
    return names


def _check_together(context: typer.Context, paper: str | None, dry_run: bool) -> None:
    """Raises `BadRequest` that names the options that would do nothing."""
    if dry_run and not paper:
        raise BadRequest("--dry-run is of --paper NAME alone", "dry_run")
    typed = [one for one in context.command.params if _is_typed(context, str(one.name))]
    idle = [max(one.opts, key=len) for one in typed if one.name in BESIDE_PAPER]
    if paper and idle:
        why = "what is compared is its protocol, and what is printed its table"
        raise BadRequest(f"--paper does not go together with {', '.join(idle)}: {why}", "paper")


def _is_typed(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _check(options: EvaluationOptions, paper: str | None, report: Path, both: bool) -> None:
    """Raises `BadRequest` before minutes are spent. The protocol `list` needs no data."""
    if not options.data and paper != "list":
        raise BadRequest(f"DATA is missing: {DATA[0].lower()}{DATA[1:-1]}", "data")
    if both:
        raise BadRequest("--json and --csv both print; give one of them", "csv")
    if not report.parent.is_dir():
        raise BadRequest(f"{report.parent} is no folder: the report cannot be written there", "report")
    if not paper and report.is_dir():  # a paper has no report
        raise BadRequest(f"{report} is a folder: --report names the file to be written", "report")


def _print(made: Any, command: str, report: Path, as_json: bool, as_csv: bool) -> None:
    from ..evaluate import results
    from ..evaluate.report import write_report

    write_report(made, report, command)
    if as_json:
        print(json_line(results.to_json(made, command)))
    elif as_csv:
        print(results.to_csv(made), end="")
    else:
        for line in results.text_lines(made):
            print(line)
    print(f"report: {report}", file=sys.stderr)


def _make_command(context: typer.Context) -> str:
    """What was typed, to be typed again."""
    words = list[str]()
    for one in context.command.params:
        name, value = str(one.name), context.params.get(str(one.name))
        if not _is_typed(context, name):
            continue
        if one.param_type_name == "argument":
            words.insert(0, str(value))
        elif isinstance(value, bool):
            words.append((one.opts if value else one.secondary_opts)[0])
        else:
            for each in value if isinstance(value, list | tuple) else [value]:
                words += [max(one.opts, key=len), str(each)]
    return without_secrets(shlex.join(["tta-service", "evaluate", *words]))


@contextmanager
def _show_progress() -> Iterator[Advance]:
    """A context with a function that draws bars with the time that is left, on a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    tasks: dict[str, int] = {}
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bars:

        def show(what: str, more: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=of)
            bars.update(tasks[what], advance=more, total=of)  # type: ignore[arg-type]

        yield show
