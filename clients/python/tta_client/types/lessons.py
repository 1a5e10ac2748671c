"""Lessons: what a person says about a picture, and what the service tells of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format

from ..errors import blame_field, from_status, make_refusal
from ..v1 import tta_pb2
from .frames import Image, make_image_message
from .limits import Limits
from .values import parse_text, parse_unsigned, read_fields

_MOST, _BYTES = 50, 2 << 20  # lessons of one message


@dataclass(frozen=True, slots=True)
class LessonResult:
    """What became of a lesson."""

    example_id: str  # of the picture in its session
    replaced: bool  # there was a lesson about it
    learnt_by: tuple[str, ...]  # strategies whose memory has learnt it; others learn it when they begin
    began_anew: tuple[str, ...]  # strategies whose memory began anew, because the lesson before was taken back
    stored: bool = False  # the service's state store has it; else it may be lost with its server
    set_apart: bool = False  # kept, but another model made its features: nothing learns from it


@dataclass(frozen=True, slots=True)
class LessonInfo:
    """A lesson of a session."""

    example_id: str
    label: str  # empty: none of these
    label_set_id: str
    seen: float  # Unix seconds, when the picture came
    frame_id: int | None  # None: it was no frame of a stream
    set_apart: bool = False  # another model made its features: nothing learns from it


def make_lesson_message(
    label: str | None,
    frame: int | None,
    request_id: str,
    example: str,
    image: Image | None,
    label_set_id: str,
    limits: Limits,
) -> tta_pb2.Lesson:
    """The message of one lesson. Raises `Refused`, naming the field, for what cannot be sent."""
    message = tta_pb2.Lesson()
    given = {"frame": frame is not None, "request_id": request_id, "example": example, "image": image is not None}
    if len([name for name, value in given.items() if value]) != 1:
        raise make_refusal(f"a lesson is about one of {', '.join(given)}", "lesson")
    if frame is not None:
        message.frame_id = parse_unsigned(frame, "frame")
    elif request_id:
        message.request_id = parse_text(request_id, "request_id")
    elif example:
        message.example_id = parse_text(example, "example")
    elif image is not None:
        with blame_field("image"):
            message.image.CopyFrom(make_image_message(image, "image", limits))
    if label is None:
        message.none_of_these = True
    else:
        message.label = parse_text(label, "label")
    if label_set_id:
        message.labels.id = label_set_id
    return message


def parse_lesson_result(result: Any) -> LessonResult:
    """What became of a lesson. Raises the `TTAClientError` of one that was refused."""
    if result.HasField("status"):
        raise from_status(result.status)
    return read_fields(LessonResult, result)


def parse_lesson_info(message: Any) -> LessonInfo:
    """A lesson from its message."""
    frame_id = message.frame_id if message.HasField("frame_id") else None
    return read_fields(LessonInfo, message, seen=message.seen.ToNanoseconds() / 1e9, frame_id=frame_id)


def dump_lessons(exported: tta_pb2.ListLessonsResponse) -> str:
    """An export as JSON, in protobuf's mapping."""
    content: dict[str, Any] = json_format.MessageToDict(exported, preserving_proto_field_name=True)
    return json.dumps(content, ensure_ascii=False, indent=1)


def load_lessons(text: str) -> tta_pb2.ListLessonsResponse:
    """The export that `dump_lessons` wrote. Raises `Refused` for any other text."""
    try:
        if not isinstance(content := json.loads(parse_text(text, "exported")), dict):
            raise ValueError("it is no object")
        exported = json_format.ParseDict(content, tta_pb2.ListLessonsResponse(), ignore_unknown_fields=True)
    except (ValueError, RecursionError, json_format.ParseError) as error:
        raise make_refusal(f"this is no export of lessons: {error}", "exported") from None
    for lesson in exported.lessons:
        if not lesson.HasField("recorded") or lesson.label_set_id not in exported.label_sets:
            raise make_refusal(f"lesson {lesson.example_id!r} lacks its features or its label set", "exported")
    return exported


def pack_lessons(exported: tta_pb2.ListLessonsResponse, labels: Mapping[str, str]) -> Iterator[list[tta_pb2.Lesson]]:
    """The lessons of an export, as many at a time as a message holds; `labels`: the service's ids of its label sets."""
    batch, size = list[tta_pb2.Lesson](), 0
    for info in exported.lessons:
        lesson = tta_pb2.Lesson(recorded=info.recorded, labels=tta_pb2.Labels(id=labels[info.label_set_id]))
        if info.label:
            lesson.label = info.label
        else:
            lesson.none_of_these = True
        if batch and (len(batch) == _MOST or size + lesson.ByteSize() > _BYTES):
            yield batch
            batch, size = [], 0
        batch.append(lesson)
        size += lesson.ByteSize()
    if batch:
        yield batch
