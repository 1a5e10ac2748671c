"""Whether a service that is lost is dialled again, when, and how long a silent one is waited for."""

from __future__ import annotations

import math

import grpc

from ..channel import FOREVER
from ..errors import TTAClientError, is_passing
from .backoff import Backoff, Reconnect

SILENT = TTAClientError(grpc.StatusCode.UNAVAILABLE, "the service has been silent for too long")


class ReconnectState:
    """Without a `policy` every loss is final, and silence is borne for ever."""

    def __init__(self, policy: Reconnect | None) -> None:
        self.connected_once = False  # there has been a service
        self._policy = policy
        self._backoff = Backoff(policy.shortest, policy.longest) if policy else Backoff()
        self._listening = math.inf  # since when somebody reads
        self._reply_expected = -math.inf  # since when there is something to say
        self._labels_gone = False

    @property
    def enabled(self) -> bool:
        return self._policy is not None

    @property
    def has_watchdog(self) -> bool:
        """Whether a silent service is ever given up."""
        return self._policy is not None and self._policy.stall > 0

    def pause(self, error: TTAClientError) -> float:
        """Seconds until the next attempt; raises the error when there shall be none."""
        if self._policy is None or not is_passing(error) or not (self.connected_once or self._policy.from_the_start):
            raise error
        return min(max(self._backoff.pause(), error.retry_after or 0.0), FOREVER)

    def frame_answered(self) -> None:
        """A frame was answered: the next loss is a new one."""
        self._backoff.reset()

    def labels_gone(self) -> bool:
        """The server of the stream does not have what was registered for a frame: somebody deleted it, or the fleet has
        changed and it was registered elsewhere. Whether another call is to bring both to one server: once.
        """
        before, self._labels_gone = self._labels_gone, True
        return self.enabled and not before

    def labels_known(self) -> None:
        """A frame with labels of its own was answered: the next time is a new one."""
        self._labels_gone = False

    def listen(self, now: float | None) -> None:
        """From now on a word of the service is waited for; None: it has come."""
        self._listening = math.inf if now is None else now

    def expect_reply(self, now: float) -> None:
        """From now on the service has something to say."""
        self._reply_expected = now

    def patience(self, now: float) -> float:
        """Seconds until a silent service that has something to say is given up."""
        if self._policy is None or not self.has_watchdog:
            return math.inf
        left = max(0.0, max(self._listening, self._reply_expected) + self._policy.stall - now)
        return left if left < FOREVER else math.inf
