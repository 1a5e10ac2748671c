"""Metrics, logs and traces, made from events and published counters. The service itself never calls a meter."""

from __future__ import annotations

import logging

from ..core.events import Event, Observe

log = logging.getLogger(__name__)


def combine_observers(*observers: Observe) -> Observe:
    """One observer that calls each of `observers`. One that fails is logged; the others and the answer go on."""

    def observe(event: Event) -> None:
        for observer in observers:
            try:
                observer(event)
            except Exception:
                log.exception("an observer failed on a %s", type(event).__name__)

    return observe
