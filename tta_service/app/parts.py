"""The parts of one server: the list of them, and how they are connected."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ..clip.model import FrozenCLIP
from ..core.events import Event, Observe, ignore
from ..images.decode import decode as decode_image
from ..images.files import ImageLimits
from ..images.gpu.views import make_look
from ..images.thumbnails import make_thumbnail
from ..serving.admission.claims import ClientQuota
from ..serving.admission.controller import AdmissionController
from ..serving.batching.batcher import Batcher
from ..serving.batching.choice import small_part
from ..serving.batching.device_health import DeviceHealth
from ..serving.concurrency import Executors
from ..serving.costs.model import CostModel
from ..serving.engine import Engine
from ..serving.example_encoder import ExampleEncoder
from ..serving.persistence.service import SessionPersistence
from ..serving.persistence.snapshots import Snapshots
from ..serving.persistence.stores.base import Store
from ..serving.pipeline.calibrating import Calibrator
from ..serving.pipeline.fitting import Fitter
from ..serving.pipeline.resources import Decode, Look, Resources
from ..serving.pipeline.switches import StrategySwitches
from ..serving.sessions.memory import MemoryLimits
from ..serving.sessions.sessions import Sessions
from ..serving.teaching import Teaching
from ..serving.text.cache import TextSpaceCache
from ..serving.text.label_sets import LabelSets
from ..settings import Settings
from .access import read_secrets

if TYPE_CHECKING:
    from ..images.decoders import DecoderPool

LARGE_REQUEST_COST = 128  # rows times passes of a large request: 64 views and a step of gradients
EXPLAIN_EVERY = 16  # answers; one of them is explained for metrics


@dataclass(frozen=True, slots=True)
class Runtime:
    """The parts of one server, connected."""

    clip: FrozenCLIP
    lanes: Executors
    costs: CostModel
    health: DeviceHealth
    batcher: Batcher
    admission: AdmissionController
    text_spaces: TextSpaceCache
    label_sets: LabelSets
    sessions: Sessions
    persistence: SessionPersistence
    engine: Engine
    teaching: Teaching
    fitter: Fitter
    switches: StrategySwitches
    calibrator: Calibrator
    decode: Decode
    decoders: DecoderPool | None
    background_tasks: tuple[asyncio.Task[None], ...] = ()  # they run until the runtime closes


def start_decoders(settings: Settings) -> DecoderPool | None:
    """The processes that decode pictures, if any are wanted. Raises OSError when they do not start."""
    if not settings.images.decoders:
        return None
    from ..images.decoders import DecoderPool  # which only Linux has

    return DecoderPool(settings.images.decoders, settings.images.decode_seconds, _image_limits(settings))


def _image_limits(settings: Settings) -> ImageLimits:
    most = settings.limits
    return ImageLimits(most.image_bytes, most.image_pixels, most.image_side)


def connect_parts(
    settings: Settings,
    clip: FrozenCLIP,
    lanes: Executors,
    costs: CostModel,
    observe: Observe = ignore,
    *,
    health: DeviceHealth | None = None,
    admission: AdmissionController | None = None,
    sessions: Sessions | None = None,
    store: Store | None = None,
    address: Callable[[], str] = lambda: "",
    decode: Decode | None = None,
    decoders: DecoderPool | None = None,
    look: Look | None = None,
    explain_every: int = EXPLAIN_EVERY,
) -> Runtime:
    """The parts that `settings` describe, around a loaded model, none of them running yet.

    Parts that are given take the place of those made here. `costs` also gives the rows of a full batch.
    """
    batch, text, keep, most = settings.batch, settings.text, settings.sessions, settings.limits
    health = health or DeviceHealth()
    batcher = Batcher(clip.encode_image, lanes.device, costs.max_rows, observe, health, costs, batch.weights)
    waiting_cost = batch.waiting_cost or batch.waiting * LARGE_REQUEST_COST
    quota = ClientQuota(waiting_cost, batch.client_share, most.client_requests)
    admission = admission or AdmissionController(
        2 * costs.max_rows, batch.waiting, quota=quota, seats=small_part(costs.max_rows), weights=batch.weights
    )
    text_spaces = TextSpaceCache(
        clip.text_space_in_steps,
        lanes.device,
        lanes.tune,
        text.cache_bytes,
        pause_watchdog=health.pause_watchdog,
        max_activations=text.activation_bytes,
        costs=costs,
        weights=batch.weights,
        pay=batcher.queue.charge_seconds,
        quota=quota,
    )
    label_sets = LabelSets(text_spaces, text.definitions)
    memories = MemoryLimits(
        keep.session_bytes,
        keep.owner_bytes,
        keep.total_bytes,
        keep.most,
        keep.groups,
        keep.recent,
        keep.questions,
        keep.question_age,
        keep.taught_idle,
        most.owner_sessions,
    )
    sessions = sessions or Sessions(keep.idle, memories, observe)

    def observe_report(event: Event) -> None:
        persistence.observe(event)
        observe(event)

    turns = partial(AdmissionController, max_waiting=2 * batch.waiting, first=0, weights=batch.weights)
    side = find_jpeg_side(settings, clip.image_size)
    decode = decode or partial(decode_image, limits=_image_limits(settings), jpeg_side=side, pool=decoders)
    fitter, switches = Fitter(lanes, text_spaces), StrategySwitches(settings.defaults.disabled)
    calibrator = Calibrator(lanes, text_spaces)
    resources = Resources(
        decode,
        look or make_look(clip.device, clip.image_size),
        batcher,
        text_spaces,
        lanes,
        costs,
        turns(lanes.prepare_threads + 1),
        turns(max(1, lanes.prepare_threads - 1)),
        clip.tokens_left,
        clip.map_tokens,
        fitter,
        calibrator,
        partial(make_thumbnail, side=keep.thumbnails) if keep.thumbnails else None,
        explain_every,
        switches,
    )
    engine = Engine(resources, sessions, admission, observe_report if store else observe)
    encoder = ExampleEncoder(engine, lanes)
    teaching = Teaching(encoder, sessions, text_spaces, lanes, fitter)
    again, fit = encoder.encode_lessons, fitter.start_first
    secret, former = read_secrets(settings)
    snapshots = Snapshots(sessions, text_spaces, lanes, clip.fingerprint, secret, again, fit, keep.adopt_owner, former)
    persistence = SessionPersistence(sessions, snapshots, store, keep.write_frames, address)
    return Runtime(
        clip,
        lanes,
        costs,
        health,
        batcher,
        admission,
        text_spaces,
        label_sets,
        sessions,
        persistence,
        engine,
        teaching,
        fitter,
        switches,
        calibrator,
        decode,
        decoders,
    )


def find_jpeg_side(settings: Settings, image_size: int) -> int:
    """The pixels that decoding leaves on the shorter side of a JPEG: enough for thumbnails and for the smallest crop,
    which has 0.28 of that side and should not be enlarged. 0: all.
    """
    return 0 if settings.images.exact else max(4 * image_size, settings.sessions.thumbnails)
