"""What the process is doing, on SIGUSR1: the stacks of all threads, and of all tasks of the event loop, on stderr."""

from __future__ import annotations

import asyncio
import faulthandler
import signal
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

STDERR = 2  # written to directly: a signal may come while Python's own stderr is being written


def dump_on_signal(loop: asyncio.AbstractEventLoop) -> None:
    """From now on; call it in the main thread.

    Threads are shown at once, even while one of them holds the interpreter; tasks as soon as the main thread runs
    Python, even while nothing in it awaits.
    """
    if not hasattr(faulthandler, "register"):  # Windows
        return
    signal.signal(signal.SIGUSR1, lambda number, frame: _dump_tasks(loop))
    faulthandler.register(signal.SIGUSR1, STDERR, all_threads=True, chain=True)  # before Python's own handler


def _dump_tasks(loop: asyncio.AbstractEventLoop) -> None:
    try:
        tasks = asyncio.all_tasks(loop)
        text = f"\n{len(tasks)} tasks:\n" + "".join(f"{task!r}\n{''.join(_stack(task))}" for task in tasks)
    except Exception as error:  # which would be raised wherever the main thread is
        text = f"\nthe tasks cannot be shown: {error!r}\n"
    with suppress(OSError), open(STDERR, "wb", closefd=False) as stderr:
        stderr.write(text.encode(errors="replace"))


def _stack(task: asyncio.Task[Any]) -> Iterator[str]:
    """A line for each coroutine and generator of the task, the innermost last. Those of Cython have no line numbers."""
    waiting: Any = task.get_coro()
    while waiting is not None:
        if frame := _first(waiting, "cr_frame", "ag_frame", "gi_frame"):
            yield f'  File "{frame.f_code.co_filename}", line {frame.f_lineno} in {frame.f_code.co_name}\n'
        waiting = _first(waiting, "cr_await", "ag_await", "gi_yieldfrom")


def _first(one: object, *names: str) -> Any:
    """The first of these attributes that says something."""
    return next((value for name in names if (value := getattr(one, name, None)) is not None), None)
