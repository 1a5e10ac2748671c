"""What the service can say about itself: strategies, reducers, label sets, sessions, the server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format

from ..v1 import tta_pb2


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    type: str  # "int", "float", "bool", "string"
    default: Any
    minimum: float | None
    maximum: float | None
    description: str
    choices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Description:
    """A strategy or a reducer. `seconds` is what it takes on this server, 0 when it was never used."""

    name: str
    summary: str
    paper: str
    parameters: tuple[Parameter, ...]
    views: int
    memory: str  # how long it remembers: "request", "labels", "session"
    gradient: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class LabelSetInfo:
    id: str
    classes: int
    bytes: int
    cached: bool
    unseen: tuple[str, ...] = ()  # names that the text tower was never taught; known while it is cached


@dataclass(frozen=True, slots=True)
class SessionInfo:
    session_id: str
    frames: int
    memory_bytes: int
    strategies: tuple[str, ...]
    age: float  # seconds
    idle: float  # seconds
    epoch: int
    last_frame_id: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A session to be restored, here or elsewhere. `state` is opaque, and signed by the service."""

    session_id: str
    epoch: int
    state: bytes


@dataclass(frozen=True, slots=True)
class ServerInfo:
    version: str
    model: str
    device: str
    precision: str
    image_size: int
    dimension: int
    limits: Mapping[str, Any]
    model_fingerprint: str


def parse_description(message: tta_pb2.Description) -> Description:
    return Description(
        message.name,
        message.summary,
        message.paper,
        tuple(_parameter(p) for p in message.parameters),
        message.views,
        message.memory,
        message.gradient,
        message.seconds,
    )


def parse_label_set_info(message: tta_pb2.LabelSetInfo) -> LabelSetInfo:
    return LabelSetInfo(message.id, message.classes, message.bytes, message.cached, tuple(message.unseen))


def parse_session_info(message: tta_pb2.SessionInfo) -> SessionInfo:
    return SessionInfo(
        message.session_id,
        message.frames,
        message.memory_bytes,
        tuple(message.strategies),
        message.age.ToTimedelta().total_seconds(),
        message.idle.ToTimedelta().total_seconds(),
        message.epoch,
        message.last_frame_id,
    )


def parse_snapshot(message: tta_pb2.SessionSnapshot) -> Snapshot:
    return Snapshot(message.session_id, message.epoch, message.state)


def make_snapshot_message(snapshot: Snapshot | bytes) -> tta_pb2.SessionSnapshot:
    if isinstance(snapshot, bytes):
        return tta_pb2.SessionSnapshot(state=snapshot)
    return tta_pb2.SessionSnapshot(session_id=snapshot.session_id, epoch=snapshot.epoch, state=snapshot.state)


def parse_server_info(message: tta_pb2.GetServerInfoResponse) -> ServerInfo:
    return ServerInfo(
        message.version,
        message.model,
        message.device,
        message.precision,
        message.image_size,
        message.dimension,
        json_format.MessageToDict(message.limits),
        message.model_fingerprint,
    )


def _parameter(message: tta_pb2.Parameter) -> Parameter:
    default, low, high = (_value(message, name) for name in ("default_value", "minimum", "maximum"))
    return Parameter(message.name, message.type, default, low, high, message.description, tuple(message.choices))


def _value(message: tta_pb2.Parameter, field: str) -> Any:
    """The wire knows only doubles: whole ones of an "int" are ints."""
    value: Any = json_format.MessageToDict(getattr(message, field)) if message.HasField(field) else None
    return int(value) if message.type == "int" and value is not None else value
