"""From the command line into the event loop and back."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from ..core.errors import TTAError
from ..core.request import Report, Request
from ..settings import Settings
from .memory_peaks import dump_peaks, measure_peaks
from .runtime import build_runtime
from .server import Application

try:
    from uvloop import new_event_loop
except ImportError:  # not on Windows
    new_event_loop = asyncio.new_event_loop

log = logging.getLogger(__name__)


def serve(settings: Settings, ready: Callable[[Application], None]) -> None:
    """Serves until SIGTERM or SIGINT, then drains; `ready` is called once requests are taken.

    A second signal ends the process at once.
    """

    async def run() -> None:
        async with Application(settings) as service:
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, _on_signal, service, number)
            ready(service)
            await service.wait()

    _run(run())
    log.info("stopped")
    if any(thread.name.startswith("tta-") for thread in threading.enumerate()):
        os._exit(1)  # a lane is stuck, and the interpreter would wait for it


def classify(
    settings: Settings, requests: Iterable[Request], on_answer: Callable[[Request, Report | TTAError], None]
) -> None:
    """Answers one request after the other, without a network."""

    async def run() -> None:
        async with build_runtime(settings) as parts:
            for request in requests:
                try:
                    on_answer(request, await parts.engine.classify(request))
                except TTAError as error:
                    on_answer(request, error)

    _run(run())


def measure(settings: Settings, classes: int, write: Callable[[str], None]) -> None:
    """Tells the peak of each strategy, as it is found."""

    async def run() -> None:
        async with build_runtime(settings) as parts:
            async for peak in measure_peaks(parts, classes):
                write(dump_peaks([peak]))

    _run(run())


def _run(work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(work)


def _on_signal(service: Application, number: signal.Signals) -> None:
    if service.stopping:
        os._exit(128 + number)
    log.info("%s: draining; a second one ends me at once", number.name)
    service.stop()
