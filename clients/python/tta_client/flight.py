"""Frames that were sent and not answered yet: their ages, and a limit on how many there may be."""

from __future__ import annotations

import itertools
import time
from collections import OrderedDict
from typing import Any

from .answers import FrameAnswer, FrameFailure, SessionStatus, answer_from, session_status_from
from .errors import from_status
from .frames import Frame
from .v1 import tta_pb2

REMEMBERED = 4096  # capture times kept for a server that does not answer; older ones lose only their age


class Flight:
    """What is under way on one stream. Answers come in order, so each one settles all frames up to its own."""

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._sent = OrderedDict[int, tuple[float, str]]()
        self._numbers = itertools.count(1)
        self.session: SessionStatus | None = None
        self.credits: int | None = None
        self.suggested_fps = 0.0
        self.resume_token = b""

    @property
    def full(self) -> bool:
        return self._most is not None and len(self._sent) >= self._most

    def frame(self, picture: Any) -> Frame:
        """A frame as it is; any other picture becomes one, captured now."""
        return picture if isinstance(picture, Frame) else Frame(next(self._numbers), picture)

    def enter(self, frame: Frame) -> None:
        self._sent[frame.frame_id] = (frame.captured, frame.scene)
        if len(self._sent) > REMEMBERED:
            self._sent.popitem(last=False)

    def read(self, reply: tta_pb2.ClassifyStreamResponse) -> FrameAnswer | FrameFailure | None:
        """The answer or failure inside a reply; None for a reply that only brings news about the stream."""
        match reply.WhichOneof("kind"):
            case "answer":
                came = reply.answer
                age, scene = self._settle(came.frame_id)
                answer = answer_from(came.response)
                self.session = answer.session
                stamp = came.capture_time.ToNanoseconds()
                return FrameAnswer(came.frame_id, answer, age, stamp, came.dropped_since_last, scene)
            case "error":
                age, scene = self._settle(reply.error.frame_id)
                return FrameFailure(reply.error.frame_id, from_status(reply.error.status), age, scene)
            case "status":
                self.credits, self.suggested_fps = reply.status.credits, reply.status.suggested_fps
                if reply.status.HasField("session"):
                    self.session = session_status_from(reply.status.session)
            case "draining":
                self.resume_token = reply.draining.resume_token
            case _:
                pass  # a kind that a newer server has
        return None

    def _settle(self, frame_id: int) -> tuple[float, str]:
        captured, scene = self._sent.get(frame_id, (float("nan"), ""))
        while self._sent and next(iter(self._sent)) <= frame_id:
            self._sent.popitem(last=False)
        return time.monotonic() - captured, scene
