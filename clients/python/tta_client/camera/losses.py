"""Which packets never became a picture."""

from __future__ import annotations

from collections.abc import Callable

LATE = 32  # packets after its own by which a picture has come, if it comes: H.264 and HEVC hold back 16 at most


class Losses:
    """Calls `lost` once for each packet that gave no picture. Times are those of the container.

    A packet without a picture is no loss as such: VP8 and interlaced H.264 have such. Suspect are those that were under
    way when one failed, and all that follow up to the next key frame. `always`: all are, for a decoder that leaves
    pictures out without a word.
    """

    def __init__(self, lost: Callable[[], None], always: bool = False) -> None:
        self._lost, self._always = lost, always
        self._awaited = dict[int, bool]()  # times of packets, whether they are suspect
        self._failed = False
        self._whole: int | None = None  # the time of the key frame that ends it

    def sent(self, time: int | None, key: bool) -> None:
        """A packet goes to the decoder."""
        if time is None:
            return
        if self._failed and key and self._whole is None:
            self._whole = time
        self._awaited[time] = self._always or self._failed
        if len(self._awaited) > LATE:
            self._give_up(next(iter(self._awaited)))

    def failed(self, time: int | None) -> None:
        """The decoder refused it."""
        self._lost()
        if time is not None:
            self._awaited.pop(time, None)
        self._failed, self._whole = True, None
        self._awaited = dict.fromkeys(self._awaited, True)

    def came(self, time: int | None) -> None:
        """The picture of a packet."""
        if time is not None:
            self._awaited.pop(time, None)
            self._awaited = {other: suspect for other, suspect in self._awaited.items() if suspect or other > time}
            if self._whole is not None and time >= self._whole:
                self._failed, self._whole = False, None

    def end(self) -> None:
        """Nothing comes any more."""
        for time in list(self._awaited):
            self._give_up(time)

    def _give_up(self, time: int) -> None:
        if self._awaited.pop(time):
            self._lost()
