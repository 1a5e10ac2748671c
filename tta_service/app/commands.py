"""The work of the commands `serve`, `classify`, `advise` and `measure`, each run in an event loop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

from ..core.errors import TTAError
from ..core.labels import LabelSet
from ..core.request import Report, Request
from ..settings import Settings
from .judge import Advice
from .judge import advise as judge
from .last_resort import kill_after
from .memory_peaks import dump_peaks, measure_peaks
from .runtime import build_runtime
from .server import Application
from .stack_dump import dump_on_signal
from .templates import Progress, TemplateAdvice
from .trials import affordable_views, measure_row_seconds, run_trials

try:
    from uvloop import new_event_loop
except ImportError:  # not on Windows
    new_event_loop = asyncio.new_event_loop

SIGNALS = signal.SIGTERM, signal.SIGINT
SAVING = 20.0  # seconds after the drain for sessions to be stored, before the process is killed
T = TypeVar("T")
log = logging.getLogger(__name__)


def serve(settings: Settings, ready: Callable[[Application], None]) -> None:
    """Serve until SIGTERM or SIGINT, then drain. Calls `ready` once requests are accepted.

    A second signal ends the process at once. One that cannot end, because a thread of it holds the interpreter, is
    killed `SAVING` seconds after the drain should have ended.
    """

    async def run() -> None:
        async with Application(settings) as application:
            for number in SIGNALS:
                asyncio.get_running_loop().add_signal_handler(number, _on_signal, application, number)
            dump_on_signal(asyncio.get_running_loop())
            kill_after(SIGNALS, settings.server.pre_stop + settings.server.drain + SAVING)
            ready(application)
            await application.wait()

    _run(run())
    log.info("stopped")
    if any(thread.name.startswith("tta-") for thread in threading.enumerate()):
        os._exit(1)  # a lane is stuck, and the interpreter would wait for it


def classify(
    settings: Settings, requests: Iterable[Request], on_answer: Callable[[Request, Report | TTAError], None]
) -> None:
    """Answer one request after the other, without a network."""

    async def run() -> None:
        async with build_runtime(settings) as runtime:
            for request in requests:
                try:
                    on_answer(request, await runtime.engine.classify(request))
                except TTAError as error:
                    on_answer(request, error)

    _run(run())


def advise(
    settings: Settings,
    labels: LabelSet,
    images: Sequence[bytes],
    names: Sequence[str],
    deadline: float | None = None,
    views: int = 0,
    truth: Sequence[int | None] = (),
    progress: Progress = lambda what, done, of: None,
) -> tuple[Advice, TemplateAdvice]:
    """Run templates and then strategies on the images, and recommend one of each.

    `deadline` is in seconds for one image. `views` 0 takes as many as fit the deadline and a minute for all images, at
    most 64. `truth` are the classes of the images where they are known. Raises `BadImage`, `CannotLoad`.
    """

    async def run() -> tuple[Advice, TemplateAdvice]:
        async with build_runtime(settings) as runtime:
            most = views or affordable_views(await measure_row_seconds(runtime), deadline, len(images))
            trials, template = await run_trials(runtime, labels, images, names, most, truth, progress)
            return judge(trials, deadline), template

    return _run(run())


def measure(settings: Settings, classes: int, write: Callable[[str], None]) -> None:
    """Write the memory peak of each strategy as soon as it is measured."""

    async def run() -> None:
        async with build_runtime(settings) as runtime:
            async for peak in measure_peaks(runtime, classes):
                write(dump_peaks([peak]))

    _run(run())


def _run(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(work)


def _on_signal(application: Application, number: signal.Signals) -> None:
    if application.stopping:
        os._exit(128 + number)
    log.info("%s: draining; a second signal ends the process at once", number.name)
    application.stop()
