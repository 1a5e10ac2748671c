"""What a stream says: answers, failures of one frame, where it stands, and that the server is leaving."""

from __future__ import annotations

from ..core.errors import TTAError
from ..core.request import Report, SessionStatus
from .requests import Asked
from .responses import response, session_status
from .server_info import Terms
from .status import status_of
from .stream_requests import Frame
from .v1 import tta_pb2 as pb
from .well_known import duration

Reply = pb.ClassifyStreamResponse


def answer(frame: Frame, report: Report, dropped: int, terms: Terms) -> Reply:
    assert isinstance(frame.asked, Asked)
    told = response(report, frame.asked.top_k, terms)
    reply = pb.FrameAnswer(frame_id=frame.id, dropped_since_last=dropped, response=told)
    if frame.captured:
        reply.capture_time.CopyFrom(frame.captured)
    return Reply(answer=reply)


def told_once(reply: Reply, label_set_id: str) -> str:
    """Leaves out what the answer before, of that label set, has told of it. Returns the label set of this one."""
    if reply.WhichOneof("kind") != "answer":
        return label_set_id
    if reply.answer.response.label_set_id == label_set_id:
        reply.answer.response.ClearField("unseen")
    return reply.answer.response.label_set_id


def failure(frame: Frame, error: TTAError) -> Reply:
    return Reply(error=pb.FrameError(frame_id=frame.id, status=status_of(error)))


def standing(session: SessionStatus, credits: int, fps: float, load: float) -> Reply:
    """`credits` frames are taken now without dropping, `fps` were lately served; `load` in seconds."""
    told = pb.StreamStatus(credits=credits, suggested_fps=fps, load=load, session=session_status(session))
    return Reply(status=told)


def draining(seconds: float, token: bytes) -> Reply:
    return Reply(draining=pb.Draining(deadline=duration(seconds), resume_token=token))
