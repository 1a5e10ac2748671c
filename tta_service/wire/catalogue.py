"""Messages that describe the server: strategies, reducers, label sets, sessions, itself; and lists in pages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import accumulate
from typing import Any, TypeVar

from ..core.catalogue import Catalogue, Description
from ..core.errors import BadRequest
from ..core.labels import LabelSet
from ..core.moving_average import MovingAverage
from ..core.parameters import Parameter
from ..serving.sessions.session_info import SessionInfo
from ..serving.text.label_sets import CachedLabelSet
from .server_info import ServerInfo
from .v1 import tta_pb2 as pb
from .well_known import to_duration, to_struct, to_value

T = TypeVar("T")
PAGE, LONGEST, PAGE_BYTES = 50, 1000, 2 << 20
AFTER = "after:"  # begins every page token


def make_descriptions(
    catalogue: Catalogue[Any],
    seconds: defaultdict[str, MovingAverage[float]],
    limits: Mapping[str, float] | None = None,
    disabled: Collection[str] = (),
) -> list[pb.Description]:
    """Every entry, by name, with bounds within this server's `limits`. `seconds` are measured, by name."""
    return [
        _make_description(catalogue.describe(name, limits), seconds[name].value, name in disabled)
        for name in catalogue.names()
    ]


def _make_description(entry: Description, seconds: float, disabled: bool) -> pb.Description:
    return pb.Description(
        name=entry.name,
        summary=entry.summary,
        paper=entry.paper,
        parameters=[_make_parameter(parameter) for parameter in entry.parameters],
        views=entry.needs.views,
        memory=entry.needs.memory.value,
        gradient=entry.needs.gradient,
        teachable=entry.teachable,
        seconds=seconds,
        disabled=disabled,
    )


def _make_parameter(parameter: Parameter) -> pb.Parameter:
    message = pb.Parameter(
        name=parameter.name,
        type=parameter.type,
        default_value=to_value(parameter.default),
        description=parameter.description,
        choices=parameter.choices,
    )
    if parameter.minimum is not None:
        message.minimum.number_value = parameter.minimum
    if parameter.maximum is not None:
        message.maximum.number_value = parameter.maximum
    return message


def paginate(
    items: Iterable[T],
    key: Callable[[T], str],
    page_size: int,
    page_token: str,
    bytes_of: Callable[[T], int] = lambda item: 0,
) -> tuple[list[T], str]:
    """The items after `page_token` in the order of `key`, and the next token, empty at the end.

    A page of several has at most `PAGE_BYTES`: plain gRPC clients take messages of 4 MiB.
    A token holds the last key of a page, so items added or removed between two pages neither repeat nor hide others.
    Raises `BadRequest` for a token that is none.
    """
    if page_token and not page_token.startswith(AFTER):
        raise BadRequest("this is no token of a page: take next_page_token of the page before", "page_token")
    size, after = min(page_size or PAGE, LONGEST), page_token.removeprefix(AFTER)
    rest = sorted((item for item in items if key(item) > after), key=key)
    sums = accumulate(map(bytes_of, rest[:size]))
    page = [item for place, (item, bytes) in enumerate(zip(rest, sums)) if not place or bytes <= PAGE_BYTES]
    return page, AFTER + key(page[-1]) if len(rest) > len(page) else ""


def make_label_set(labels: LabelSet) -> pb.LabelSet:
    """The whole definition."""
    sentences = [pb.Sentences(texts=some) for some in labels.sentences]
    duplicates = labels.allow_duplicates
    return pb.LabelSet(names=labels.names, templates=labels.templates, allow_duplicates=duplicates, sentences=sentences)


def make_label_set_info(label_set: CachedLabelSet) -> pb.LabelSetInfo:
    """Describes a label set without its names."""
    id, classes = label_set.labels.id, len(label_set.labels.names)
    return pb.LabelSetInfo(
        id=id, classes=classes, bytes=label_set.bytes, cached=label_set.cached, unseen=label_set.unseen
    )


def make_session_info(session: SessionInfo) -> pb.SessionInfo:
    """Describes a session."""
    return pb.SessionInfo(
        session_id=session.id,
        frames=session.frames,
        memory_bytes=session.memory_bytes,
        strategies=session.strategies,
        age=to_duration(session.age),
        idle=to_duration(session.idle),
        epoch=session.epoch,
        last_frame_id=session.last_frame_id,
        lesson_group=session.group,
        questions=session.questions,
        lessons=session.lessons,
        lessons_set_apart=session.lessons_set_apart,
        owner=session.owner,
        flips=session.answers.flips,
        deferred=session.answers.deferred,
        drift=session.answers.drift,
        resets=session.answers.resets,
        rejections=session.answers.rejections,
    )


def make_server_info(server_info: ServerInfo) -> pb.GetServerInfoResponse:
    """Describes the server: its build, model, device and limits."""
    return pb.GetServerInfoResponse(
        version=server_info.version,
        model=server_info.model,
        device=server_info.device,
        precision=server_info.precision,
        image_size=server_info.image_size,
        jpeg_side=server_info.jpeg_side,
        dimension=server_info.dimension,
        limits=to_struct(server_info.limits.model_dump()),
        model_fingerprint=server_info.fingerprint,
    )
