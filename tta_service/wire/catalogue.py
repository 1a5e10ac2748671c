"""What there is to choose from, as the wire tells it, and lists in pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any, TypeVar

from ..core.catalogue import Catalogue, Description
from ..core.parameters import Parameter
from ..serving.sessions.session import SessionInfo
from ..serving.text.cache import CachedLabelSet
from .server_info import Terms
from .v1 import tta_pb2 as pb
from .well_known import duration, struct, value_of

T = TypeVar("T")
PAGE, LONGEST = 50, 1000


def descriptions(
    catalogue: Catalogue[Any], seconds: Callable[[str], float], limits: Mapping[str, float] | None = None
) -> list[pb.Description]:
    """Every entry, by name, within this server's `limits`; `seconds` by name are measured on it."""
    return [_description(catalogue.describe(name, limits), seconds(name)) for name in catalogue.names()]


def _description(entry: Description, seconds: float) -> pb.Description:
    return pb.Description(
        name=entry.name,
        summary=entry.summary,
        paper=entry.paper,
        parameters=[_parameter(parameter) for parameter in entry.parameters],
        views=entry.needs.views,
        memory=entry.needs.memory.value,
        gradient=entry.needs.gradient,
        seconds=seconds,
    )


def _parameter(one: Parameter) -> pb.Parameter:
    told = pb.Parameter(
        name=one.name,
        type=one.type,
        default_value=value_of(one.default),
        description=one.description,
        choices=one.choices,
    )
    if one.minimum is not None:
        told.minimum.number_value = one.minimum
    if one.maximum is not None:
        told.maximum.number_value = one.maximum
    return told


def page(items: Iterable[T], key: Callable[[T], str], page_size: int, page_token: str) -> tuple[list[T], str]:
    """Those after `page_token` in the order of `key`, and the next token, empty at the end.

    A token is the last key shown, so what comes and goes between two pages neither repeats nor hides the rest.
    """
    size = min(page_size or PAGE, LONGEST)
    rest = sorted((item for item in items if key(item) > page_token), key=key)
    return rest[:size], key(rest[size - 1]) if len(rest) > size else ""


class Pace:
    """Seconds by name, as moving averages over about the last twenty; 0 for what was never used."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def saw(self, name: str, seconds: float) -> None:
        before = self._seconds.get(name, seconds)
        self._seconds[name] = before + (seconds - before) / 20

    def of(self, name: str) -> float:
        return self._seconds.get(name, 0.0)


def label_set_info(held: CachedLabelSet) -> pb.LabelSetInfo:
    id, classes = held.labels.id, len(held.labels.names)
    return pb.LabelSetInfo(id=id, classes=classes, bytes=held.bytes, cached=held.cached, unseen=held.unseen)


def session_info(session: SessionInfo) -> pb.SessionInfo:
    return pb.SessionInfo(
        session_id=session.id,
        frames=session.frames,
        memory_bytes=session.memory_bytes,
        strategies=session.strategies,
        age=duration(session.age),
        idle=duration(session.idle),
        epoch=session.epoch,
        last_frame_id=session.last_frame_id,
    )


def server_info(terms: Terms) -> pb.GetServerInfoResponse:
    return pb.GetServerInfoResponse(
        version=terms.version,
        model=terms.model,
        device=terms.device,
        precision=terms.precision,
        image_size=terms.image_size,
        dimension=terms.dimension,
        limits=struct(asdict(terms.limits)),
        model_fingerprint=terms.fingerprint,
    )
