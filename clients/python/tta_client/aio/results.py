"""What a stream hands to its caller: the results of frames, and the outcomes of lessons."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from ..errors import TTAClientError
from ..protocol.lessons import CLOSED, StreamLesson
from ..protocol.stream_state import Result, StreamState
from .call import AsyncCall
from .runtime import END, Condition


class AsyncResults:
    """Results are made of replies when the caller asks for one, so that frames are pulled at his pace, and while a
    lesson has no outcome, so that he may wait for it. `changed` guards all of it.
    """

    def __init__(self, state: StreamState, changed: Condition) -> None:
        self._state, self._changed = state, changed
        self._results, self._asked = deque[Result](), False
        self._over, self._error = False, None

    # ---- for the caller

    async def take(self) -> Any:
        """The next result; END after the last. Raises what ended the stream."""
        with self._changed:
            self._asked = True
            self._changed.notify_all()
            await self._changed.wait_for(lambda: self._results or self._over)
            self._asked = False
            if self._results:
                self._changed.notify_all()
                return self._results.popleft()
        if self._error is not None:
            raise self._error
        return END

    def teach(self, lesson: StreamLesson) -> None:
        """Sends a lesson, before the frames that are not sent yet."""
        with self._changed:
            self._state.lessons.add(lesson, after=self._state.queue.newest)
            if self._over:
                self._state.lessons.fail_all(CLOSED)
            self._changed.notify_all()
        self.resolve_lessons()

    # ---- for the workers

    async def next_results(self, call: AsyncCall) -> Sequence[Result] | None:
        """Waits until a result is wanted, and returns those of the next reply; None after the last."""
        with self._changed:
            await self._changed.wait_for(
                lambda: (self._asked and not self._results) or self._state.lessons or self._state.closed
            )
        results = None if self._state.closed else await call.next_results()
        self.resolve_lessons()
        return results

    def deliver(self, results: Sequence[Result]) -> None:
        """Hands results to the caller."""
        with self._changed:
            self._results.extend(results)
            self._changed.notify_all()

    async def end_with(
        self, make_calls: Callable[[], Awaitable[None]], is_stopping: Callable[[BaseException], bool]
    ) -> None:
        """Makes the calls, and ends as they do."""
        raised = None
        try:
            await make_calls()
        except BaseException as error:
            if is_stopping(error):
                raise
            raised = error
        self.end(raised)

    def end(self, error: Any) -> None:
        """The stream is over; the caller raises `error`, if there is one, after the results. The first end counts."""
        with self._changed:
            self._state.lessons.fail_all(error if isinstance(error, TTAClientError) else CLOSED)
            if not self._over:
                self._over, self._error = True, error
            self._changed.notify_all()
        self.resolve_lessons()

    def resolve_lessons(self) -> None:
        """Gives the futures of lessons their outcomes, without the lock: they may call the caller's functions."""
        with self._changed:
            settled = self._state.lessons.take_settled()
        for lesson, outcome in settled:
            if lesson.future.done():  # cancelled
                continue
            if isinstance(outcome, TTAClientError):
                lesson.future.set_exception(outcome)
            else:
                lesson.future.set_result(outcome)
