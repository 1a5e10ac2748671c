"""Frames that were sent and not answered yet."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass

from ..types.frames import Frame

MAX_REMEMBERED = (
    4096  # frames, so that a service that never answers costs no memory; the ages of older ones are unknown
)


@dataclass(frozen=True, slots=True)
class SentFrame:
    """What is kept of a sent frame. `own_labels`: it named labels of its own that can be registered again."""

    captured: float
    scene: str
    own_labels: bool
    frame: Frame | None  # kept where it may be sent again


UNKNOWN = SentFrame(float("nan"), "", False, None)


class InFlight:
    """The unanswered frames of one stream. Answers come in order, so each one settles all frames up to its own.

    With `keep` the frames themselves are kept, to be sent again; otherwise only what their answers need.
    """

    def __init__(self, keep: bool) -> None:
        self._keep = keep
        self._sent = OrderedDict[int, SentFrame]()

    def __len__(self) -> int:
        return len(self._sent)

    def add(self, frame: Frame, own_labels: bool = False) -> None:
        """A frame was sent. Drops the oldest entry when there are too many."""
        self._sent[frame.frame_id] = SentFrame(frame.captured, frame.scene, own_labels, frame if self._keep else None)
        if len(self._sent) > MAX_REMEMBERED:
            self._sent.popitem(last=False)

    @property
    def first(self) -> int | None:
        """The id of the frame that is answered next, if any."""
        return next(iter(self._sent), None)

    def remove(self, frame_id: int) -> bool:
        """The frame was not sent after all. False: it is not here."""
        return self._sent.pop(frame_id, None) is not None

    def has_own_labels(self, frame_id: int) -> bool:
        """Whether that frame named labels of its own."""
        return self._sent.get(frame_id, UNKNOWN).own_labels

    def settle(self, frame_id: int) -> tuple[float, str]:
        """Removes all frames up to this one. Returns its age in seconds (NaN: unknown) and its scene."""
        sent = self._sent.get(frame_id, UNKNOWN)
        while self.first is not None and self.first <= frame_id:
            self._sent.popitem(last=False)
        return time.monotonic() - sent.captured, sent.scene

    def clear(self) -> tuple[list[Frame], int]:
        """Empties it after a lost call. Returns the frames to send again, in order, and the number of the others."""
        again = [sent.frame for sent in self._sent.values() if sent.frame is not None]
        lost = len(self._sent) - len(again)
        self._sent.clear()
        return again, lost
