"""Who hears of the events of one server: metrics, the access log, and if wanted spans and the audit log."""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import AsyncExitStack
from importlib.metadata import version
from typing import TYPE_CHECKING

from ..core.events import Observe
from ..methods.audit import MayChange
from ..settings import BadSettings
from ..telemetry import combine_observers
from ..telemetry.access_log import AccessLog
from ..telemetry.audit import AuditLog
from ..telemetry.metrics import Metrics

if TYPE_CHECKING:
    from ..telemetry.tracing import Tracing

log = logging.getLogger(__name__)


def make_tracing(endpoint: str, share: float) -> Tracing | None:
    """Spans go to `endpoint`, else to the collector of OpenTelemetry's own variables.

    Raises `BadSettings` when `endpoint` is given and OpenTelemetry is not installed. Its variables may be set for
    everything on a machine, so those ask for nothing that is not there.
    """
    collector = endpoint or _find_collector()
    if not collector:
        return None
    try:
        from ..telemetry.tracing import otlp
    except ImportError as error:
        if endpoint:
            raise BadSettings(f"tracing.endpoint needs `pip install '.[tracing]'` in a checkout: {error}") from None
        log.warning("no spans go to %s: they need `pip install '.[tracing]'` in a checkout (%s)", collector, error)
        return None
    return otlp(collector, share, version("tta-service"))


def _find_collector() -> str:
    """Where OpenTelemetry's variables send spans by gRPC; "" where they do not."""
    get = os.environ.get
    if get("OTEL_SDK_DISABLED", "").lower() == "true" or get("OTEL_TRACES_EXPORTER", "otlp") != "otlp":
        return ""
    for name in ("OTEL_EXPORTER_OTLP_TRACES_", "OTEL_EXPORTER_OTLP_"):
        if endpoint := get(f"{name}ENDPOINT", ""):
            protocol = get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or get("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
            if protocol == "grpc":
                return endpoint
            log.warning("no spans go to %s: they are sent by gRPC, not by %s", endpoint, protocol)
            break
    return ""


def make_gate(audit: AuditLog | None) -> MayChange:
    """Keeps from changes that an audit log which is required could not take."""

    async def may_change() -> None:
        if audit and audit.must_be_checked:
            await asyncio.to_thread(audit.check)

    return may_change


def make_observer(stack: AsyncExitStack, tracing: Tracing | None, audit: AuditLog | None, metrics: Metrics) -> Observe:
    """All of them, of which the end of the stack closes those that have something to write."""
    writers = [one for one in (tracing, audit) if one]
    for one in writers:
        stack.push_async_callback(asyncio.to_thread, one.close)
    access = AccessLog(trace_of=tracing.trace_of if tracing else None)  # after the spans, whose ids it writes
    return combine_observers(*(one.handlers for one in writers), metrics.handlers, access.handlers)
