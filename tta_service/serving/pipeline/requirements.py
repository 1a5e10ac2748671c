"""The rows and the cost of a request, and the combinations that are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...core.errors import BadParameters, Unsupported
from ...core.request import Features, Request
from ...core.strategy import Strategy, needs_of
from ...maths import confident_count
from ..admission.wait_queue import Claim


def rows_needed(request: Request, strategy: Strategy[Any], views: int = 0) -> int:
    """Rows that the strategy will send to the image tower, at least one. `views`: how many it gets; 0: all it needs."""
    needs = needs_of(strategy)
    if isinstance(request.image, Features):
        return 1
    views = views or needs.views
    second_look = 1 + confident_count(views, needs.confident) if request.reduction.scope == "two_looks" else 0
    return views + second_look


def cost_of(request: Request, strategy: Strategy[Any]) -> int:
    """Rows times passes: a strategy with gradients passes over its rows once more in each of its steps."""
    passes = 1 + getattr(strategy, "steps", 1) if needs_of(strategy).gradient else 1
    return rows_needed(request, strategy) * passes


def claim_for(request: Request, admit_by: Callable[[], float]) -> Claim:
    """The request's claim on admission. A cascade's second strategy is added when it runs."""
    rows, cost = rows_needed(request, request.strategy), cost_of(request, request.strategy)
    return Claim(rows, request.streamed, cost, request.client, admit_by)


def check_combination(request: Request) -> None:
    """Raises `Unsupported` or `BadParameters` for a combination that can never be answered."""
    strategies = [request.strategy] + ([request.cascade.to] if request.cascade else [])
    if request.cascade and request.cascade.to == request.strategy:
        raise BadParameters("a cascade goes on to another strategy than the first", "options.cascade.to")
    if request.reduction.scope == "two_looks" and not isinstance(request.image, Features):
        for strategy in strategies:
            if needs_of(strategy).confident >= 1:
                message = f"{strategy.name} reads every view, so there is nothing to choose for a second look"
                raise Unsupported(message, "options.reduction.scope")
