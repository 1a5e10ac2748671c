"""Listings of the service: strategies, reducers, label sets, sessions, the server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format

from ..channel import parse_session
from ..errors import blame_field
from ..v1 import tta_pb2
from .values import read_fields


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a strategy or reducer; None: it has no such bound."""

    name: str
    type: str  # "int", "float", "bool", "string"
    default: Any
    minimum: float | None
    maximum: float | None
    description: str
    choices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Description:
    """A strategy or a reducer. `seconds` is its measured time per request on this server; 0: never used."""

    name: str
    summary: str
    paper: str
    parameters: tuple[Parameter, ...]
    views: int
    memory: str  # the scope of its memory: "request", "labels", "session"
    gradient: bool
    teachable: bool  # it learns from lessons
    seconds: float
    disabled: bool  # switched off on that server: zero_shot answers in its place


@dataclass(frozen=True, slots=True)
class LabelSetInfo:
    """One registered label set. `bytes` is the size of its cached embeddings."""

    id: str
    classes: int
    bytes: int
    cached: bool
    unseen: tuple[str, ...] = ()  # names absent from the text tower's training; known while it is cached


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """One session and the size of what it has learnt."""

    session_id: str
    frames: int
    memory_bytes: int
    strategies: tuple[str, ...]
    age: float  # seconds
    idle: float  # seconds
    epoch: int
    last_frame_id: int
    questions: int = 0  # that wait for a lesson
    flips: int = 0  # answers whose label adaptation changed, since the server opened the session
    deferred: int = 0  # answers that were left to a person, since then
    drift: float | None = None  # standard deviations by which recent pictures fit the labels less than the first did
    resets: int = 0  # answers whose memory was lost and began anew
    rejections: int = 0  # frames that no memory learnt from by `admit_below`, and answers that the guard gave


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A copy of a session, for any service with the same key to restore. `state` is opaque and signed."""

    session_id: str
    epoch: int
    state: bytes


@dataclass(frozen=True, slots=True)
class DeletedOwner:
    """What a service had of an owner before it was deleted."""

    sessions: int
    lesson_groups: int
    label_sets: int
    stored: int  # sessions and lesson groups in the state store, with those of `sessions`


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """The server's model, device and limits. `model_fingerprint` identifies the weights; `Features` must match it."""

    version: str
    model: str
    device: str
    precision: str
    image_size: int
    dimension: int
    limits: Mapping[str, Any]
    model_fingerprint: str
    jpeg_side: int = 0  # pixels that the server's decoding leaves on the shorter side of a JPEG; 0: all


def parse_description(message: tta_pb2.Description) -> Description:
    """A strategy or reducer of the wire."""
    return read_fields(Description, message, parameters=tuple(map(_parse_parameter, message.parameters)))


def parse_label_set_info(message: tta_pb2.LabelSetInfo) -> LabelSetInfo:
    """A label set of the wire, without its names."""
    return read_fields(LabelSetInfo, message)


def parse_session_info(message: tta_pb2.SessionInfo) -> SessionInfo:
    """A session of the wire; durations become seconds."""
    age, idle = (duration.ToTimedelta().total_seconds() for duration in (message.age, message.idle))
    drift = message.drift if message.HasField("drift") else None
    return read_fields(SessionInfo, message, age=age, idle=idle, drift=drift)


def parse_snapshot(message: tta_pb2.SessionSnapshot) -> Snapshot:
    """A snapshot of the wire."""
    return read_fields(Snapshot, message)


def make_snapshot_message(snapshot: Snapshot | bytes) -> tta_pb2.SessionSnapshot:
    """A snapshot for the wire; its `state` alone is enough. Raises `Refused` for anything else."""
    with blame_field("snapshot"):
        if isinstance(snapshot, bytes):
            return tta_pb2.SessionSnapshot(state=snapshot)
        if not isinstance(snapshot, Snapshot):
            raise TypeError(f"{repr(snapshot)[:60]} is neither a Snapshot nor its bytes")
        session = parse_session(snapshot.session_id)
        return tta_pb2.SessionSnapshot(session_id=session, epoch=snapshot.epoch, state=snapshot.state)


def parse_deleted_owner(message: tta_pb2.DeleteOwnerResponse) -> DeletedOwner:
    """The numbers of the wire."""
    return read_fields(DeletedOwner, message)


def parse_server_info(message: tta_pb2.GetServerInfoResponse) -> ServerInfo:
    """The server of the wire; `limits` under the JSON names of the proto."""
    return read_fields(ServerInfo, message, limits=json_format.MessageToDict(message.limits))


def _parse_parameter(message: tta_pb2.Parameter) -> Parameter:
    default, low, high = (_parse_value(message, name) for name in ("default_value", "minimum", "maximum"))
    return read_fields(Parameter, message, default=default, minimum=low, maximum=high)


def _parse_value(message: tta_pb2.Parameter, field: str) -> Any:
    """The wire has only doubles: those of an "int" parameter become ints."""
    value: Any = json_format.MessageToDict(getattr(message, field)) if message.HasField(field) else None
    return int(value) if message.type == "int" and value is not None else value
