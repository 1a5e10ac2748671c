"""The runtime: the model and the parts of `serving` wired together, without any server."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from ..clip.load import load
from ..clip.model import FrozenCLIP
from ..core.catalogue import reducers
from ..core.errors import ModelFault, TTAError
from ..core.events import Event, Observe, ignore
from ..core.reducer import Reduction
from ..images.decode import decode
from ..images.gpu.views import make_look
from ..images.limits import ImageLimits
from ..serving.admission.controller import AdmissionController
from ..serving.admission.quotas import ClientQuota
from ..serving.batching.batcher import Batcher
from ..serving.batching.device_health import DeviceHealth
from ..serving.concurrency.executors import Executors, make_executors, run
from ..serving.costs.model import CostModel
from ..serving.engine import Engine
from ..serving.persistence.service import SessionPersistence
from ..serving.persistence.snapshots import Snapshots
from ..serving.persistence.stores import open_store
from ..serving.pipeline.warmup import measure
from ..serving.sessions.accounting import MemoryLimits
from ..serving.sessions.sessions import Sessions
from ..serving.text.cache import TextSpaceCache
from ..settings import Settings
from .reducer_list import parse_reducers

log = logging.getLogger(__name__)
LARGEST = {"cpu": 64}  # rows that warm-up tries in one forward; other devices 256
LARGE_REQUEST_COST = 128  # rows times passes of a large request: 64 views and a step of gradients
EXPLAIN_EVERY = 16  # answers; one of them is explained for metrics
SHUTDOWN_SECONDS = 5.0  # for the running work of lanes, when all else has stopped


@dataclass(frozen=True, slots=True)
class Runtime:
    """The running parts, for `Application`, the commands and tests."""

    clip: FrozenCLIP
    engine: Engine
    admission: AdmissionController
    batcher: Batcher
    text_spaces: TextSpaceCache
    sessions: Sessions
    persistence: SessionPersistence
    health: DeviceHealth
    background_tasks: tuple[asyncio.Task[None], ...]  # they run until the runtime closes


@asynccontextmanager
async def build_runtime(
    settings: Settings,
    observe: Observe = ignore,
    health: DeviceHealth | None = None,
    address: Callable[[], str] = lambda: "",
) -> AsyncIterator[Runtime]:
    """Load the model, measure it, wire the parts and warm up. The end of the block stops everything.

    `address()` is this server's address, under which it keeps sessions in the store. Raises `CannotLoad` without a
    model, `ModelFault` when its features are not finite, OSError when the store cannot be reached.
    """
    store = open_store(settings.sessions.store, settings.sessions.store_keep) if settings.sessions.store else None
    health, exact = health or DeviceHealth(), Reduction(reducers.build("none"))
    with _blame_setting(settings, "reducers"):
        reducers_at_start = parse_reducers(settings.model.reducers, settings.defaults.reducer)
    batch, text, keep, most, threads = settings.batch, settings.text, settings.sessions, settings.limits, settings.lanes

    async with AsyncExitStack() as stack:
        executors = make_executors(threads.prepare, threads.adapt, threads.cores)
        stack.callback(_close_lanes, executors)
        wanted = settings.model.model_dump(exclude={"reducers"})
        with _blame_setting(settings):
            # in the device lane, whose threads the model will use
            clip = await run(executors.device, partial(load, **wanted, reducers=reducers_at_start))

        def blank(rows: int) -> torch.Tensor:
            return torch.zeros(rows, 3, clip.image_size, clip.image_size, dtype=torch.uint8, device=clip.device)

        most_rows = min(batch.max_rows or 1 << 30, LARGEST.get(clip.device.type, 256))
        calibration = await run(
            executors.device, measure, lambda rows: clip.encode_image(blank(rows), exact), most_rows
        )
        max_rows = batch.max_rows or calibration.rows
        costs = CostModel(max_rows, calibration.seconds)
        batcher = Batcher(clip.encode_image, executors.device, max_rows, observe, health, costs)
        quota = ClientQuota(batch.waiting_cost or batch.waiting * LARGE_REQUEST_COST, batch.client_share)
        admission = AdmissionController(2 * max_rows, batch.waiting, quota=quota)
        text_spaces = TextSpaceCache(
            clip.text_space_in_steps,
            executors.device,
            executors.tune,
            text.cache_bytes,
            text.definitions,
            pause_watchdog=health.pause_watchdog,
            max_activations=text.activation_bytes,
            costs=costs,
        )
        memories = MemoryLimits(keep.session_bytes, keep.owner_bytes, keep.total_bytes, keep.most)
        sessions = Sessions(keep.idle, memories, observe)
        secret = keep.secret.get_secret_value().encode()
        if store and not secret:
            log.warning("sessions.store without sessions.secret: no other process can read what is stored")
        store_lane = ThreadPoolExecutor(1, "tta-store")
        stack.callback(store_lane.shutdown)
        snapshots = Snapshots(sessions, text_spaces, executors, clip.fingerprint, secret)
        persistence = SessionPersistence(sessions, snapshots, store, store_lane, keep.write_frames, address)

        def observe_report(event: Event) -> None:
            persistence.observe(event)
            observe(event)

        engine = Engine(
            decode=partial(decode, limits=ImageLimits(most.image_bytes, most.image_pixels, most.image_side)),
            look=make_look(clip.device, clip.image_size),
            batcher=batcher,
            text_spaces=text_spaces,
            sessions=sessions,
            admission=admission,
            lanes=executors,
            observe=observe_report,
            explain_every=EXPLAIN_EVERY,
            tokens_left=clip.tokens_left,
            costs=costs,
        )
        await engine.warm_up(clip.dimension)

        async def canary() -> object:
            return await batcher.encode(blank(1), exact)

        background_tasks = await stack.enter_async_context(
            _background(batcher.run(), sessions.run(), health.run(canary), persistence.run(keep.write_seconds))
        )
        stack.callback(sessions.close_all)
        stack.push_async_callback(save_sessions, persistence)
        stack.callback(admission.close)
        if error := await health.probe(canary):
            raise ModelFault(f"the model {clip.name} does not work: {error.message}")
        health.ready(calibration.row_seconds)
        log.info(
            "%s on %s: %d rows at a time, %.0f a second", clip.name, clip.device, max_rows, 1 / calibration.row_seconds
        )
        yield Runtime(clip, engine, admission, batcher, text_spaces, sessions, persistence, health, background_tasks)


async def save_sessions(persistence: SessionPersistence, streams: bool = False) -> None:
    """Write all sessions to the store, those of open `streams` too. Gives up after `SHUTDOWN_SECONDS`."""
    try:
        async with asyncio.timeout(SHUTDOWN_SECONDS):
            await persistence.save_all(streams)
    except TimeoutError:
        log.error("the state store is too slow: the latest frames of some sessions are lost")


@contextmanager
def _blame_setting(settings: Settings, knob: str = "") -> Iterator[None]:
    """A block whose errors name the setting of `model` that caused them, and where it was set."""
    try:
        yield
    except TTAError as error:
        name = knob or (error.field if error.field in type(settings.model).model_fields else "name")
        raise type(error)(settings.locate_mistake(f"model.{name}", error.message), error.field) from error


@asynccontextmanager
async def _background(*works: Coroutine[Any, Any, None]) -> AsyncIterator[tuple[asyncio.Task[None], ...]]:
    tasks = tuple(asyncio.create_task(work) for work in works)
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _close_lanes(executors: Executors) -> None:
    """Close the lanes in a thread and wait `SHUTDOWN_SECONDS`: a forward that never returns must not block the exit."""
    closing = threading.Thread(target=executors.close, daemon=True)
    closing.start()
    closing.join(SHUTDOWN_SECONDS)
    if closing.is_alive():
        log.critical("a lane is stuck: its work did not end within %g s", SHUTDOWN_SECONDS)
