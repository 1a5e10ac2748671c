"""Lessons: from messages to core values and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..core.errors import BadLabels, BadRequest, PermissionDenied, TTAError
from ..core.labels import LabelSet
from ..core.lessons import ExampleRef, FrameRef, Lesson, LessonRequest, LessonResult, RequestRef
from ..core.reducer import Reduction
from ..core.request import Encoded, Features, Raw
from .field_paths import FieldOrigins
from .options import parse_reduction
from .requests import LabelLookup, parse_image, parse_labels
from .server_info import ServerInfo
from .status import to_status, to_tta_error
from .stream_requests import StreamConfig
from .v1 import tta_pb2 as pb
from .well_known import to_timestamp


def parse_lesson(
    message: pb.Lesson,
    find_labels: LabelLookup,
    server_info: ServerInfo,
    path: str,
    labels: LabelSet | None = None,
    reduction: Reduction | None = None,
) -> LessonRequest:
    """The lesson in a message at `path`. `labels` and `reduction` are those of the stream that carries it.

    Raises `TTAError` that names the field.
    """
    named = None
    if message.HasField("labels"):
        named = parse_labels(message.labels, find_labels, server_info, f"{path}.labels")
    if reduction is None or message.HasField("reduction"):
        reduction = parse_reduction(message.reduction, server_info, f"{path}.reduction")
    about = _parse_about(message, reduction, server_info, path)
    if isinstance(about, Encoded | Raw | Features):
        named = named or labels
    return LessonRequest(about, _parse_label(message, path), named, reduction)


@dataclass(frozen=True, slots=True)
class StreamLesson:
    """A lesson of a stream, or the error of parsing it."""

    message: pb.Lesson
    parsed: LessonRequest | TTAError

    @property
    def request(self) -> LessonRequest:
        """Raises the error of parsing it."""
        if isinstance(self.parsed, TTAError):
            raise self.parsed
        return self.parsed

    def refuse(self, error: Exception) -> pb.LessonResult:
        """The result that says why."""
        return make_refusal(self.message, error, "lesson", located=self.parsed is error)


def parse_stream_lesson(
    message: pb.Lesson, find_labels: LabelLookup, server_info: ServerInfo, config: StreamConfig
) -> StreamLesson:
    """The lesson in a message of a stream. Raises nothing: one that cannot be parsed holds its error."""
    try:
        given = config.labels, config.options.reduction
        return StreamLesson(message, parse_lesson(message, find_labels, server_info, "lesson", *given))
    except Exception as error:  # an unexpected error fails this lesson, not the stream
        return StreamLesson(message, to_tta_error(error))


def _parse_about(message: pb.Lesson, reduction: Reduction, server_info: ServerInfo, path: str) -> Any:
    match message.WhichOneof("about"):
        case "frame_id":
            return FrameRef(message.frame_id)
        case "request_id" if message.request_id:
            return RequestRef(message.request_id)
        case "example_id" if message.example_id:
            return ExampleRef(message.example_id)
        case "image":
            return parse_image(message.image, reduction, server_info, f"{path}.image")
        case _:
            raise BadRequest("about which frame, request, example or image?", path)


def _parse_label(message: pb.Lesson, path: str) -> str | None:
    """The label; None: none of these."""
    match message.WhichOneof("word"):
        case "label":
            return message.label
        case "none_of_these" if message.none_of_these:
            return None
        case _:
            raise BadLabels("what does the picture show: which label, or none of these?", f"{path}.label")


def make_refusal(message: pb.Lesson, error: Exception, path: str, located: bool = False) -> pb.LessonResult:
    """Why the lesson at `path` was refused. `located`: the error names its field already."""
    error, about = to_tta_error(error), f"{path}.{message.WhichOneof('about')}"
    if not located and error.field != "session_id" and not isinstance(error, PermissionDenied):
        labels = f"{path}.labels" + (f".{message.labels.WhichOneof('source')}" if message.HasField("labels") else "")
        if error.field in ("", "label"):
            error.field = f"{path}.label" if error.field else about
        else:
            error = FieldOrigins(f"{about}.{message.image.WhichOneof('content')}", labels, path).locate(error)
    return pb.LessonResult(status=to_status(error))


def make_result(taught: LessonResult) -> pb.LessonResult:
    """What became of a lesson."""
    return pb.LessonResult(
        example_id=taught.example,
        replaced=taught.replaced,
        learnt_by=taught.learnt_by,
        began_anew=taught.began_anew,
    )


def make_lesson_info(lesson: Lesson) -> pb.LessonInfo:
    """Describes a lesson."""
    example = lesson.example
    return pb.LessonInfo(
        example_id=example.id,
        label=lesson.label or "",
        label_set_id=example.labels.id,
        seen=to_timestamp(example.seen),
        frame_id=example.frame_id,
    )
