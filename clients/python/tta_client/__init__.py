"""Thin client of tta_service: pictures and labels in, adapted answers out."""

from .aio import AsyncClient
from .aio_stream import AsyncStream
from .answers import Answer, FrameAnswer, FrameFailure, Score, SessionStatus, Timings
from .backoff import Reconnect
from .choices import Cascade, Choice, Options, Reduction
from .client import Client
from .errors import TTAClientError
from .frames import Features, Frame
from .labels import LabelSet
from .listings import Description, LabelSetInfo, Parameter, ServerInfo, SessionInfo, Snapshot
from .statistics import Statistics
from .stream import Stream

__all__ = [
    "Answer",
    "AsyncClient",
    "AsyncStream",
    "Cascade",
    "Choice",
    "Client",
    "Description",
    "Features",
    "Frame",
    "FrameAnswer",
    "FrameFailure",
    "LabelSet",
    "LabelSetInfo",
    "Options",
    "Parameter",
    "Reconnect",
    "Reduction",
    "Score",
    "ServerInfo",
    "SessionInfo",
    "SessionStatus",
    "Snapshot",
    "Statistics",
    "Stream",
    "TTAClientError",
    "Timings",
]
