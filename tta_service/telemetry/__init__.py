"""They read events and published counters; nothing inside the house calls a meter or writes a log line."""

from __future__ import annotations

import logging

from ..core.events import Event, Observe

log = logging.getLogger(__name__)


def combine_observers(*observers: Observe) -> Observe:
    """One observer out of several. One that fails is logged and never costs a caller his answer."""

    def observe(event: Event) -> None:
        for observer in observers:
            try:
                observer(event)
            except Exception:
                log.exception("an observer failed on a %s", type(event).__name__)

    return observe
