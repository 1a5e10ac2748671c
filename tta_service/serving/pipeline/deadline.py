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
from ...maths import confident_count
from ..batching.queue import BatchQueue
from ..batching.scheduling import largest_fit
from ..costs.estimators import Estimate
from ..costs.model import CostModel

FEWEST = 8  # with fewer views no strategy is worth its while
RESPONSE_SHARE = 0.02  # of the budget is left to the answer's way to the client, which nobody here sees
NO_TIME = Estimate()


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of what was asked will be tried."""

    views: int
    fewest: int = 1  # with fewer the strategy is not run
    due: float = math.inf  # monotonic seconds: the rows must be through the tower
    plain_due: float = math.inf  # the same for the plain view, should nothing else come of it
    zero_shot_only: bool = False  # zero-shot on the plain view is all that there is time for
    all_or_nothing: bool = False  # all of it or nothing


@dataclass(frozen=True, slots=True)
class WorkDone:
    """What an earlier strategy of the same request has done already."""

    decoded: bool = False
    rows: int = 0  # through the tower, of the same augmentation


class DeadlinePlanner:
    """One request's. `classes` of its label set; `text`: what encoding that will take."""

    def __init__(self, costs: CostModel, queue: BatchQueue, request: Request, arrived: float, text: Estimate) -> None:
        self._costs, self._queue, self._request, self._text = costs, queue, request, text
        self._arrived, self._classes, self._zero_shot = arrived, len(request.labels.names), costs.zero_shot
        deadline = math.inf if request.deadline is None else request.deadline
        self._answer_by = (
            deadline - RESPONSE_SHARE * max(0.0, deadline - arrived) if math.isfinite(deadline) else deadline
        )
        self.has_deadline, self.all_or_nothing = math.isfinite(deadline), request.on_deadline == "fail"

    def check_feasible(self, now: float) -> None:
        """Raises `DeadlineTooShort` for what cannot be answered at all, before it has cost anything."""
        if not self.has_deadline:
            return
        strategy = self._request.strategy if self.all_or_nothing else self._zero_shot
        time = self._text + self._total_time(
            strategy, strategy.needs().views, self._queue.time_until_free(now), WorkDone()
        )
        if now + time.least > self._answer_by:
            what = "all that was asked for" if self.all_or_nothing else "even a plain answer"
            left = max(0.0, self._answer_by - now)
            raise DeadlineTooShort(f"{what} takes about {time.likely:.3f} s, and {left:.3f} s are left")

    @property
    def queue_until(self) -> float:
        """How long it may wait at the door: then there is no time left for all that was wanted, or for anything."""
        if not self.all_or_nothing or not self.has_deadline:
            return self._answer_by
        strategy = self._request.strategy
        return self._answer_by - self._total_time(strategy, strategy.needs().views, NO_TIME, WorkDone()).least

    @property
    def admit_by(self) -> float:
        """When the hallway must be entered for a plain answer, whatever batch is on the device by then."""
        if not self.has_deadline or self.all_or_nothing:
            return math.inf
        full = self._costs.forward(self._costs.no_reduction, self._costs.max_rows)
        return self._answer_by - (self._text + self._total_time(self._zero_shot, 1, full, WorkDone())).safe

    def plan(self, strategy: Strategy[Any], now: float, done: WorkDone, late: bool = False) -> Plan:
        """As many views as there is time for; `late`: only the plain one. `DeadlineTooShort` when all was wanted."""
        needs = strategy.needs()
        views = self.views_wanted(needs)
        if not self.has_deadline:
            return Plan(views)
        if self.all_or_nothing:
            if now + self._total_time(strategy, views, self._queue.time_until_free(now), done).least > self._answer_by:
                raise DeadlineTooShort(f"{strategy.name} cannot be done in the time that is left")
            return Plan(views, views, self._answer_by - self._answer_time(strategy, views).least, all_or_nothing=True)
        plain_due = self.adapt_by(self._zero_shot, 1)
        if strategy == self._zero_shot:
            return Plan(views, 1, plain_due, plain_due)
        fewest, ahead = (
            min(views, max(FEWEST, needs.fewest)),
            self._queue.time_until_free(now) + self._queue.queued_time(),
        )
        affordable = (
            0
            if late
            else largest_fit(views, lambda n: now + self._total_time(strategy, n, ahead, done).safe <= self._answer_by)
        )
        if affordable < fewest:
            return Plan(1, 1, plain_due, plain_due, zero_shot_only=True)
        return Plan(affordable, fewest, self.adapt_by(strategy, affordable), plain_due)

    def views_wanted(self, needs: Needs) -> int:
        """What was asked for: a device may send fewer."""
        image = self._request.image
        return min(needs.views, len(image.rows)) if isinstance(image, Features) else needs.views

    def adapt_by(self, strategy: Strategy[Any], views: int) -> float:
        """When adapt must begin, with an answer in time."""
        return self._answer_by - self._answer_time(strategy, views).safe

    @property
    def reason(self) -> Literal["deadline", "overload"]:
        """Why less was done: the deadline was too short even for an idle server, or others were in the way."""
        strategy = self._request.strategy
        alone = self._text + self._total_time(strategy, strategy.needs().views, NO_TIME, WorkDone())
        return "deadline" if self._arrived + alone.likely > self._answer_by else "overload"

    def _total_time(self, strategy: Strategy[Any], views: int, ahead: Estimate, done: WorkDone) -> Estimate:
        """From decode to answer, when the device is busy with others for the time `ahead`."""
        return self._encoding_time(strategy.needs(), views, ahead, done) + self._answer_time(strategy, views)

    def _encoding_time(self, needs: Needs, views: int, ahead: Estimate, done: WorkDone) -> Estimate:
        image, costs, reduction = self._request.image, self._costs, self._request.reduction
        if isinstance(image, Features):
            return NO_TIME
        ready = (NO_TIME if done.decoded else costs.decode(image)) + costs.look(needs.augment, views)
        if views <= done.rows:
            return ready
        rows, tower = views - done.rows, NO_TIME
        if reduction.scope == "augmented" and not done.rows:
            rows, tower = rows - 1, costs.encode(costs.no_reduction, 1)
        tower = tower + costs.encode(reduction.reducer, rows)
        if reduction.scope == "two_looks" and needs.confident < 1 and views > 1:
            tower = tower + costs.encode(costs.no_reduction, 1 + confident_count(views, needs.confident))
        return max(ready, ahead, key=lambda one: one.likely) + tower

    def _answer_time(self, strategy: Strategy[Any], views: int) -> Estimate:
        return self._costs.adapt(strategy, self._classes, views) + self._costs.overhead
