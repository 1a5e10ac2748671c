"""What answers a request: the rooms, wired, with no door to the outside."""

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
from ..images.decode import ImageLimits, decode
from ..images.gpu.views import looking
from ..serving.admission.controller import AdmissionController
from ..serving.admission.quotas import ClientQuota
from ..serving.batching.batcher import Batcher
from ..serving.batching.health import DeviceHealth
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
from .reducer_list import served

log = logging.getLogger(__name__)
LARGEST = {"cpu": 64}  # rows that warm-up tries in one forward; other devices 256
HEAVY = 128  # rows times passes of a large request: 64 views and a step of gradients
EXPLAIN_EVERY = 16  # answers; one of them is explained for metrics
LAST_MOMENT = 5.0  # seconds for what a lane has begun, when all else has stopped


@dataclass(frozen=True, slots=True)
class Parts:
    clip: FrozenCLIP
    engine: Engine
    door: AdmissionController
    batcher: Batcher
    text_spaces: TextSpaceCache
    sessions: Sessions
    archive: SessionPersistence
    pulse: DeviceHealth
    works: tuple[asyncio.Task[None], ...]  # in the background; none of them ends by itself


@asynccontextmanager
async def assembled(
    settings: Settings,
    observe: Observe = ignore,
    pulse: DeviceHealth | None = None,
    here: Callable[[], str] = lambda: "",
) -> AsyncIterator[Parts]:
    """Load, measure, build, warm up. At the end of the block everything is stopped. `here()` is our address.

    Raises `CannotLoad` without a model, `ModelFault` when it gives no finite features: such a one never serves; OSError
    when the state store cannot be reached.
    """
    store = open_store(settings.sessions.store, settings.sessions.store_keep) if settings.sessions.store else None
    pulse, exact = pulse or DeviceHealth(), Reduction(reducers.build("none"))
    with _blamed(settings, "reducers"):
        named = served(settings.model.reducers, settings.defaults.reducer)
    batch, text, keep, most, threads = settings.batch, settings.text, settings.sessions, settings.limits, settings.lanes

    async with AsyncExitStack() as stack:
        lane = make_executors(threads.prepare, threads.adapt, threads.cores)
        stack.callback(_close, lane)
        wanted = settings.model.model_dump(exclude={"reducers"})
        with _blamed(settings):
            clip = await run(lane.device, partial(load, **wanted, reducers=named))  # there, whose threads it is to use

        def blank(rows: int) -> torch.Tensor:
            return torch.zeros(rows, 3, clip.image_size, clip.image_size, dtype=torch.uint8, device=clip.device)

        most_rows = min(batch.max_rows or 1 << 30, LARGEST.get(clip.device.type, 256))
        budget = await run(lane.device, measure, lambda rows: clip.encode_image(blank(rows), exact), most_rows)
        max_rows = batch.max_rows or budget.rows
        costs = CostModel(max_rows, budget.seconds)
        batcher = Batcher(clip.encode_image, lane.device, max_rows, observe, pulse, costs)
        shares = ClientQuota(batch.waiting_cost or batch.waiting * HEAVY, batch.client_share)
        door = AdmissionController(2 * max_rows, batch.waiting, quota=shares)
        text_spaces = TextSpaceCache(
            clip.text_space_in_steps,
            lane.device,
            lane.tune,
            text.cache_bytes,
            text.definitions,
            pause_watchdog=pulse.pause_watchdog,
            max_activations=text.activation_bytes,
            costs=costs,
        )
        memories = MemoryLimits(keep.session_bytes, keep.owner_bytes, keep.total_bytes, keep.most)
        sessions = Sessions(keep.idle, memories, observe)
        secret = keep.secret.get_secret_value().encode()
        if store and not secret:
            log.warning("sessions.store without sessions.secret: no other process can read what is stored")
        shelf = ThreadPoolExecutor(1, "tta-store")
        stack.callback(shelf.shutdown)
        snapshots = Snapshots(sessions, text_spaces, lane, clip.fingerprint, secret)
        archive = SessionPersistence(sessions, snapshots, store, shelf, keep.write_frames, here)

        def seen(event: Event) -> None:
            archive.observe(event)
            observe(event)

        engine = Engine(
            decode=partial(decode, limits=ImageLimits(most.image_bytes, most.image_pixels, most.image_side)),
            look=looking(clip.device, clip.image_size),
            batcher=batcher,
            text_spaces=text_spaces,
            sessions=sessions,
            admission=door,
            lanes=lane,
            observe=seen,
            explain_every=EXPLAIN_EVERY,
            tokens_left=clip.tokens_left,
            costs=costs,
        )
        await engine.warm_up(clip.dimension)

        async def canary() -> object:
            return await batcher.encode(blank(1), exact)

        works = await stack.enter_async_context(
            _background(batcher.run(), sessions.run(), pulse.run(canary), archive.run(keep.write_seconds))
        )
        stack.callback(sessions.close_all)
        stack.push_async_callback(kept, archive)
        stack.callback(door.close)
        if error := await pulse.probe(canary):
            raise ModelFault(f"the model {clip.name} does not work: {error.message}")
        pulse.ready(budget.row_seconds)
        log.info("%s on %s: %d rows at a time, %.0f a second", clip.name, clip.device, max_rows, 1 / budget.row_seconds)
        yield Parts(clip, engine, door, batcher, text_spaces, sessions, archive, pulse, works)


async def kept(archive: SessionPersistence, streams: bool = False) -> None:
    """All that is to outlive us is in the store; a store that does not answer must not keep us for ever."""
    try:
        async with asyncio.timeout(LAST_MOMENT):
            await archive.save_all(streams)
    except TimeoutError:
        log.error("the state store is too slow: the latest frames of some sessions are lost")


@contextmanager
def _blamed(settings: Settings, knob: str = "") -> Iterator[None]:
    """A refusal inside names the knob of the model that it is about, and where that was set."""
    try:
        yield
    except TTAError as error:
        name = knob or (error.field if error.field in type(settings.model).model_fields else "name")
        raise type(error)(settings.located(f"model.{name}", error.message), error.field) from error


@asynccontextmanager
async def _background(*works: Coroutine[Any, Any, None]) -> AsyncIterator[tuple[asyncio.Task[None], ...]]:
    tasks = tuple(asyncio.create_task(work) for work in works)
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _close(lane: Executors) -> None:
    """A forward that never comes back must not keep us: whoever runs the process decides what to do with the thread."""
    closing = threading.Thread(target=lane.close, daemon=True)
    closing.start()
    closing.join(LAST_MOMENT)
    if closing.is_alive():
        log.critical("a lane does not finish what it has begun")
