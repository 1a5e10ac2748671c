"""Frames that were sent and not answered yet."""

from __future__ import annotations

import time
from collections import OrderedDict

from .frames import Frame

REMEMBERED = 4096  # for a service that never answers: of older frames not even the age is known any more


class Flight:
    """What is under way on one stream. Answers come in order, so each one settles all frames up to its own.

    With `keep` the frames themselves are remembered, to be sent again; else only what their answers need.
    """

    def __init__(self, keep: bool) -> None:
        self._keep = keep
        self._sent = OrderedDict[int, tuple[float, str, Frame | None]]()

    def __len__(self) -> int:
        return len(self._sent)

    def enter(self, frame: Frame) -> None:
        self._sent[frame.frame_id] = (frame.captured, frame.scene, frame if self._keep else None)
        if len(self._sent) > REMEMBERED:
            self._sent.popitem(last=False)

    def settle(self, frame_id: int) -> tuple[float, str]:
        """The age of the frame in seconds, NaN when nobody knows it, and its scene."""
        captured, scene, _ = self._sent.get(frame_id, (float("nan"), "", None))
        while self._sent and next(iter(self._sent)) <= frame_id:
            self._sent.popitem(last=False)
        return time.monotonic() - captured, scene

    def abandon(self) -> tuple[list[Frame], int]:
        """The connection is gone: the frames to send again, in order, and how many others are lost."""
        again = [frame for _, _, frame in self._sent.values() if frame is not None]
        lost = len(self._sent) - len(again)
        self._sent.clear()
        return again, lost
