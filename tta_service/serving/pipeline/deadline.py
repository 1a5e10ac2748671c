"""The time that a request has, and what can be done in it: its deadline is its budget.

What was asked for is cut in this order: fewer views (not under eight, nor under what the strategy needs), then
zero-shot on the plain view. Never another strategy, hence never another memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from ...core.errors import DeadlineTooShort
from ...core.request import Features, Request
from ...core.strategy import Needs, Strategy
from ...maths import kept_count
from ..batching.queue import TowerQueue
from ..batching.scheduling import most
from ..costs.estimators import Estimate
from ..costs.model import Costs

FEWEST = 8  # with fewer views no strategy is worth its while
WAY_BACK = 0.02  # of the budget is left to the answer's way to the client, which nobody here sees
NOTHING = Estimate()


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of what was asked will be tried."""

    views: int
    fewest: int = 1  # with fewer the strategy is not run
    due: float = math.inf  # monotonic seconds: the rows must be through the tower
    last: float = math.inf  # the same for the plain view, should nothing else come of it
    plain: bool = False  # zero-shot on the plain view is all that there is time for
    whole: bool = False  # all of it or nothing


@dataclass(frozen=True, slots=True)
class Paid:
    """What an earlier strategy of the same request has done already."""

    decoded: bool = False
    rows: int = 0  # through the tower, of the same augmentation


class Budget:
    """One request's. `classes` of its label set; `text`: what encoding that will take."""

    def __init__(self, costs: Costs, queue: TowerQueue, request: Request, arrived: float, text: Estimate) -> None:
        self._costs, self._queue, self._request, self._text = costs, queue, request, text
        self._arrived, self._classes, self._plain = arrived, len(request.labels.names), costs.plain
        deadline = math.inf if request.deadline is None else request.deadline
        self._until = deadline - WAY_BACK * max(0.0, deadline - arrived) if math.isfinite(deadline) else deadline
        self.bounded, self.whole = math.isfinite(deadline), request.on_deadline == "fail"

    def refuse(self, now: float) -> None:
        """Raises `DeadlineTooShort` for what cannot be answered at all, before it has cost anything."""
        if not self.bounded:
            return
        strategy = self._request.strategy if self.whole else self._plain
        time = self._text + self._time(strategy, strategy.needs().views, self._queue.ahead(now), Paid())
        if now + time.least > self._until:
            said = "all that was asked for" if self.whole else "even a plain answer"
            left = max(0.0, self._until - now)
            raise DeadlineTooShort(f"{said} takes about {time.likely:.3f} s, and {left:.3f} s are left")

    @property
    def outside(self) -> float:
        """How long it may wait at the door: then there is no time left for all that was wanted, or for anything."""
        if not self.whole or not self.bounded:
            return self._until
        strategy = self._request.strategy
        return self._until - self._time(strategy, strategy.needs().views, NOTHING, Paid()).least

    @property
    def latest(self) -> float:
        """When the hallway must be entered for a plain answer, whatever batch is on the device by then."""
        if not self.bounded or self.whole:
            return math.inf
        full = self._costs.forward(self._costs.exact, self._costs.max_rows)
        return self._until - (self._text + self._time(self._plain, 1, full, Paid())).safe

    def plan(self, strategy: Strategy[Any], now: float, paid: Paid, late: bool = False) -> Plan:
        """As many views as there is time for; `late`: only the plain one. `DeadlineTooShort` when all was wanted."""
        needs = strategy.needs()
        views = self.views(needs)
        if not self.bounded:
            return Plan(views)
        if self.whole:
            if now + self._time(strategy, views, self._queue.ahead(now), paid).least > self._until:
                raise DeadlineTooShort(f"{strategy.name} cannot be done in the time that is left")
            return Plan(views, views, self._until - self._tail(strategy, views).least, whole=True)
        last = self.until(self._plain, 1)
        if strategy == self._plain:
            return Plan(views, 1, last, last)
        fewest, ahead = min(views, max(FEWEST, needs.fewest)), self._queue.ahead(now) + self._queue.queued()
        fit = 0 if late else most(views, lambda n: now + self._time(strategy, n, ahead, paid).safe <= self._until)
        if fit < fewest:
            return Plan(1, 1, last, last, plain=True)
        return Plan(fit, fewest, self.until(strategy, fit), last)

    def views(self, needs: Needs) -> int:
        """What was asked for: a device may send fewer."""
        image = self._request.image
        return min(needs.views, len(image.rows)) if isinstance(image, Features) else needs.views

    def until(self, strategy: Strategy[Any], views: int) -> float:
        """When adapt must begin, with an answer in time."""
        return self._until - self._tail(strategy, views).safe

    @property
    def reason(self) -> Literal["deadline", "overload"]:
        """Why less was done: the deadline was too short even for an idle server, or others were in the way."""
        strategy = self._request.strategy
        alone = self._text + self._time(strategy, strategy.needs().views, NOTHING, Paid())
        return "deadline" if self._arrived + alone.likely > self._until else "overload"

    def _time(self, strategy: Strategy[Any], views: int, ahead: Estimate, paid: Paid) -> Estimate:
        """From decode to answer, when the device is busy with others for the time `ahead`."""
        return self._until_encoded(strategy.needs(), views, ahead, paid) + self._tail(strategy, views)

    def _until_encoded(self, needs: Needs, views: int, ahead: Estimate, paid: Paid) -> Estimate:
        image, costs, reduction = self._request.image, self._costs, self._request.reduction
        if isinstance(image, Features):
            return NOTHING
        ready = (NOTHING if paid.decoded else costs.decode(image)) + costs.look(needs.augment, views)
        if views <= paid.rows:
            return ready
        rows, tower = views - paid.rows, NOTHING
        if reduction.scope == "augmented" and not paid.rows:
            rows, tower = rows - 1, costs.encode(costs.exact, 1)
        tower = tower + costs.encode(reduction.reducer, rows)
        if reduction.scope == "two_looks" and needs.confident < 1 and views > 1:
            tower = tower + costs.encode(costs.exact, 1 + kept_count(views, needs.confident))
        return max(ready, ahead, key=lambda one: one.likely) + tower

    def _tail(self, strategy: Strategy[Any], views: int) -> Estimate:
        return self._costs.adapt(strategy, self._classes, views) + self._costs.between
