"""The turns of one request at the memories of its session."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any

from ...core.request import Request, SessionStatus
from ...core.strategy import Strategy
from .session import Session
from .turns import Turn


class SessionScope:
    """The turns of a request, all taken on admission. The end of the `with` block gives up those that are left."""

    def __init__(
        self,
        session: Session,
        request: Request,
        turns: Mapping[Strategy[Any], Turn],
        admit: Callable[[int], None],
        on_exit: Callable[[], None],
    ) -> None:
        self._session, self._request, self._turns, self._on_exit = session, request, turns, on_exit
        self.admit = admit  # admit(bytes) makes room for a new memory; raises `MemoryFull`
        self._status: SessionStatus | None = None

    def turn(self, strategy: Strategy[Any]) -> Turn | None:
        """The place in the queue of that strategy's memory; None for a strategy without a memory in the session."""
        return self._turns.get(strategy)

    def release_turns(self) -> None:
        """Gives up all turns: no memory changes through this request."""
        for turn in self._turns.values():
            turn.leave()

    def count_frame(self, anew: bool = False, seen: bool = True) -> SessionStatus:
        """The session's status for the answer. The first call counts the frame, whatever the number of strategies.

        `anew`: a memory began with it. Not `seen`: it was answered, but no memory has learnt from it.
        """
        if self._status is None:
            self._status = self._session.count_frame(self._request.frame_id if seen else None, anew)
        else:
            reset = self._status.memory_reset or anew
            self._status = replace(self._status, memory_bytes=self._session.bytes, memory_reset=reset)
        return self._status

    def __enter__(self) -> SessionScope:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release_turns()
        self._on_exit()
