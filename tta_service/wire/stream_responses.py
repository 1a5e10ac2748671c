"""What a stream says: answers, failures of one frame, where it stands, and that the server is leaving."""

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
    assert isinstance(frame.parsed, ParsedRequest)
    response = make_response(report, frame.parsed.top_k, server_info)
    reply = pb.FrameAnswer(frame_id=frame.id, dropped_since_last=dropped, response=response)
    if frame.captured:
        reply.capture_time.CopyFrom(frame.captured)
    return Reply(answer=reply)


def drop_repeated_unseen(reply: Reply, label_set_id: str) -> str:
    """Leaves out what the answer before, of that label set, has told of it. Returns the label set of this one."""
    if reply.WhichOneof("kind") != "answer":
        return label_set_id
    if reply.answer.response.label_set_id == label_set_id:
        reply.answer.response.ClearField("unseen")
    return reply.answer.response.label_set_id


def make_failure(frame: Frame, error: TTAError) -> Reply:
    return Reply(error=pb.FrameError(frame_id=frame.id, status=to_status(error)))


def make_status(session: SessionStatus, credits: int, fps: float, load: float) -> Reply:
    """`credits` frames are taken now without dropping, `fps` were lately served; `load` in seconds."""
    status = pb.StreamStatus(credits=credits, suggested_fps=fps, load=load, session=make_session_status(session))
    return Reply(status=status)


def make_draining(seconds: float, token: bytes) -> Reply:
    return Reply(draining=pb.Draining(deadline=to_duration(seconds), resume_token=token))
