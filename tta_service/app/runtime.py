"""The runtime: the model and the parts of `serving`, connected and running, without any server."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from ..clip.load import load
from ..clip.model import FrozenCLIP
from ..core.catalogue import reducers
from ..core.errors import ModelFault, TTAError
from ..core.events import Observe, ignore
from ..core.parameters import parse_value
from ..core.reducer import Reducer, Reduction
from ..serving.batching.device_health import DeviceHealth
from ..serving.concurrency import Executors, make_executors, run
from ..serving.costs.model import CostModel
from ..serving.persistence.service import SessionPersistence
from ..serving.persistence.stores import open_store
from ..serving.persistence.stores.base import Store
from ..serving.persistence.stores.record_signer import RecordSigner
from ..serving.persistence.stores.stored_bytes import StoredBytes
from ..serving.pipeline.warmup import measure
from ..settings import BadSettings, Settings
from .access import asks_callers, read_secrets
from .form import find_form
from .parts import Runtime, connect_parts, start_decoders

log = logging.getLogger(__name__)
LARGEST = {"cpu": 64}  # rows that warm-up tries in one forward; other devices 256
SAVE_AGAIN = 0.5  # seconds between two attempts to save sessions
SHUTDOWN_SECONDS = 5.0  # for the running work of lanes, when all else has stopped


@asynccontextmanager
async def build_runtime(
    settings: Settings,
    clip: FrozenCLIP | None = None,
    *,
    observe: Observe = ignore,
    health: DeviceHealth | None = None,
    address: Callable[[], str] = lambda: "",
) -> AsyncIterator[Runtime]:
    """Load the model unless `clip` is given, measure it, connect the parts and warm up. The block's end stops all.

    `address()` is this server's address, under which it keeps sessions in the store. Raises `CannotLoad` without a
    model, `ModelFault` when its features are not finite, OSError when the store cannot be reached.
    """
    keep, threads, most_rows = settings.sessions, settings.lanes, settings.batch.max_rows
    store = await _open_store(settings) if keep.store else None
    exact = Reduction(reducers.build("none"))
    with _blame_setting(settings, "reducers"):
        reducers_at_start = parse_reducers(settings.model.reducers, settings.defaults.reducer)

    async with AsyncExitStack() as stack:
        if store:
            stack.push_async_callback(store.close)
        if decoders := start_decoders(settings):
            stack.callback(decoders.close)
        lanes = make_executors(threads.prepare, threads.adapt, threads.cores)
        stack.callback(_close_lanes, lanes)
        if settings.model.checkpoint and settings.model.pretrained:
            log.warning("%s", settings.locate_mistake("model.pretrained", "not used: model.checkpoint has the weights"))
        with _blame_setting(settings):  # loaded in the device lane, whose threads the model will use
            model = clip or await _load_model(settings, lanes, reducers_at_start)

        def blank(rows: int) -> torch.Tensor:
            return torch.zeros(rows, 3, model.image_size, model.image_size, dtype=torch.uint8, device=model.device)

        limit = min(most_rows or 1 << 30, LARGEST.get(model.device.type, 256))
        calibration = await run(lanes.device, measure, lambda rows: model.encode_image(blank(rows), exact), limit)
        costs = CostModel(most_rows or calibration.rows, calibration.seconds)
        parts = connect_parts(
            settings,
            model,
            lanes,
            costs,
            observe,
            health=health,
            store=store,
            address=address,
            decoders=decoders,
        )
        await parts.engine.warm_up(model.dimension)

        async def canary() -> object:
            return await parts.batcher.encode(blank(1), exact)

        works = parts.batcher.run(), parts.sessions.run(), parts.health.run(canary)
        if store and parts.persistence.groups:
            works += parts.persistence.groups.run(keep.group_seconds), store.run(), parts.persistence.answer_others()
        tasks = await stack.enter_async_context(_background(*works, parts.persistence.run(keep.write_seconds)))
        stack.callback(parts.sessions.close_all)
        stack.callback(parts.persistence.report_unwritten)
        stack.push_async_callback(save_sessions, parts.persistence)
        stack.callback(parts.admission.close)
        if error := await parts.health.probe(canary):
            raise ModelFault(f"the model {model.name} does not work: {error.message}")
        parts.health.ready(calibration.row_seconds)
        speed = 1 / calibration.row_seconds
        log.info("%s on %s: %d rows at a time, %.0f a second", model.name, model.device, costs.max_rows, speed)
        yield replace(parts, background_tasks=tasks)


async def _load_model(settings: Settings, lanes: Executors, reducers_at_start: Sequence[Reducer]) -> FrozenCLIP:
    """Where the settings say `auto`, it is in the fastest form."""
    model, wanted = settings.model, settings.model.model_dump(exclude={"reducers"})
    if "auto" in (model.precision, model.runtime):
        form = await asyncio.to_thread(find_form, settings)
        wanted |= {"precision": form.precision, "runtime": form.runtime, "agrees": model.precision == "auto"}
        if form.threads:
            await run(lanes.device, torch.set_num_threads, form.threads)
    return await run(lanes.device, partial(load, **wanted, reducers=reducers_at_start))


async def save_sessions(
    persistence: SessionPersistence, streams: bool = False, seconds: float = SHUTDOWN_SECONDS
) -> None:
    """Write sessions and lesson groups to the store, sessions of open `streams` too; failures are tried again."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await persistence.save_all(streams, groups=True)
            while persistence.is_behind:  # the store may come back in time
                await asyncio.sleep(SAVE_AGAIN)
                await persistence.save_all(streams, groups=True)


def parse_reducers(text: str, default: str) -> tuple[Reducer, ...]:
    """The reducers in a text such as "tome,evit:keep=0.5:fuse=sum": names, with parameters where not the defaults.

    `default`, the reducer of requests that name none, comes first. Raises `UnknownReducer`, `BadParameters` and
    `BadSettings`.
    """
    named = [part.strip() for part in text.split(",") if part.strip()]
    return tuple(dict.fromkeys(_build(part) for part in (default, *named)))


def _build(part: str) -> Reducer:
    name, *given = part.split(":")
    return reducers.build(name.strip(), dict(_parameters(part, given)))


def _parameters(part: str, given: list[str]) -> Iterator[tuple[str, Any]]:
    for each in given:
        name, equals, value = each.partition("=")
        if not equals:
            raise BadSettings(f"model.reducers: write a reducer as NAME:PARAMETER=VALUE, got {part!r}")
        yield name.strip(), parse_value(value)


async def _open_store(settings: Settings) -> Store:
    keep = settings.sessions
    secret, former = read_secrets(settings)
    signer = RecordSigner(secret, former)
    store = await open_store(keep.store, keep.store_keep, keep.taught_idle, signer, keep.counters)
    if keep.owner_stored_bytes:
        store.room = StoredBytes(keep.owner_stored_bytes, keep.store_keep, keep.taught_idle)
    if not secret:
        log.warning("sessions.store without sessions.secret: no other process can read what is stored")
    if asks_callers(settings) and not keep.adopt_owner and await store.has_unowned():
        log.warning("stored sessions without an owner stay as they are: sessions.adopt_owner names one for them")
    return store


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


def _close_lanes(lanes: Executors) -> None:
    """Close the lanes in a thread and wait `SHUTDOWN_SECONDS`: a forward that never returns must not block the exit."""
    closing = threading.Thread(target=lanes.close, daemon=True)
    closing.start()
    closing.join(SHUTDOWN_SECONDS)
    if closing.is_alive():
        log.critical("a lane is stuck: its work did not end within %g s", SHUTDOWN_SECONDS)
