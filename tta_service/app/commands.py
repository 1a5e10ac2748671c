"""The work of the commands `serve`, `classify` and `measure`, each run in an event loop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

from ..core.errors import TTAError
from ..core.request import Report, Request
from ..settings import Settings
from .last_resort import kill_after
from .memory_peaks import dump_peaks, measure_peaks
from .runtime import build_runtime
from .server import Application
from .stack_dump import dump_on_signal

try:
    from uvloop import new_event_loop
except ImportError:  # not on Windows
    new_event_loop = asyncio.new_event_loop

SIGNALS = signal.SIGTERM, signal.SIGINT
AT_ONCE = 8  # requests of `classify`, which share forwards
SWITCH = 0.001  # seconds a thread may keep the interpreter that others wait for: a forward waits for it some 200 times
SAVING = 20.0  # seconds after the drain for sessions to be stored, before the process is killed
T = TypeVar("T")
log = logging.getLogger(__name__)


def serve(settings: Settings, ready: Callable[[Application], None]) -> None:
    """Serve until SIGTERM or SIGINT, then drain. Calls `ready` once requests are accepted.

    A second signal ends the process at once. One that cannot end, because a thread of it holds the interpreter, is
    killed `SAVING` seconds after the drain should have ended.
    """
    sys.setswitchinterval(SWITCH)

    async def run() -> None:
        async with Application(settings) as application:
            for number in SIGNALS:
                asyncio.get_running_loop().add_signal_handler(number, _on_signal, application, number)
            dump_on_signal(asyncio.get_running_loop())
            kill_after(SIGNALS, settings.server.pre_stop + settings.server.drain + SAVING)
            ready(application)
            await application.wait()

    run_in_loop(run())
    log.info("stopped")
    if any(thread.name.startswith("tta-") for thread in threading.enumerate()):
        os._exit(1)  # a lane is stuck, and the interpreter would wait for it


def classify(
    settings: Settings, requests: Iterable[Request], on_answer: Callable[[Request, Report | TTAError], None]
) -> None:
    """Answer requests without a network, `AT_ONCE` of them at a time. Answers come in the order of the requests.

    The requests are taken in another thread, one by one, as there is room for them.
    """

    async def run() -> None:
        async with build_runtime(settings) as runtime:
            taken, waiting = iter(requests), deque[tuple[Request, asyncio.Task[Report]]]()

            async def settle(most: int) -> None:
                while len(waiting) > most:
                    request, answer = waiting.popleft()
                    try:
                        on_answer(request, await answer)
                    except TTAError as error:
                        on_answer(request, error)

            try:
                while (request := await asyncio.to_thread(next, taken, None)) is not None:
                    waiting.append((request, asyncio.create_task(runtime.engine.classify(request))))
                    await settle(AT_ONCE - 1)
                await settle(0)
            finally:  # after Ctrl-C or a failure nobody asks for the others, which must not outlive the runtime
                for _, answer in waiting:
                    answer.cancel()
                await asyncio.gather(*(answer for _, answer in waiting), return_exceptions=True)

    run_in_loop(run())


def measure(settings: Settings, classes: int, write: Callable[[str], None]) -> None:
    """Write the memory peak of each strategy as soon as it is measured."""

    async def run() -> None:
        async with build_runtime(settings) as runtime:
            async for peak in measure_peaks(runtime, classes):
                write(dump_peaks([peak]))

    run_in_loop(run())


def run_in_loop(work: Coroutine[Any, Any, T]) -> T:
    """The result of a command's work."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(work)


def _on_signal(application: Application, number: signal.Signals) -> None:
    if application.stopping:
        os._exit(128 + number)
    log.info("%s: draining; a second signal ends the process at once", number.name)
    application.stop()
