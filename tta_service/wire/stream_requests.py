"""The messages of a stream: the one that opens it, and its frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp

from ..core.errors import BadLabels, BadRequest, TTAError
from ..core.labels import LabelSet
from ..core.request import Request
from ..serving.sessions.lesson_groups import GROUP
from ..serving.sessions.session import check_session_id
from ..serving.streams import Policy
from . import status
from .field_paths import FieldOrigins, field_prefix
from .identity import NOBODY, Caller
from .options import Options, parse_options
from .requests import LabelLookup, ParsedRequest, parse_image, parse_labels
from .server_info import ServerInfo
from .v1 import tta_pb2 as pb

POLICIES = {
    pb.OpenStream.POLICY_UNSPECIFIED: Policy.LATEST,
    pb.OpenStream.POLICY_LATEST: Policy.LATEST,
    pb.OpenStream.POLICY_DROP_OLDEST: Policy.DROP_OLDEST,
    pb.OpenStream.POLICY_DROP_NEWEST: Policy.DROP_NEWEST,
    pb.OpenStream.POLICY_BLOCK: Policy.BLOCK,
}
ResumeLookup = Callable[[bytes], tuple[str, bool]]  # a resume token to (session, named); raises BadRequest


@dataclass(frozen=True, slots=True)
class StreamConfig:
    """What all frames of a stream share."""

    session: str  # empty: the server makes one
    named: bool  # False: the session ends with the stream
    group: str  # that its lessons are shared with; empty: it stays in its own
    labels: LabelSet | None  # None: every frame names its own
    options: Options
    policy: Policy
    buffer: int
    labels_path: str
    budget: float | None = None  # seconds from a frame's arrival to its deadline; None: it has none
    caller: Caller = NOBODY
    trace: str = ""  # the caller's span


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame, with its request or the error of parsing it."""

    id: int
    captured: Timestamp | None  # the camera's clock; echoed, never interpreted
    parsed: ParsedRequest | TTAError

    @property
    def request(self) -> Request:
        """Raises the error of parsing it."""
        if isinstance(self.parsed, TTAError):
            raise self.parsed
        return self.parsed.request

    def blame(self, error: TTAError) -> tuple[TTAError, str]:
        """The error as the caller sees it, and the requested strategy, "" when it is unknown."""
        if isinstance(self.parsed, TTAError):
            return error, ""
        return self.parsed.origin.locate(error), self.parsed.request.strategy.name


def parse_open(
    message: pb.ClassifyStreamRequest, find_labels: LabelLookup, server_info: ServerInfo, resume: ResumeLookup
) -> StreamConfig:
    """The configuration in the message that opens a stream. Raises what ends the stream."""
    if message.WhichOneof("kind") != "open":
        raise BadRequest("the first message of a stream opens it", "open")
    opening = message.open
    if opening.policy not in POLICIES:
        raise BadRequest(f"there is no policy {opening.policy}", "open.policy")
    budget = opening.frame_budget.ToNanoseconds() / 1e9 if opening.HasField("frame_budget") else None
    if budget is not None and budget <= 0:
        raise BadRequest(f"{budget:g} s; a frame needs some time to be answered", "open.frame_budget")
    buffer = opening.buffer if opening.HasField("buffer") else 8
    if not 1 <= buffer <= server_info.limits.buffer:
        raise BadRequest(f"{buffer} frames; a buffer holds 1 to {server_info.limits.buffer}", "open.buffer")
    session, named = check_session_id(opening.session_id, "open.session_id"), True
    if opening.resume_token:
        with field_prefix("open"):
            id, named = resume(opening.resume_token)
        if session not in ("", id):
            raise BadRequest(f"the resume token is of session {id!r}", "open.session_id")
        session = id
    return StreamConfig(
        session=session,
        named=named,
        group=check_session_id(opening.lesson_group, "open.lesson_group", GROUP),
        labels=parse_labels(opening.labels, find_labels, server_info, "open.labels")
        if opening.HasField("labels")
        else None,
        options=parse_options(opening.options, server_info, "open.options"),
        policy=POLICIES[opening.policy],
        buffer=buffer,
        labels_path=f"open.labels.{opening.labels.WhichOneof('source')}",
        budget=budget,
    )


def parse_frame(
    message: pb.ClassifyStreamRequest,
    config: StreamConfig,
    last: int,
    find_labels: LabelLookup,
    server_info: ServerInfo,
    arrived: float,
) -> Frame:
    """The frame in a message; `last` is the id of the previous one, -1 for none.

    A frame that cannot be parsed holds its error. Raises only what ends the stream.
    """
    if message.WhichOneof("kind") != "frame":
        raise BadRequest(
            "a stream is opened once; every later message is a frame or a lesson", message.WhichOneof("kind") or "frame"
        )
    frame = message.frame
    if frame.frame_id <= last:
        raise BadRequest(f"frame {frame.frame_id} comes after frame {last}; ids must increase", "frame.frame_id")
    captured = frame.capture_time if frame.HasField("capture_time") else None
    try:
        return Frame(frame.frame_id, captured, _parse_request(frame, config, find_labels, server_info, arrived))
    except Exception as error:  # an unexpected error fails this frame, not the stream
        return Frame(frame.frame_id, captured, status.to_tta_error(error))


def _parse_request(
    frame: pb.Frame, config: StreamConfig, find_labels: LabelLookup, server_info: ServerInfo, arrived: float
) -> ParsedRequest:
    own = frame.HasField("options")
    options = parse_options(frame.options, server_info, "frame.options") if own else config.options
    own_labels = frame.HasField("labels")
    labels = parse_labels(frame.labels, find_labels, server_info, "frame.labels") if own_labels else config.labels
    if labels is None:
        raise BadLabels("there are no labels: neither the stream nor the frame names any", "frame.labels")
    request = Request(
        image=parse_image(frame.image, options.reduction, server_info, "frame.image"),
        labels=labels,
        strategy=options.strategy,
        reduction=options.reduction,
        cascade=options.cascade,
        owner=config.caller.owner,
        client=config.caller.client,
        trace=config.trace,
        session=config.session,
        frame_id=frame.frame_id,
        policy=config.policy.value,
        arrived=arrived,
        seed=(options.seed + frame.frame_id) % 2**64,
        deadline=None if config.budget is None else arrived + config.budget,
        on_deadline=options.on_deadline,
        explain=options.explain,
        guard=options.guard,
        ask=options.ask,
        trust=options.trust,
    )
    origin = FieldOrigins(
        image=f"frame.image.{frame.image.WhichOneof('content')}",
        labels=f"frame.labels.{frame.labels.WhichOneof('source')}" if own_labels else config.labels_path,
        options="frame.options" if own else "open.options",
    )
    return ParsedRequest(request, options.top_k, origin)
