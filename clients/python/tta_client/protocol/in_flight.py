"""Frames that were sent and not answered yet."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from dataclasses import replace

from ..types.frames import Frame

# Frames, so that a service that never answers costs no memory; the ages of older ones are unknown.
MAX_REMEMBERED = 4096
UNKNOWN = Frame(0, None, captured=math.nan), False


class InFlight:
    """The unanswered frames of one stream. Answers come in order, so each one settles all frames up to its own.

    With `keep` the frames themselves are kept, to be sent again; otherwise only what their answers need.
    """

    def __init__(self, keep: bool) -> None:
        self._keep = keep
        self._sent = OrderedDict[int, tuple[Frame, bool]]()  # each with whether it named labels of its own

    def __len__(self) -> int:
        return len(self._sent)

    def add(self, frame: Frame, own_labels: bool = False) -> None:
        """A frame was sent. Drops the oldest entry when there are too many."""
        self._sent[frame.frame_id] = frame if self._keep else replace(frame, image=None), own_labels
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
        return self._sent.get(frame_id, UNKNOWN)[1]

    def settle(self, frame_id: int) -> tuple[float, str]:
        """Removes all frames up to this one. Returns its age in seconds (NaN: unknown) and its scene."""
        frame, _ = self._sent.get(frame_id, UNKNOWN)
        while self.first is not None and self.first <= frame_id:
            self._sent.popitem(last=False)
        return time.monotonic() - frame.captured, frame.scene

    def clear(self) -> tuple[list[Frame], int]:
        """Empties it after a lost call. Returns the frames to send again, in order, and the number of the others."""
        frames = [frame for frame, _ in self._sent.values()]
        self._sent.clear()
        return (frames, 0) if self._keep else ([], len(frames))
