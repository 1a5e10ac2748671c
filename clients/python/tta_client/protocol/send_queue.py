"""Frames on their way out: what was pulled, what is sent next and when, what is under way, what is sent again."""

from __future__ import annotations

import math
from bisect import insort
from collections import deque

from ..types.answers import FrameFailure
from ..types.frames import Frame
from ..types.requests import Policy
from .in_flight import MAX_REMEMBERED, InFlight
from .pacing import make_pacer


class SendQueue:
    """Of one stream, over as many calls as it takes. Sans-IO: the callers give the time, in monotonic seconds.

    Under "block" what was under way when a call broke is sent again; under the other policies it is lost.
    """

    def __init__(self, policy: Policy, in_flight: int, paced: bool) -> None:
        self.blocking = policy == "block"
        self._in_flight, self._pacer = InFlight(keep=self.blocking), make_pacer(policy, in_flight, paced)
        self._resend = deque[Frame]()
        self._pulled: Frame | None = None
        self._failures: list[tuple[float, FrameFailure]] = []  # each after the answers up to that frame

    @property
    def empty(self) -> bool:
        """Nothing is there that could be sent."""
        return not self._resend and self._pulled is None

    @property
    def unanswered(self) -> int:
        """Frames that were sent on this call and have no answer yet."""
        return len(self._in_flight)

    def add(self, frame: Frame) -> None:
        """The source gave it. At most one waits here."""
        self._pulled = frame

    def wait(self, now: float) -> float:
        """0: a frame may leave now; else seconds after which to ask again, if nothing is heard before.

        A failure that nobody takes holds the source back, as an answer does.
        """
        if self.failure_due:
            return math.inf
        return self._pacer.wait(len(self._in_flight) + (len(self._failures) if self.blocking else 0), now)

    @property
    def next(self) -> Frame | None:
        """What leaves next; None: nothing is there."""
        return self._resend[0] if self._resend else self._pulled

    def record_sent(self, now: float, own_labels: bool) -> None:
        """The next one leaves; `own`: with labels of its own."""
        frame = self._resend.popleft() if self._resend else self._pulled
        assert frame is not None
        if frame is self._pulled:
            self._pulled = None
        self._pacer.record_sent(len(self._in_flight), now)
        self._in_flight.add(frame, own_labels)

    def has_own_labels(self, frame_id: int) -> bool:
        """Whether that frame left with labels of its own."""
        return self._in_flight.has_own_labels(frame_id)

    def update_credits(self, credits: int, fps: float, now: float) -> None:
        """What the service says of its room and of its pace."""
        self._pacer.update_credits(credits, fps, now)

    def settle(self, frame_id: int, now: float) -> tuple[float, str]:
        """A frame has its answer: its age in seconds, NaN when nobody knows it, and its scene."""
        self._pacer.record_answer(now)
        return self._in_flight.settle(frame_id)

    def reset(self) -> None:
        """Another call: nothing has been told yet."""
        self._pacer.reset()

    def lose(self, with_pulled: bool) -> int:
        """The call is gone, and what was `add` with it where nothing is sent twice. How many frames are lost."""
        again, lost = self._in_flight.clear()
        self._resend.extendleft(reversed(again))
        if with_pulled and not self.blocking and self._pulled is not None:
            self._pulled, lost = None, lost + 1
        return lost

    # ---- frames that were not sent

    def withdraw(self, frame: Frame) -> bool:
        """It cannot be sent after all. False: it was lost with its call meanwhile."""
        if self._in_flight.remove(frame.frame_id):
            return True
        if frame in self._resend:
            self._resend.remove(frame)
            return True
        return False

    def add_failure(self, place: float, failure: FrameFailure) -> int:
        """Keeps it until all up to frame `place` are answered. How many others had to go: where nothing is owed an
        answer, they may wait for one that does not come."""
        insort(self._failures, (place, failure), key=lambda one: one[0])
        if self.blocking or len(self._failures) <= MAX_REMEMBERED:
            return 0
        del self._failures[0]
        return 1

    @property
    def failure_due(self) -> bool:
        """Whether a failure is the next thing to tell."""
        return bool(self._failures) and self._failures[0][0] < self._first

    def take_failures(self, before: float | None = None) -> list[FrameFailure]:
        """The failures that come next, or all before a frame."""
        limit = self._first if before is None else before
        due = [failure for place, failure in self._failures if place < limit]
        del self._failures[: len(due)]
        return due

    @property
    def _first(self) -> float:
        """The first frame that has no answer yet."""
        first = (
            self._in_flight.first
            if self._in_flight.first is not None
            else self._resend[0].frame_id
            if self._resend
            else None
        )
        return math.inf if first is None else first
