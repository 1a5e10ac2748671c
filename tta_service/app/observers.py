"""Who hears of the events of one server: metrics, the access log, and if wanted spans and the audit log."""

from __future__ import annotations

import asyncio
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


def make_tracing(endpoint: str, share: float) -> Tracing | None:
    """Raises `BadSettings` when spans are wanted and OpenTelemetry is not installed."""
    if not endpoint:
        return None
    try:
        from ..telemetry.tracing import otlp
    except ImportError as error:
        raise BadSettings(f"tracing.endpoint needs `pip install tta-service[tracing]`: {error}") from None
    return otlp(endpoint, share, version("tta-service"))


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
    return combine_observers(*(one.handlers for one in writers), metrics.handlers, AccessLog().handlers)
