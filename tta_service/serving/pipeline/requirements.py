"""What a request must be to enter, what it asks of the house, and how long it may take."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

from ...core.errors import BadParameters, DeadlineTooShort, Unsupported
from ...core.request import Features, Request
from ...core.strategy import Strategy
from ...maths import confident_count
from ..admission.tickets import Claim


@asynccontextmanager
async def within_deadline(until: float | None) -> AsyncGenerator[None]:
    """`DeadlineTooShort` when that moment (monotonic seconds) passes meanwhile."""
    left = None if until is None or math.isinf(until) else until - time.monotonic()
    try:
        async with asyncio.timeout(left):
            yield
    except TimeoutError:
        raise DeadlineTooShort("the deadline has passed") from None


def rows_needed(request: Request, strategy: Strategy[Any], views: int = 0) -> int:
    """The rows that a strategy will ask of the tower for this request, at least one; of so many `views`, 0: all."""
    needs = strategy.needs()
    if isinstance(request.image, Features):
        return 1
    views = views or needs.views
    second_look = 1 + confident_count(views, needs.confident) if request.reduction.scope == "two_looks" else 0
    return views + second_look


def cost_of(request: Request, strategy: Strategy[Any]) -> int:
    """Rows times passes: a strategy with gradients goes over its rows once more for each of its steps."""
    passes = 1 + getattr(strategy, "steps", 1) if strategy.needs().gradient else 1
    return rows_needed(request, strategy) * passes


def claim_for(request: Request, admit_by: Callable[[], float]) -> Claim:
    """A cascade's second strategy is counted when the image goes on to it."""
    rows, cost = rows_needed(request, request.strategy), cost_of(request, request.strategy)
    return Claim(rows, request.streamed, cost, request.client, admit_by)


def check_combination(request: Request) -> None:
    """Raises `Unsupported` or `BadParameters` for a combination that could never be answered."""
    strategies = [request.strategy] + ([request.cascade.to] if request.cascade else [])
    if request.cascade and request.cascade.to == request.strategy:
        raise BadParameters("a cascade goes on to another strategy than the first", "options.cascade.to")
    if request.reduction.scope == "two_looks" and not isinstance(request.image, Features):
        for strategy in strategies:
            if strategy.needs().confident >= 1:
                message = f"{strategy.name} reads every view, so there is nothing to choose for a second look"
                raise Unsupported(message, "options.reduction.scope")
