"""An executor that runs its work step by step, and a small memory to work on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, NamedTuple

from torch import Tensor


class Last(NamedTuple):
    number: Tensor  # [] of the last frame seen


class ManualExecutor(Executor):
    """Runs the oldest submitted work at each `step`."""

    def __init__(self) -> None:
        self.work: deque[tuple[Future[Any], Callable[[], Any]]] = deque()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.work.append((future, lambda: fn(*args, **named)))
        return future

    def step(self) -> None:
        future, work = self.work.popleft()
        assert future.set_running_or_notify_cancel(), "submitted work was cancelled"
        try:
            future.set_result(work())
        except Exception as error:
            future.set_exception(error)
