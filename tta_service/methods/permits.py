"""Permits for work that is no answer to a picture: it is bounded too, and clients have fair shares of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, TypeVar

from ..serving.admission.claims import Claim
from ..serving.admission.controller import AdmissionController
from ..wire.identity import current_caller

PERMITS = 4  # for the work of one client; others have as many together, beside it
S = TypeVar("S", bound="NeedsPermits")
R = TypeVar("R")


class NeedsPermits:
    """Has methods that run with a permit."""

    permits: AdmissionController


def with_permit(method: Callable[[S, Any, Any], Awaitable[R]]) -> Callable[[S, Any, Any], Awaitable[R]]:
    """A method that runs when its caller has a permit, until it ends. It raises `Overloaded` when too many wait."""

    @wraps(method)
    async def run(self: S, request: Any, context: Any) -> R:
        with await self.permits.acquire(Claim(1, client=current_caller().client)):
            return await method(self, request, context)

    return run
