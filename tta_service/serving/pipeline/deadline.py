"""Deadlines: what can be done in the time that a request has.

A request that is too large for its deadline is cut in this order: fewer views (at least eight, and at least what the
strategy needs), then zero-shot on the plain view. The strategy stays the same, and so does its memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from ...core.errors import DeadlineTooShort
from ...core.request import Features, Request
from ...core.strategy import Needs, Strategy, needs_of
from ...maths import confident_count
from ..batching.choice import largest_fit
from ..batching.queue import BatchQueue
from ..costs.estimators import Estimate
from ..costs.model import CostModel

MIN_VIEWS = 8  # with fewer views no strategy beats zero-shot enough to be worth its time
RESPONSE_SHARE = 0.02  # of the deadline is reserved for the response's way to the client, which is not measured here
NO_TIME = Estimate()


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of a strategy to try in the time that is left."""

    views: int
    fewest: int = 1  # with fewer views the strategy does not run
    due: float = math.inf  # monotonic seconds by which the rows must be encoded
    plain_due: float = math.inf  # the same for the plain view alone
    zero_shot_only: bool = False  # there is time for zero-shot on the plain view only
    all_or_nothing: bool = False  # the request fails unless all views are done


@dataclass(frozen=True, slots=True)
class WorkDone:
    """What an earlier strategy of the same request has already done."""

    decoded: bool = False
    rows: int = 0  # encoded, of the same augmentation


class DeadlinePlanner:
    """Plans a request that has a deadline.

    `arrived`: monotonic seconds; `prompts`: of its label set that are not encoded yet.
    """

    def __init__(
        self, costs: CostModel, queue: BatchQueue, request: Request, deadline: float, arrived: float, prompts: int
    ) -> None:
        self._costs, self._queue, self._request, self._arrived = costs, queue, request, arrived
        self._text = costs.estimate_text(prompts) if prompts else NO_TIME
        self._classes, self._zero_shot = len(request.labels.names), costs.zero_shot
        self._all_or_nothing = request.on_deadline == "fail"
        self._answer_by = deadline - RESPONSE_SHARE * max(0.0, deadline - arrived)

    def queue_until(self, now: float) -> float:
        """When waiting for admission is pointless: no time is left for an answer. Both in monotonic seconds.

        Raises `DeadlineTooShort` if that is so now.
        """
        strategy = self._request.strategy if self._all_or_nothing else self._zero_shot
        ahead = self._queue.time_until_free(now)
        needed = self._text + self._total_time(strategy, needs_of(strategy).views, ahead, WorkDone())
        if now + needed.least > self._answer_by:
            what = "all that was asked for" if self._all_or_nothing else "even a plain answer"
            left = max(0.0, self._answer_by - now)
            raise DeadlineTooShort(f"{what} takes about {needed.likely:.3f} s, and {left:.3f} s are left")
        if not self._all_or_nothing:
            return self._answer_by
        return self._answer_by - self._total_time(strategy, needs_of(strategy).views, NO_TIME, WorkDone()).least

    @property
    def admit_by(self) -> float:
        """When it must be admitted for a plain answer (monotonic seconds), even if a full batch is on the device."""
        if self._all_or_nothing:
            return math.inf
        full = self._costs.estimate_forward(self._costs.no_reduction, self._costs.max_rows)
        return self._answer_by - (self._text + self._total_time(self._zero_shot, 1, full, WorkDone())).safe

    def plan(self, strategy: Strategy[Any], views: int, now: float, done: WorkDone, late: bool = False) -> Plan:
        """Plans as many of the wanted views as there is time for; `late`: only the plain one.

        Raises `DeadlineTooShort` if the request wants all views or nothing and there is no time for all. `now`:
        monotonic seconds.
        """
        if self._all_or_nothing:
            if now + self._total_time(strategy, views, self._queue.time_until_free(now), done).least > self._answer_by:
                raise DeadlineTooShort(f"{strategy.name} cannot be done in the time that is left")
            due = self._answer_by - self._answer_time(strategy, views).least
            return Plan(views, views, due, all_or_nothing=True)
        plain_due = self.adapt_by(self._zero_shot, 1)
        if strategy == self._zero_shot:
            return Plan(views, 1, plain_due, plain_due)
        fewest = min(views, max(MIN_VIEWS, needs_of(strategy).fewest))
        ahead = self._queue.time_until_free(now) + self._queue.queued_time()
        affordable = largest_fit(
            views, lambda count: now + self._total_time(strategy, count, ahead, done).safe <= self._answer_by
        )
        if late or affordable < fewest:
            return Plan(1, 1, plain_due, plain_due, zero_shot_only=True)
        return Plan(affordable, fewest, self.adapt_by(strategy, affordable), plain_due)

    def adapt_by(self, strategy: Strategy[Any], views: int) -> float:
        """When adapt must begin (monotonic seconds) for an answer in time."""
        return self._answer_by - self._answer_time(strategy, views).safe

    @property
    def reason(self) -> Literal["deadline", "overload"]:
        """Why less was done: the deadline was too short even for an idle service, or other requests took the time."""
        strategy = self._request.strategy
        alone = self._text + self._total_time(strategy, needs_of(strategy).views, NO_TIME, WorkDone())
        return "deadline" if self._arrived + alone.likely > self._answer_by else "overload"

    def _total_time(self, strategy: Strategy[Any], views: int, ahead: Estimate, done: WorkDone) -> Estimate:
        """Seconds from decode to answer, if the device is busy with other requests for the time `ahead`."""
        return self._encoding_time(needs_of(strategy), views, ahead, done) + self._answer_time(strategy, views)

    def _encoding_time(self, needs: Needs, views: int, ahead: Estimate, done: WorkDone) -> Estimate:
        image, costs, reduction = self._request.image, self._costs, self._request.reduction
        if isinstance(image, Features):
            return NO_TIME
        ready = (NO_TIME if done.decoded else costs.estimate_decode(image)) + costs.estimate_look(needs.augment, views)
        if views <= done.rows:
            return ready
        rows, tower = views - done.rows, NO_TIME
        if reduction.scope == "augmented" and not done.rows:
            rows, tower = rows - 1, costs.estimate_encode(costs.no_reduction, 1)
        tower = tower + costs.estimate_encode(reduction.reducer, rows)
        if reduction.scope == "two_looks" and needs.confident < 1 and views > 1:
            tower = tower + costs.estimate_encode(costs.no_reduction, 1 + confident_count(views, needs.confident))
        return max(ready, ahead, key=lambda estimate: estimate.likely) + tower

    def _answer_time(self, strategy: Strategy[Any], views: int) -> Estimate:
        return self._costs.estimate_adapt(strategy, self._classes, views) + self._costs.estimate_overhead()
