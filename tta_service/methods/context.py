"""What a method may know of the call that it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol


class Context(Protocol):
    """One call, on whichever transport. gRPC's context is one."""

    def time_remaining(self) -> float | None:
        """Seconds to the caller's deadline; None without one."""
        ...

    def invocation_metadata(self) -> Iterable[tuple[str, str | bytes]] | None:
        """The headers, by lower-case name."""
        ...

    def add_done_callback(self, callback: Callable[[Any], None], /) -> None:
        """Call `callback` when the call has ended, however it did."""
        ...
