"""When a lost service is dialled again, and how long a silent one is waited for."""

from __future__ import annotations

import logging
import math
import random
from dataclasses import dataclass, field

import grpc

from ..channel import NO_LIMIT
from ..errors import TTAClientError, is_retryable, labels_are_gone
from ..types.answers import SessionStatus

log = logging.getLogger("tta_client")
SILENT = TTAClientError(grpc.StatusCode.UNAVAILABLE, "the service has been silent for too long")


@dataclass(frozen=True, slots=True)
class Reconnect:
    """What a stream does when it loses its service, or a source its camera. All times are in seconds.

    The stream dials again after pauses that grow from `shortest` to `longest`, without a limit on the attempts. A
    service (or camera) that sends nothing for `stall` seconds is given up and dialled again; 0 waits without end.
    `from_the_start` also retries the first attempt, whose failure is otherwise an error.
    """

    shortest: float = 0.5
    longest: float = 30.0
    stall: float = 60.0
    from_the_start: bool = False


ALWAYS = Reconnect()


@dataclass(slots=True)
class Backoff:
    """Pauses between attempts, with decorrelated jitter, so that many cameras do not all come back at once.

    Each pause is drawn between `shortest` and three times the one before, and is at most `longest`, in seconds
    (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
    """

    shortest: float = 0.5
    longest: float = 30.0
    rng: random.Random = field(default_factory=random.Random)
    _last: float = 0.0

    def pause(self) -> float:
        """Seconds to wait now."""
        self._last = min(self.longest, self.rng.uniform(self.shortest, 3 * max(self.shortest, self._last)))
        return self._last

    def reset(self) -> None:
        """Makes the next pause a short one again."""
        self._last = 0.0


class ReconnectState:
    """The reconnection of one stream. Without a `policy` every loss is final and a silent service is never given up."""

    def __init__(self, policy: Reconnect | None) -> None:
        self.connected_once = False  # a service has replied
        self._policy = policy
        self._backoff = Backoff(policy.shortest, policy.longest) if policy else Backoff()
        self._listening = math.inf  # when the current read began
        self._reply_expected = -math.inf  # when the service last began to owe a reply
        self._labels_gone = self._back = False

    @property
    def enabled(self) -> bool:
        """Whether a lost service is dialled again at all."""
        return self._policy is not None

    def pause(self, error: TTAClientError) -> float:
        """Seconds until the next attempt. Raises `error` when it is final."""
        if self._policy is None or not is_retryable(error) or not (self.connected_once or self._policy.from_the_start):
            raise error
        pause = min(max(self._backoff.pause(), error.retry_after or 0.0), NO_LIMIT)
        log.warning("the service is lost (%s); next attempt in %.1f s", error, pause)
        return pause

    def on_call_opened(self, planned: bool) -> bool:
        """The first reply of a call came. Returns whether the call replaces a lost one; a `planned` one does not."""
        self._back, self.connected_once = self.connected_once and not planned, True
        return self._back

    def on_session(self, session: SessionStatus) -> None:
        """The service has sent the session's status."""
        if self._back:
            text, self._back = "the service is back: session %s is %s, last frame %d", False
            log.warning(text, session.session_id, session.origin, session.last_frame_id)

    def on_answer(self) -> None:
        """A frame was answered: the pause after the next loss is a short one."""
        self._backoff.reset()

    def check_labels(self, error: TTAClientError, own_labels: bool) -> None:
        """The error of a frame or lesson, perhaps with labels of its own, which the stream's server may not have: they
        were deleted, or the fleet has changed and they were registered at another server. Raises what ends the call, so
        that a new one reaches the server where they are registered; that is tried once.
        """
        if own_labels and labels_are_gone(error):
            before, self._labels_gone = self._labels_gone, True
            if self.enabled and not before:
                raise TTAClientError(error.code, error.sentence, error.field, retry_after=0.0)

    def on_labels_known(self) -> None:
        """A frame with labels of its own was answered: labels that go missing from now on are worth another attempt."""
        self._labels_gone = False

    def listen(self, now: float | None) -> None:
        """A read of the next reply began at `now`; None: it has ended."""
        self._listening = math.inf if now is None else now

    def expect_reply(self, now: float) -> None:
        """The service owes a reply from `now` on."""
        self._reply_expected = now

    def seconds_left(self, now: float) -> float:
        """Seconds until a silent service that owes a reply is given up; infinity: never."""
        if self._policy is None or not self._policy.stall:
            return math.inf
        left = max(0.0, max(self._listening, self._reply_expected) + self._policy.stall - now)
        return left if left < NO_LIMIT else math.inf
