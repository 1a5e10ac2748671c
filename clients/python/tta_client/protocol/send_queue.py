"""The outgoing frames of a stream: which is sent next and when, which are unanswered, which are sent again."""

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
    """The outgoing frames of one stream, across its calls. The callers give the time, in monotonic seconds.

    Under "block" the unanswered frames of a lost call are sent again; under the other policies they are lost.
    """

    def __init__(self, policy: Policy, in_flight: int, paced: bool) -> None:
        self.blocking = policy == "block"
        self._in_flight, self._pacer = InFlight(keep=self.blocking), make_pacer(policy, in_flight, paced)
        self._resend = deque[Frame]()
        self._pulled: Frame | None = None
        self.newest = -1  # the highest id that was sent
        self._failures: list[tuple[float, FrameFailure]] = []  # each due after the answers up to that frame

    @property
    def empty(self) -> bool:
        """Whether there is no frame to send."""
        return not self._resend and self._pulled is None

    @property
    def unanswered(self) -> int:
        """The number of frames of this call without an answer."""
        return len(self._in_flight)

    def add(self, frame: Frame) -> None:
        """A frame of the source. At most one waits here."""
        self._pulled = frame

    def wait(self, now: float) -> float:
        """0: a frame may be sent now; otherwise seconds after which to ask again, if no reply comes before.

        A due failure that the caller has not taken yet pauses the source, as an answer does.
        """
        if self.failure_due:
            return math.inf
        return self._pacer.wait(len(self._in_flight) + (len(self._failures) if self.blocking else 0), now)

    @property
    def next(self) -> Frame | None:
        """The frame to send next, if any."""
        return self._resend[0] if self._resend else self._pulled

    def record_sent(self, now: float, own_labels: bool) -> None:
        """The next frame is sent; `own_labels`: with labels of its own."""
        frame = self._resend.popleft() if self._resend else self._pulled
        assert frame is not None
        if frame is self._pulled:
            self._pulled = None
        self._pacer.record_sent(len(self._in_flight), now)
        self.newest = max(self.newest, frame.frame_id)
        self._in_flight.add(frame, own_labels)

    def has_own_labels(self, frame_id: int) -> bool:
        """Whether that unanswered frame has labels of its own."""
        return self._in_flight.has_own_labels(frame_id)

    def update_credits(self, credits: int, fps: float, now: float) -> None:
        """The service reported its room and its suggested rate."""
        self._pacer.update_credits(credits, fps, now)

    def settle(self, frame_id: int, now: float) -> tuple[float, str]:
        """A frame was answered. Returns its age in seconds (NaN: unknown) and its scene."""
        self._pacer.record_answer(now)
        return self._in_flight.settle(frame_id)

    def reset(self) -> None:
        """A new call begins, without credits."""
        self._pacer.reset()

    def lose(self, with_pulled: bool) -> int:
        """The call is lost. Returns how many frames are lost with it.

        `with_pulled`: the waiting frame is lost too, unless the policy is "block".
        """
        again, lost = self._in_flight.clear()
        self._resend.extendleft(reversed(again))
        if with_pulled and not self.blocking and self._pulled is not None:
            self._pulled, lost = None, lost + 1
        return lost

    # ---- frames that cannot be sent

    def withdraw(self, frame: Frame) -> bool:
        """The frame cannot be sent after all. False: it was lost with its call meanwhile."""
        if self._in_flight.remove(frame.frame_id):
            return True
        if frame in self._resend:
            self._resend.remove(frame)
            return True
        return False

    def add_failure(self, place: float, failure: FrameFailure) -> int:
        """Keeps a failure until all frames up to `place` are answered. Returns how many older failures were dropped.

        Only "block" promises an answer to every frame; elsewhere the number of waiting failures is bounded.
        """
        insort(self._failures, (place, failure), key=lambda one: one[0])
        if self.blocking or len(self._failures) <= MAX_REMEMBERED:
            return 0
        del self._failures[0]
        return 1

    @property
    def failure_due(self) -> bool:
        """Whether the next result is a failure."""
        return bool(self._failures) and self._failures[0][0] < self._first

    def take_failures(self, before: float | None = None) -> list[FrameFailure]:
        """Takes the failures that are due, or all before a frame."""
        limit = self._first if before is None else before
        due = [failure for place, failure in self._failures if place < limit]
        del self._failures[: len(due)]
        return due

    @property
    def _first(self) -> float:
        """The id of the first unanswered frame; infinity: none."""
        if (first := self._in_flight.first) is not None:
            return first
        return self._resend[0].frame_id if self._resend else math.inf
