"""Which strategies are switched off: their requests are answered with zero-shot, and say so."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from ...core.catalogue import strategies
from ...core.errors import BadParameters

ALWAYS_ON = "zero_shot"  # what stands in for the others
log = logging.getLogger(__name__)


class StrategySwitches:
    """Strategies by name, each on or off; memories of those that are off stay as they are."""

    def __init__(self, disabled: Iterable[str] = ()) -> None:
        """Raises as `set`."""
        self.disabled = frozenset[str]()  # published: other threads read it
        for name in disabled:
            self.set(name, False)

    def set(self, name: str, enabled: bool) -> None:
        """Counts for requests that begin from now on. Raises `UnknownStrategy`, and `BadParameters` for zero-shot."""
        strategies.get(name)
        if name == ALWAYS_ON and not enabled:
            raise BadParameters(f"{name} stands in for strategies that are disabled, so it stays enabled", "name")
        if enabled == (name in self.disabled):
            log.warning("the strategy %s is now %s", name, "enabled" if enabled else "disabled")
        self.disabled = self.disabled - {name} if enabled else self.disabled | {name}
