"""Metrics, logs and traces, made from events and published counters. The service itself never calls a meter."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from ..core.events import Event, Observe

log = logging.getLogger(__name__)
Handlers = Mapping[type, Callable[[Any], None]]  # a function for each kind of event


def combine_observers(*observers: Handlers) -> Observe:
    """One observer that calls all handlers of an event's kind. One that fails is logged; the others go on."""
    kinds = {kind for handlers in observers for kind in handlers}
    by_kind = {kind: [handlers[kind] for handlers in observers if kind in handlers] for kind in kinds}

    def observe(event: Event) -> None:
        for handle in by_kind.get(type(event), ()):
            try:
                handle(event)
            except Exception:
                log.exception("an observer failed on a %s", type(event).__name__)

    return observe


def without_empty(**fields: Any) -> dict[str, Any]:
    """The fields of a log line or a span that say something: neither None nor ""."""
    return {key: value for key, value in fields.items() if value not in (None, "")}
