"""The commands `lessons list`, `export`, `import`, `unlearn` and `teach`, on a running service."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from ..core.errors import BadLabels, BadRequest
from .options import AsJson, Templates, build_label_set, parse_names
from .remote import Remote, remote_command
from .teach_lessons import Named, teach
from .text import json_line, printable

LabelNames = Annotated[str, typer.Option(metavar="A,B,...|@FILE", help="Names of the classes; @FILE: one name a line.")]

lessons = typer.Typer(
    help="Lessons of a session or lesson group of a running service.", no_args_is_help=True, rich_markup_mode=None
)


@lessons.command("list")
@remote_command
def list_lessons(remote: Remote, as_json: AsJson = False) -> None:
    """List the lessons in the order of teaching: example, label, when the picture was seen."""
    for info in _export(remote, recorded=False).lessons:
        label, apart = info.label or "(none of these)", "set apart" if info.set_apart else ""
        cells = {"example": info.example_id, "label": label, "seen": info.seen.ToJsonString(), "state": apart}
        print(json_line(cells | {"label": info.label or None}) if as_json else "\t".join(cells.values()).rstrip())


@lessons.command("export")
@remote_command
def export_lessons(
    remote: Remote,
    to: Annotated[Path, typer.Option(help="A new folder for lessons.json and thumbnails by class, or a .json file.")],
) -> None:
    """Write all lessons to files from which `import` teaches them elsewhere."""
    from .lesson_files import write_lessons

    exported = _export(remote, recorded=True)
    pictures = write_lessons(exported, to)
    print(
        f"{len(exported.lessons)} lessons, {pictures} of them with a picture"
        if pictures
        else f"{len(exported.lessons)} lessons"
    )


@lessons.command("import")
@remote_command
def import_lessons(
    remote: Remote,
    source: Annotated[
        Path,
        typer.Argument(metavar="FROM", show_default=False, help="What `export` wrote, or folders named as labels."),
    ],
    labels: LabelNames = "",
    template: Templates = None,
) -> None:
    """Teach lessons from files. Lessons that are known already are replaced."""
    _report(teach(remote, _read(remote, source, parse_names(labels), template)))


@lessons.command("unlearn")
@remote_command
def unlearn_lessons(
    remote: Remote, examples: Annotated[list[str], typer.Argument(metavar="EXAMPLE...", help="As `list` prints them.")]
) -> None:
    """Take lessons back."""
    from ..wire.v1 import tta_pb2 as pb

    gone = remote.call("Unlearn", pb.UnlearnRequest(**remote.about, example_ids=examples)).unlearnt
    print(f"{len(gone)} taken back")
    if unknown := sorted({*examples} - {*gone}):
        raise BadRequest(f"there is no lesson about {', '.join(map(printable, unknown))}", "example")


@lessons.command("teach")
@remote_command
def teach_lesson(
    remote: Remote,
    picture: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="A picture: JPEG, PNG or WebP.")] = None,
    label: Annotated[str | None, typer.Option(help="What the picture shows.")] = None,
    none_of_these: Annotated[bool, typer.Option("--none-of-these", help="It shows none of the labels.")] = False,
    frame: Annotated[int | None, typer.Option(min=0, help="A recent frame of the session's stream.")] = None,
    request: Annotated[str, typer.Option(help="A recent call of the session, by its request id.")] = "",
    example: Annotated[str, typer.Option(help="A picture that the session knows, as `list` prints it.")] = "",
    labels: LabelNames = "",
    template: Templates = None,
) -> None:
    """Say what one picture shows."""
    from ..wire.v1 import tta_pb2 as pb
    from .lesson_files import word

    given = {"frame_id": frame, "request_id": request or None, "example_id": example or None}
    about: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if picture is not None:
        about["image"] = pb.Image(encoded=picture.read_bytes())
    if len(about) != 1:
        raise BadRequest("name one of FILE, --frame, --request and --example", "about")
    if (label is None) is not none_of_these:
        raise BadLabels("say what it shows: --label NAME, or --none-of-these", "label")
    lesson = pb.Lesson(**about)
    if names := parse_names(labels):
        lesson.labels.CopyFrom(_put(remote, names, template))
    word(lesson, label)
    _report(teach(remote, [(printable(str(picture or example or request or frame)), lambda: lesson)]))


def _export(remote: Remote, recorded: bool) -> Any:
    """All lessons, in one `ListLessonsResponse`."""
    from ..wire.v1 import tta_pb2 as pb

    def request(token: str) -> pb.ListLessonsRequest:
        return pb.ListLessonsRequest(**remote.about, page_size=1000, page_token=token, recorded=recorded)

    exported = pb.ListLessonsResponse()
    for page in remote.pages("ListLessons", request):
        exported.lessons.extend(page.lessons)
        for id, label_set in page.label_sets.items():
            exported.label_sets[id].CopyFrom(label_set)
    return exported


def _read(remote: Remote, source: Path, names: tuple[str, ...], template: list[str] | None) -> list[Named]:
    """The lessons of the files."""
    from ..wire.v1 import tta_pb2 as pb
    from .lesson_files import JSON, make_lesson, read_export, read_pictures, word

    export = source / JSON if source.is_dir() else source
    if not source.is_dir() or export.is_file():
        exported = read_export(export)
        labels = {id: remote.put(one) for id, one in exported.label_sets.items()}
        return [(one.example_id, partial(make_lesson, one, labels[one.label_set_id])) for one in exported.lessons]
    names, pictures = read_pictures(source, names)
    labels = _put(remote, names, template)

    def make(file: Path, label: str | None) -> pb.Lesson:
        return word(pb.Lesson(image=pb.Image(encoded=file.read_bytes()), labels=labels), label)

    return [(printable(str(file)), partial(make, file, label)) for file, label in pictures]


def _put(remote: Remote, names: tuple[str, ...], template: list[str] | None) -> Any:
    from ..wire.catalogue import make_label_set

    return remote.put(make_label_set(build_label_set(names, template, allow_duplicates=False)))


def _report(counts: Counter[str]) -> None:
    """Prints what became of the lessons. Exit code 2 if some were refused."""
    parts = [f"{counts['taught']} taught"]
    parts += [f"{int(counts['replaced'])} of them replaced an earlier one"] if counts["replaced"] else []
    parts += [f"{counts['apart']} set apart, because another model made their features"] if counts["apart"] else []
    parts += ["not in a state store"] if counts["stored"] < counts["taught"] else []
    parts += [f"{counts['refused']} refused"] if counts["refused"] else []
    print(", ".join(parts))
    if counts["refused"]:
        raise typer.Exit(2)
