"""Frames on their way out: what was pulled, what is sent next and when, what is under way, what is sent again."""

from __future__ import annotations

import math
from bisect import insort
from collections import deque

from ..types.answers import FrameFailure
from ..types.frames import Frame
from ..types.requests import Policy
from .in_flight import REMEMBERED, Flight
from .pacing import pacer_for


class Outgoing:
    """Of one stream, over as many calls as it takes. Sans-IO: the callers give the time, in monotonic seconds.

    Under "block" what was under way when a call broke is sent again; under the other policies it is lost.
    """

    def __init__(self, policy: Policy, in_flight: int, paced: bool) -> None:
        self.blocking = policy == "block"
        self._flight, self._pacer = Flight(keep=self.blocking), pacer_for(policy, in_flight, paced)
        self._again = deque[Frame]()
        self._pulled: Frame | None = None
        self._failures: list[tuple[float, FrameFailure]] = []  # each after the answers up to that frame

    @property
    def empty(self) -> bool:
        """Nothing is there that could be sent."""
        return not self._again and self._pulled is None

    @property
    def under_way(self) -> int:
        """Frames that were sent on this call and have no answer yet."""
        return len(self._flight)

    def pulled(self, frame: Frame) -> None:
        """The source gave it. At most one waits here."""
        self._pulled = frame

    def wait(self, now: float) -> float:
        """0: a frame may leave now; else seconds after which to ask again, if nothing is heard before.

        A failure that nobody takes holds the source back, as an answer does.
        """
        if self.failing:
            return math.inf
        return self._pacer.wait(len(self._flight) + (len(self._failures) if self.blocking else 0), now)

    @property
    def next(self) -> Frame | None:
        """What leaves next; None: nothing is there."""
        return self._again[0] if self._again else self._pulled

    def sent(self, now: float, own: bool) -> None:
        """The next one leaves; `own`: with labels of its own."""
        frame = self._again.popleft() if self._again else self._pulled
        assert frame is not None
        if frame is self._pulled:
            self._pulled = None
        self._pacer.sent(len(self._flight), now)
        self._flight.enter(frame, own)

    def own(self, frame_id: int) -> bool:
        """Whether that frame left with labels of its own."""
        return self._flight.own(frame_id)

    def told(self, credits: int, fps: float, now: float) -> None:
        """What the service says of its room and of its pace."""
        self._pacer.told(credits, fps, now)

    def settle(self, frame_id: int, now: float) -> tuple[float, str]:
        """A frame has its answer: its age in seconds, NaN when nobody knows it, and its scene."""
        self._pacer.answered(now)
        return self._flight.settle(frame_id)

    def renew(self) -> None:
        """Another call: nothing has been told yet."""
        self._pacer.renew()

    def lose(self, pulled_too: bool) -> int:
        """The call is gone, and what was `pulled` with it where nothing is sent twice. How many frames are lost."""
        again, lost = self._flight.abandon()
        self._again.extendleft(reversed(again))
        if pulled_too and not self.blocking and self._pulled is not None:
            self._pulled, lost = None, lost + 1
        return lost

    # ---- frames that were not sent

    def withdraw(self, frame: Frame) -> bool:
        """It cannot be sent after all. False: it was lost with its call meanwhile."""
        if self._flight.leave(frame.frame_id):
            return True
        if frame in self._again:
            self._again.remove(frame)
            return True
        return False

    def fail(self, place: float, failure: FrameFailure) -> int:
        """Keeps it until all up to frame `place` are answered. How many others had to go: where nothing is owed an
        answer, they may wait for one that does not come."""
        insort(self._failures, (place, failure), key=lambda one: one[0])
        if self.blocking or len(self._failures) <= REMEMBERED:
            return 0
        del self._failures[0]
        return 1

    @property
    def failing(self) -> bool:
        """Whether a failure is the next thing to tell."""
        return bool(self._failures) and self._failures[0][0] < self._first

    def due(self, before: float | None = None) -> list[FrameFailure]:
        """The failures that come next, or all before a frame."""
        limit = self._first if before is None else before
        due = [failure for place, failure in self._failures if place < limit]
        del self._failures[: len(due)]
        return due

    @property
    def _first(self) -> float:
        """The first frame that has no answer yet."""
        first = (
            self._flight.first if self._flight.first is not None else self._again[0].frame_id if self._again else None
        )
        return math.inf if first is None else first
