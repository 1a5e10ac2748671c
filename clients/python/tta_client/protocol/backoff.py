"""How long to stay away before trying again."""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Reconnect:
    """What a stream does about a service that it has lost, or a source about its camera. All in seconds.

    It comes back after a pause that grows from `shortest` to `longest`, for as long as it takes. `stall`: a service (or
    camera) that says nothing for so long is given up and dialled anew; 0 waits for ever. `from_the_start`: also when
    nothing was there yet; else a first attempt that fails is an error.
    """

    shortest: float = 0.5
    longest: float = 30.0
    stall: float = 60.0
    from_the_start: bool = False


ALWAYS = Reconnect()


@dataclass(slots=True)
class Backoff:
    """Pauses between attempts: decorrelated jitter, so that many cameras do not all come back at once.

    Each is drawn between `shortest` and three times the one before, and is at most `longest`
    (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
    """

    shortest: float = 0.5
    longest: float = 30.0
    chance: random.Random = field(default_factory=random.Random)
    _last: float = 0.0

    def pause(self) -> float:
        """Seconds to wait now."""
        self._last = min(self.longest, self.chance.uniform(self.shortest, 3 * max(self.shortest, self._last)))
        return self._last

    def reset(self) -> None:
        """The next pause is a short one again."""
        self._last = 0.0
