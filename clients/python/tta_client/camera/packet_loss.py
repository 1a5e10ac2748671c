"""Finds out which packets of a video never became a picture."""

from __future__ import annotations

from collections.abc import Callable

MAX_DELAY = 32  # packets after its own by which a picture comes, if at all: H.264 and HEVC hold back 16 at most


class PacketLoss:
    """Calls `on_loss` once for each packet that gave no picture. Times are those of the container.

    A packet without a picture alone is no loss: VP8 and interlaced H.264 have such packets. A packet is suspect if it
    was in the decoder when one failed, or came after that and before the next key frame. A suspect packet without a
    picture is a loss. `always` makes every packet suspect, for decoders that leave pictures out without an error.
    """

    def __init__(self, on_loss: Callable[[], None], always: bool = False) -> None:
        self._on_loss, self._always = on_loss, always
        self._pending = dict[int, bool]()  # time of a packet -> whether it is suspect
        self._failed = False
        self._recovery: int | None = None  # time of the key frame that ends the failure

    def packet_sent(self, time: int | None, key: bool) -> None:
        """A packet goes to the decoder; `key` says that it is a key frame."""
        if time is None:
            return
        if self._failed and key and self._recovery is None:
            self._recovery = time
        self._pending[time] = self._always or self._failed
        if len(self._pending) > MAX_DELAY:
            self._give_up(next(iter(self._pending)))

    def packet_failed(self, time: int | None) -> None:
        """The decoder refused the packet."""
        self._on_loss()
        if time is not None:
            self._pending.pop(time, None)
        self._failed, self._recovery = True, None
        self._pending = dict.fromkeys(self._pending, True)

    def picture_decoded(self, time: int | None) -> None:
        """The picture of a packet has come."""
        if time is not None:
            self._pending.pop(time, None)
            self._pending = {other: suspect for other, suspect in self._pending.items() if suspect or other > time}
            if self._recovery is not None and time >= self._recovery:
                self._failed, self._recovery = False, None

    def finish(self) -> None:
        """The video has ended: suspect packets that are still pending are lost."""
        for time in list(self._pending):
            self._give_up(time)

    def _give_up(self, time: int) -> None:
        if self._pending.pop(time):
            self._on_loss()
