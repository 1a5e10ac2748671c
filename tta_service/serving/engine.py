"""The hallway: one request walks from image to report and never turns back."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from ..core.errors import BadParameters, Unsupported
from ..core.events import Observe, ignore
from ..core.labels import TextSpace
from ..core.reducer import Reducer
from ..core.request import Explanation, Features, Report, Request, SessionStatus
from ..core.strategy import Scope, Strategy, completed, predicts_first
from ..maths import kept_count
from .answering import Answer, answering, begun
from .batcher import Batcher
from .door import Door, Place
from .lanes import Lanes, run
from .sessions import Sessions
from .sight import Decode, Eyes, Look, Sight
from .stopwatch import Stopwatch
from .text_spaces import TextSpaces
from .visits import Visit


class Engine:
    """Decode, look, encode, adapt, answer.

    `decode(image) -> [3, h, w] uint8` and `look(pixels, count, seed, augment) -> Views` run in the prepare lane. Every
    report goes to `observe`; one in `explain_every` (0: none) is explained unasked, for metrics. `tokens_left(reducer)`
    gives the patch tokens of a view behind each block.
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
    ) -> None:
        self._eyes = Eyes(decode, look, batcher, lanes)
        self._text_spaces, self._sessions, self._door, self._lanes = text_spaces, sessions, door, lanes
        self._observe, self._explain_every, self._asked = observe, explain_every, 0
        self._tokens_left = tokens_left

    async def classify(self, request: Request, *, at_the_door: Callable[[], Request] | None = None) -> Report:
        """The answer, or a `TTAError`.

        Waits at the door with the rows of `request`; when it is let in, `at_the_door()` names the request that really
        enters: the newest of its stream. Cancelling is safe at any time: before adapt it leaves no trace; during adapt
        the frame counts as seen.
        """
        arrived = time.monotonic()
        refuse_unfit(request)
        with await self._door.enter(rows_of(request, request.strategy), request.streamed) as place:
            if at_the_door is not None:
                request = at_the_door()
                refuse_unfit(request)
                place.resize(rows_of(request, request.strategy))
            watch = Stopwatch(request, arrived if request.arrived is None else request.arrived)
            watch.lap("queue")
            with self._sessions.visit(request) as visit:
                report = await self._walk(request, visit, watch, place)
        self._observe(report)
        return report

    def unobserved(self) -> Engine:
        """The same hallway, but nobody is told of its answers."""
        quiet = copy.copy(self)
        quiet._observe = ignore
        return quiet

    async def _walk(self, request: Request, visit: Visit, watch: Stopwatch, place: Place) -> Report:
        watch.before("text")
        text = await self._text_spaces.get(request.labels)
        watch.lap("text")
        sight = Sight(self._eyes, request, watch)
        strategy, cascade = request.strategy, request.cascade
        said, status, views = await self._ask(strategy, sight, text, visit)
        escalated = False
        if cascade is not None and said.surety > cascade.above:
            strategy, escalated = cascade.to, True
            place.resize(place.rows + rows_of(request, strategy))
            said, status, views = await self._ask(strategy, sight, text, visit)
        return Report(
            request=request,
            strategy=strategy,
            logits=said.logits,
            zero_shot=said.zero_shot,
            views=views,
            seconds=watch.seconds(),
            batch_rows=sight.batch_rows,
            session=status,
            escalated=escalated,
            explanation=await self._with_tokens(said.explanation, request),
            unseen=text.unseen,
            feature=said.feature,
        )

    async def _ask(
        self, strategy: Strategy[Any], sight: Sight, text: TextSpace, visit: Visit
    ) -> tuple[Answer, SessionStatus, int]:
        """One strategy's answer: evidence, the turn at its memory, adapt."""
        request, watch, needs = sight.request, sight.watch, strategy.needs()
        seen = await sight.seen(needs, text)
        watch.before("turn")
        lane = self._lanes.tune if needs.gradient else self._lanes.adapt
        work = partial(answering, strategy, needs, seen, text, self._explains(request, strategy))
        turn = visit.turn(strategy)
        if turn is None:
            labelled = needs.memory is Scope.LABELS
            memory = await self._text_spaces.memory(strategy, request.labels) if labelled else None
            watch.lap("turn")
            watch.before("adapt")
            said, _ = await run(lane, lambda: completed(work(memory)))
            status = visit.answered()
        else:
            await turn.comes()
            await turn.begin(lane, partial(begun, strategy, text), visit.admit)
            watch.lap("turn")
            watch.before("adapt")
            early = predicts_first(strategy)
            said, status = await turn.adapt(lane, work, lambda: visit.answered(turn.kept.tell_anew()), early)
        watch.lap("adapt")
        if needs.gradient:
            self._text_spaces.differentiated(request.labels)
        return said, status, seen.count

    def _explains(self, request: Request, strategy: Strategy[Any]) -> bool:
        """Nobody waits for an explanation that he did not ask for when the update before it takes a backward pass."""
        slow = strategy.needs().gradient and predicts_first(strategy)
        self._asked += not slow
        sampled = self._explain_every > 0 and not slow and self._asked % self._explain_every == 0
        return request.explain or sampled

    async def _with_tokens(self, why: Explanation | None, request: Request) -> Explanation | None:
        """The plain view is reduced only when all views are."""
        if why is None or isinstance(request.image, Features):
            return why
        reduction = request.reduction if request.reduction.scope == "all" else self._eyes.exact
        left = await run(self._lanes.adapt, self._tokens_left, reduction.reducer)
        return replace(why, tokens_left=left)


def rows_of(request: Request, strategy: Strategy[Any]) -> int:
    """The rows that a strategy will ask of the tower for this request, at least one."""
    needs = strategy.needs()
    if isinstance(request.image, Features):
        return 1
    again = 1 + kept_count(needs.views, needs.confident) if request.reduction.scope == "two_looks" else 0
    return needs.views + again


def refuse_unfit(request: Request) -> None:
    """Raises `Unsupported` or `BadParameters` for a combination that could never be answered."""
    asked = [request.strategy] + ([request.cascade.to] if request.cascade else [])
    if request.cascade and request.cascade.to == request.strategy:
        raise BadParameters("a cascade goes on to another strategy than the first", "options.cascade.to")
    if request.reduction.scope == "two_looks" and not isinstance(request.image, Features):
        for strategy in asked:
            if strategy.needs().confident >= 1:
                said = f"{strategy.name} reads every view, so there is nothing to choose for a second look"
                raise Unsupported(said, "options.reduction.scope")
