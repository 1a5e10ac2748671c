"""The messages that a stream sends: answers, failures of single frames, its status, and that the server drains."""

from __future__ import annotations

from ..core.errors import TTAError
from ..core.request import Report, SessionStatus
from .requests import ParsedRequest
from .responses import make_response, make_session_status
from .server_info import ServerInfo
from .status import to_status
from .stream_requests import Frame
from .v1 import tta_pb2 as pb
from .well_known import to_duration

Reply = pb.ClassifyStreamResponse


def make_answer(frame: Frame, report: Report, dropped: int, server_info: ServerInfo) -> Reply:
    """The answer to a frame, after `dropped` frames that got none."""
    assert isinstance(frame.parsed, ParsedRequest)
    response = make_response(report, frame.parsed.top_k, server_info)
    reply = pb.FrameAnswer(frame_id=frame.id, dropped_since_last=dropped, response=response)
    if frame.captured:
        reply.capture_time.CopyFrom(frame.captured)
    return Reply(answer=reply)


def drop_repeated_unseen(reply: Reply, label_set_id: str) -> str:
    """Clear an answer's `unseen` when the answer before it had the same label set, whose id is `label_set_id`.

    Returns the label set id of this reply, or `label_set_id` when it is no answer.
    """
    if reply.WhichOneof("kind") != "answer":
        return label_set_id
    if reply.answer.response.label_set_id == label_set_id:
        reply.answer.response.ClearField("unseen")
    return reply.answer.response.label_set_id


def make_failure(frame: Frame, error: TTAError) -> Reply:
    """The error of one frame; the stream goes on."""
    return Reply(error=pb.FrameError(frame_id=frame.id, status=to_status(error)))


def make_status(session: SessionStatus, credits: int, fps: float, load: float) -> Reply:
    """The stream's status: `credits` frames fit now without a drop, `fps` were served lately, `load` is in seconds."""
    status = pb.StreamStatus(credits=credits, suggested_fps=fps, load=load, session=make_session_status(session))
    return Reply(status=status)


def make_draining(seconds: float, token: bytes) -> Reply:
    """The notice that the server stops in `seconds`; `token` resumes the stream elsewhere."""
    return Reply(draining=pb.Draining(deadline=to_duration(seconds), resume_token=token))
