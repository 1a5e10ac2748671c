"""A camera's messages: how a stream opens, and its frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp

from ..core.errors import BadLabels, BadRequest, TTAError
from ..core.labels import LabelSet
from ..core.request import Request
from ..serving.streams.frame_buffer import Policy
from . import status
from .field_paths import Origin, at
from .options import Options, options_of
from .requests import Asked, Known, image_of, image_path, labels_of, labels_path, session_of
from .server_info import Terms
from .v1 import tta_pb2 as pb

POLICIES = {
    pb.OpenStream.POLICY_UNSPECIFIED: Policy.LATEST,
    pb.OpenStream.POLICY_LATEST: Policy.LATEST,
    pb.OpenStream.POLICY_DROP_OLDEST: Policy.DROP_OLDEST,
    pb.OpenStream.POLICY_DROP_NEWEST: Policy.DROP_NEWEST,
    pb.OpenStream.POLICY_BLOCK: Policy.BLOCK,
}
Resumed = Callable[[bytes], tuple[str, bool]]  # session and named, of a resume token; raises BadRequest


@dataclass(frozen=True, slots=True)
class Opened:
    """What a stream's frames have in common."""

    session: str  # empty: the server makes one
    named: bool  # False: whatever its id, it ends with the stream
    labels: LabelSet | None  # None: every frame names its own
    options: Options
    policy: Policy
    buffer: int
    labels_path: str
    budget: float | None = None  # seconds from a frame's arrival to its deadline; None: it has none
    client: str = ""  # who shares in the server's room
    trace: str = ""  # his span


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame, with its question or with what is wrong with it."""

    id: int
    captured: Timestamp | None  # the camera's clock; echoed, never interpreted
    asked: Asked | TTAError

    def blame(self, error: TTAError) -> tuple[TTAError, str]:
        """The error as the caller sees it, and the strategy that was asked for, "" when it was not known yet."""
        if isinstance(self.asked, TTAError):
            return error, ""
        return self.asked.origin.of(error), self.asked.request.strategy.name


def opened_of(message: pb.ClassifyStreamRequest, known: Known, terms: Terms, resumed: Resumed) -> Opened:
    """Raises what ends the stream."""
    if message.WhichOneof("kind") != "open":
        raise BadRequest("the first message of a stream opens it", "open")
    first = message.open
    if first.policy not in POLICIES:
        raise BadRequest(f"there is no policy {first.policy}", "open.policy")
    budget = first.frame_budget.ToNanoseconds() / 1e9 if first.HasField("frame_budget") else None
    if budget is not None and budget <= 0:
        raise BadRequest(f"{budget:g} s; a frame needs some time to be answered", "open.frame_budget")
    buffer = first.buffer if first.HasField("buffer") else 8
    if not 1 <= buffer <= terms.limits.buffer:
        raise BadRequest(f"{buffer} frames; a buffer holds 1 to {terms.limits.buffer}", "open.buffer")
    session, named = session_of(first.session_id, "open.session_id"), True
    if first.resume_token:
        with at("open"):
            id, named = resumed(first.resume_token)
        if session not in ("", id):
            raise BadRequest(f"the resume token is of session {id!r}", "open.session_id")
        session = id
    return Opened(
        session=session,
        named=named,
        labels=labels_of(first.labels, known, terms, "open.labels") if first.HasField("labels") else None,
        options=options_of(first.options, terms, "open.options"),
        policy=POLICIES[first.policy],
        buffer=buffer,
        labels_path=labels_path(first.labels, "open.labels"),
        budget=budget,
    )


def frame_of(
    message: pb.ClassifyStreamRequest, opened: Opened, last: int, known: Known, terms: Terms, arrived: float
) -> Frame:
    """`last` is the id of the frame before, -1 for none. Raises what ends the stream; a frame holds its own faults."""
    if message.WhichOneof("kind") != "frame":
        raise BadRequest(
            "a stream is opened once; every later message is a frame", message.WhichOneof("kind") or "frame"
        )
    frame = message.frame
    if frame.frame_id <= last:
        raise BadRequest(f"frame {frame.frame_id} comes after frame {last}; ids must increase", "frame.frame_id")
    captured = frame.capture_time if frame.HasField("capture_time") else None
    try:
        return Frame(frame.frame_id, captured, _asked(frame, opened, known, terms, arrived))
    except Exception as error:  # what nobody foresaw is no reason to end the stream either
        return Frame(frame.frame_id, captured, status.known(error))


def _asked(frame: pb.Frame, opened: Opened, known: Known, terms: Terms, arrived: float) -> Asked:
    own = frame.HasField("options")
    options = options_of(frame.options, terms, "frame.options") if own else opened.options
    own_labels = frame.HasField("labels")
    labels = labels_of(frame.labels, known, terms, "frame.labels") if own_labels else opened.labels
    if labels is None:
        raise BadLabels("there are no labels: neither the stream nor the frame names any", "frame.labels")
    request = Request(
        image=image_of(frame.image, options, terms, "frame.image"),
        labels=labels,
        strategy=options.strategy,
        reduction=options.reduction,
        cascade=options.cascade,
        client=opened.client,
        trace=opened.trace,
        session=opened.session,
        frame_id=frame.frame_id,
        policy=opened.policy.value,
        arrived=arrived,
        seed=(options.seed + frame.frame_id) % 2**64,
        deadline=None if opened.budget is None else arrived + opened.budget,
        on_deadline=options.on_deadline,
        explain=options.explain,
    )
    origin = Origin(
        image=image_path(frame.image, "frame.image"),
        labels=labels_path(frame.labels, "frame.labels") if own_labels else opened.labels_path,
        options="frame.options" if own else "open.options",
    )
    return Asked(request, options.top_k, origin)
