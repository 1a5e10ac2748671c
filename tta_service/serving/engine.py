"""The hallway: one request walks from image to report and never turns back."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..core.errors import TTAError
from ..core.events import Observe, ignore
from ..core.reducer import Reducer
from ..core.request import Features, Report, Request
from ..core.strategy import Strategy, predicts_first
from .admission.controller import Door
from .batching.batcher import Batcher
from .concurrency.executors import Lanes, run
from .costs.estimators import Estimate
from .costs.model import Costs
from .pipeline.backlog import Backlog
from .pipeline.deadline import Budget
from .pipeline.encoding import Decode, Eyes, Look
from .pipeline.request_run import Walk
from .pipeline.requirements import cost_of, in_time, refuse_unfit, rows_of, visitor_of
from .pipeline.stage_timer import Stopwatch
from .pipeline.strategy_run import Rooms
from .pipeline.warmup import rehearse
from .sessions.sessions import Sessions
from .text.cache import TextSpaces


class Engine:
    """Decode, look, encode, adapt, answer.

    `decode(image) -> [3, h, w] uint8` and `look(pixels, count, seed, augment) -> Views` run in the prepare lane. Every
    report goes to `observe`; one in `explain_every` (0: none) is explained unasked, for metrics. `tokens_left(reducer)`
    gives the patch tokens of a view behind each block. `costs` is what the batcher learns into.
    """

    def __init__(
        self,
        *,
        decode: Decode,
        look: Look,
        batcher: Batcher,
        text_spaces: TextSpaces,
        sessions: Sessions,
        door: Door,
        lanes: Lanes,
        observe: Observe = ignore,
        explain_every: int = 0,
        tokens_left: Callable[[Reducer], tuple[int, ...]] = lambda reducer: (),
        costs: Costs | None = None,
    ) -> None:
        self._costs = costs or Costs(batcher.max_rows)
        self._text_spaces, self._sessions, self._door = text_spaces, sessions, door
        self._observe, self._explain_every, self._asked = observe, explain_every, 0
        self._tokens_left = tokens_left
        eyes = Eyes(decode, look, batcher, lanes, self._costs)
        self._rooms = Rooms(eyes, text_spaces, lanes, Backlog(), self._explains, rows_of)

    async def classify(
        self,
        request: Request,
        *,
        at_the_door: Callable[[], Request] | None = None,
        meanwhile: Callable[[], Request] | None = None,
    ) -> Report:
        """The answer, or a `TTAError`.

        Waits at the door with the rows of `request`; when it is let in, `at_the_door()` names the request that really
        enters: the newest of its stream, which `meanwhile()` tells already now. Cancelling is safe at any time: before
        adapt it leaves no trace; during adapt the frame counts as seen.
        """
        arrived = time.monotonic()
        refuse_unfit(request)
        budget = self._budget(request, arrived)
        budget.refuse(arrived)

        def latest() -> float:
            try:
                return self._budget(meanwhile(), arrived).latest if meanwhile else budget.latest
            except TTAError:  # what is wrong with the newest frame is told at once
                return 0.0

        async with in_time(math.inf if meanwhile else budget.outside):
            place = await self._door.enter(visitor_of(request, latest))
        with place:
            if at_the_door is not None:
                request = at_the_door()
                refuse_unfit(request)
                place.resize(rows_of(request, request.strategy), cost_of(request, request.strategy))
                budget = self._budget(request, arrived)
            watch = Stopwatch(request, arrived if request.arrived is None else request.arrived)
            watch.lap("queue")
            async with in_time(request.deadline):
                with self._sessions.visit(request) as visit:
                    report = await Walk(self._rooms, request, visit, watch, place, budget).report()
                    report = await self._with_tokens(report)
        self._observe(report)
        return report

    async def rehearse(self, dimension: int) -> None:
        """Before anybody asks: what a plain answer takes."""
        await rehearse(self._rooms.eyes, dimension)

    def unobserved(self) -> Engine:
        """The same hallway, but nobody is told of its answers."""
        quiet = copy.copy(self)
        quiet._observe = ignore
        return quiet

    def _budget(self, request: Request, arrived: float) -> Budget:
        """What it has from its arrival on."""
        labels = request.labels
        prompts = 0 if labels in self._text_spaces else len(labels.names) * len(labels.templates)
        text = self._costs.text(prompts) if prompts else Estimate()
        since = arrived if request.arrived is None else request.arrived
        return Budget(self._costs, self._rooms.eyes.batcher.queue, request, since, text)

    def _explains(self, request: Request, strategy: Strategy[Any]) -> bool:
        """Nobody waits for an explanation that he did not ask for when the update before it takes a backward pass."""
        slow = strategy.needs().gradient and predicts_first(strategy)
        self._asked += not slow
        sampled = self._explain_every > 0 and not slow and self._asked % self._explain_every == 0
        return request.explain or sampled

    async def _with_tokens(self, report: Report) -> Report:
        """The plain view is reduced only when all views are."""
        why, request = report.explanation, report.request
        if why is None or isinstance(request.image, Features):
            return report
        reduction = request.reduction if request.reduction.scope == "all" else self._rooms.eyes.exact
        left = await run(self._rooms.lanes.adapt, self._tokens_left, reduction.reducer)
        return replace(report, explanation=replace(why, tokens_left=left))
