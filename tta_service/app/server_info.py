"""Facts about the runtime: for `rpc` to check requests against, and for /metrics."""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from ..clip.model import FrozenCLIP
from ..core.catalogue import reducers, strategies
from ..methods.uploads import UploadBudget
from ..serving.admission.controller import AdmissionController
from ..serving.streams import BufferTotals
from ..settings import BadSettings, Settings
from ..telemetry.audit import AuditLog
from ..telemetry.collectors import Counts
from ..wire.certificates import Certificates
from ..wire.server_info import ServerInfo
from .parts import Runtime, find_jpeg_side


def make_server_info(settings: Settings, clip: FrozenCLIP) -> ServerInfo:
    """The facts and limits against which requests are checked."""
    return ServerInfo(
        model=clip.name,
        fingerprint=clip.fingerprint,
        image_size=clip.image_size,
        jpeg_side=find_jpeg_side(settings, clip.image_size),
        dimension=clip.dimension,
        device=str(clip.device),
        precision=clip.precision,
        version=version("tta-service"),
        strategy=settings.defaults.strategy,
        reducer=settings.defaults.reducer,
        limits=settings.limits,
        check_reducer=clip.check_reducer,
    )


def check_limits(parameters: Mapping[str, float]) -> None:
    """Raise `BadSettings` for a limit that applies to no parameter: a misspelt one would silently limit nothing."""
    entries = [catalogue.describe(name) for catalogue in (strategies, reducers) for name in catalogue.names()]
    known = {parameter.name for entry in entries for parameter in entry.parameters if parameter.maximum is not None}
    if unknown := sorted(parameters.keys() - known):
        raise BadSettings(f"limits.parameters: nothing has a number called {', '.join(unknown)}")


def make_counts(
    settings: Settings,
    runtime: Runtime,
    totals: BufferTotals,
    uploads: UploadBudget,
    permits: AdmissionController,
    certificates: Certificates | None = None,
    audit: AuditLog | None = None,
) -> Counts:
    """The published counters of `serving`. Called in the scrape's thread."""
    tower, text, sessions = runtime.batcher.counters, runtime.text_spaces.counters, runtime.sessions.counters
    store = runtime.persistence.store
    places = {"permits": permits, "text": runtime.text_spaces.turns, **runtime.engine.places}
    now, view = time.time(), 3 * runtime.clip.image_size**2
    return Counts(
        serving=runtime.health.serving,
        insecure=settings.server.insecure,
        certificate_expiry={"server": certificates.current().expires} if certificates else {},
        queue_depth={**runtime.admission.depths, "uploads": uploads.waiting, "tower": tower.jobs},
        queue_limit=runtime.admission.limits,
        queue_bytes={"streams": totals.bytes, "uploads": uploads.bytes, "tower": tower.rows * view},
        waiting_rows={"tower": tower.rows},
        inflight_rows=runtime.admission.running_rows,
        inflight_requests=runtime.admission.running_requests,
        **_count_places(places),
        heartbeat={worker: now - silence for worker, silence in runtime.health.silence.items()},
        sessions={"active": sessions.streams, "idle": sessions.sessions - sessions.streams},
        worst_sessions=sessions.worst,
        memory_bytes=sessions.bytes_by_strategy,
        questions=sessions.questions,
        questions_answered=sessions.questions_answered,
        questions_asked=sessions.questions_asked,
        questions_evicted=sessions.questions_evicted,
        store_unavailable=bool(store and store.breaker.is_open),
        store_failures=store.breaker.failures if store else 0,
        store_damaged=store.damaged if store else 0,
        store_refused=store.room.refused if store and store.room else 0,
        decoders_ended=dict(runtime.decoders.ended) if runtime.decoders else {},
        audit_failures=audit.failures if audit else 0,
        strategies_disabled=dict.fromkeys(runtime.switches.disabled, 1),
        sets_checked=sessions.sets_checked,
        drawn_answers=sessions.drawn_answers,
        drawn_confidence=sessions.drawn_confidence,
        memory_limit=settings.sessions.total_bytes,
        label_sets=text.cached,
        label_set_bytes=text.bytes,
        activation_bytes=text.activations,
        text_hits=text.hits,
        text_misses=text.misses,
        text_evictions=text.evicted,
    )


def _count_places(places: Mapping[str, AdmissionController]) -> dict[str, Any]:
    return {
        "places_taken": {name: each.running_requests for name, each in places.items()},
        "places_waiting": {name: each.waiting for name, each in places.items()},
        "places_refused": {name: each.refused for name, each in places.items()},
    }
