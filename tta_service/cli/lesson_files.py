"""Lessons in files: an export as JSON, the same beside a folder of thumbnails, and any folder of labelled pictures.

The JSON is a `ListLessonsResponse` of tta.v1 in protobuf's JSON mapping, with features in base64.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from google.protobuf import json_format

from ..core.errors import BadLabels, BadRequest
from ..wire.v1 import tta_pb2 as pb
from .text import printable, utf8

JSON = "lessons.json"  # in a folder
NONE = "none_of_these"  # the folder of pictures that show none of the labels
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


def write_lessons(exported: pb.ListLessonsResponse, to: Path) -> int:
    """Writes an export to a `.json` file, or to a new folder with a subfolder for each class; how many pictures.

    Raises `BadRequest` for a folder that holds something.
    """
    if to.suffix.lower() == ".json":
        _write_json(exported, to)
        return 0
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise BadRequest(f"{printable(str(to))} is no empty folder; name a new one, or a file that ends in .json", "to")
    to.mkdir(parents=True, exist_ok=True)
    _write_json(exported, to / JSON)
    pictures = [lesson for lesson in exported.lessons if lesson.recorded.thumbnail]
    for lesson in pictures:
        file = to / _safe(lesson.label or NONE) / f"{_safe(lesson.example_id)}.jpg"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(lesson.recorded.thumbnail)
    return len(pictures)


def read_export(file: Path) -> pb.ListLessonsResponse:
    """An export that `write_lessons` wrote. Raises `BadRequest`, OSError."""
    about = f"{printable(str(file))} is no export of lessons"
    try:
        if not isinstance(content := json.loads(file.read_bytes()), dict):
            raise ValueError("it is no object")
        exported = json_format.ParseDict(content, pb.ListLessonsResponse(), ignore_unknown_fields=True)
    except (ValueError, RecursionError, json_format.ParseError) as error:
        raise BadRequest(f"{about}: {error}", "from") from None
    for lesson in exported.lessons:
        if not lesson.HasField("recorded") or lesson.label_set_id not in exported.label_sets:
            raise BadRequest(f"{about}: {lesson.example_id!r} lacks its features or its label set", "from")
    return exported


def read_pictures(folder: Path, labels: Sequence[str]) -> tuple[tuple[str, ...], list[tuple[Path, str | None]]]:
    """The labels of an ImageFolder, and its pictures with theirs; None: none of these.

    The labels are the names of its folders, unless `labels` are given. Raises `BadRequest` for a folder without
    pictures, `BadLabels` for a folder's name that is none of the labels.
    """
    folders = {_name(one): _find_pictures(one) for one in sorted(folder.glob("[!.]*/"))}
    names = tuple(labels) or tuple(name for name in folders if name != NONE)
    pictures = [(file, name) for name, files in folders.items() for file in files]
    if unknown := {printable(name) for _, name in pictures} - {*map(printable, names), NONE}:
        reason = f"the folders {', '.join(sorted(unknown))} are none of the labels; put their pictures into {NONE}"
        raise BadLabels(reason, "labels")
    if not pictures:
        wanted = f"folders with pictures, named as their labels, nor a {JSON}"
        raise BadRequest(f"{printable(str(folder))} holds neither {wanted}", "from")
    return names, [(file, name if name in names else None) for file, name in pictures]


def _find_pictures(folder: Path) -> list[Path]:
    return sorted(one for one in folder.rglob("*") if one.suffix.lower() in SUFFIXES and one.is_file())


def make_lesson(info: pb.LessonInfo, labels: pb.Labels) -> pb.Lesson:
    """A lesson of an export, to be taught."""
    return word(pb.Lesson(recorded=info.recorded, labels=labels), info.label or None)


def word(lesson: pb.Lesson, label: str | None) -> pb.Lesson:
    """The lesson with its label; None: none of these."""
    if label is None:
        lesson.none_of_these = True
    else:
        lesson.label = label
    return lesson


def _write_json(exported: pb.ListLessonsResponse, file: Path) -> None:
    content: dict[str, Any] = json_format.MessageToDict(exported, preserving_proto_field_name=True)
    file.write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")


def _safe(name: str) -> str:
    """A name as part of a path on any system: not hidden, and at most 200 bytes."""
    quoted = quote(name, safe=" ()[]+,-_=@")
    return quoted.replace(".", "%2E", 1)[:200] if quoted.startswith(".") else quoted[:200]


def _name(folder: Path) -> str:
    try:
        return utf8(folder.name)
    except ValueError as error:
        raise BadLabels(str(error), "labels") from None
