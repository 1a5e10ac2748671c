"""The client of tta_service: images and labels in, adapted answers out."""

from .aio.client import AsyncClient
from .aio.stream import AsyncStream
from .channel import TLS
from .errors import TTAClientError
from .protocol.reconnect import Reconnect
from .statistics import Statistics
from .sync.client import Client
from .sync.stream import Stream
from .types.answers import Answer, AnswerWarning, FrameAnswer, FrameFailure, Score, SessionStatus, Timings
from .types.catalogue import DeletedOwner, Description, LabelSetInfo, Parameter, ServerInfo, SessionInfo, Snapshot
from .types.confidence import Ask, Confidence, Smooth
from .types.frames import Features, Frame
from .types.labels import LabelSet
from .types.lessons import LessonInfo, LessonResult
from .types.options import Cascade, Choice, Options, Reduction
from .types.questions import Question
from .types.sums import GivenSums, LessonSums, TakenSums

__all__ = [
    "TLS",
    "Answer",
    "AnswerWarning",
    "Ask",
    "AsyncClient",
    "AsyncStream",
    "Cascade",
    "Choice",
    "Client",
    "Confidence",
    "DeletedOwner",
    "Description",
    "Features",
    "Frame",
    "FrameAnswer",
    "FrameFailure",
    "GivenSums",
    "LabelSet",
    "LabelSetInfo",
    "LessonInfo",
    "LessonResult",
    "LessonSums",
    "Options",
    "Parameter",
    "Question",
    "Reconnect",
    "Reduction",
    "Score",
    "ServerInfo",
    "SessionInfo",
    "SessionStatus",
    "Smooth",
    "Snapshot",
    "Statistics",
    "Stream",
    "TTAClientError",
    "TakenSums",
    "Timings",
]
