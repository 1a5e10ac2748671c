"""Sums between sites: what a lesson group was taught, without any picture, and what other sites tell of theirs."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

from ..core.errors import BadRequest
from ..core.labels import LabelSet
from ..core.lesson_sums import LessonSums, Noise
from ..core.lessons import Lesson, SumsRequest
from ..core.reducer import Reduction
from ..sums import check_sums, sum_lessons
from .concurrency import Executors, run
from .pipeline.learning import Learner
from .sessions.group_entries import SiteSums
from .sessions.registry import SessionRegistry


class SumsExchange:
    """Gives the sums of a group's own lessons, and takes those of other sites."""

    def __init__(self, registry: SessionRegistry, learner: Learner, lanes: Executors) -> None:
        self._registry, self._learner, self._lanes = registry, learner, lanes

    async def give(self, owner: str, group: str, asked: SumsRequest) -> tuple[list[LessonSums], Noise]:
        """The sums of the group's own lessons, and what it has given out here by now. Raises `UnknownGroup`."""
        found = self._registry.groups.find(owner, group)
        found.give(asked.noise)
        spent, spaces = Noise(found.epsilon, found.delta), dict[tuple[LabelSet, Reduction | None], list[Lesson]]()
        if asked.labels is not None and asked.noise is not None:  # also without a lesson, which the sums must not tell
            spaces |= {(asked.labels, reduction): list[Lesson]() for reduction in asked.reductions}
        for lesson in filter(asked.concerns, found.lessons):
            spaces.setdefault((asked.labels or lesson.example.labels, lesson.example.reduction), []).append(lesson)
        work = [run(self._lanes.prepare, sum_lessons, some, *space, asked) for space, some in spaces.items()]
        return list(await asyncio.gather(*work)), spent

    async def take(self, owner: str, group: str, site: str, sums: tuple[LessonSums, ...]) -> tuple[str, ...]:
        """Sums of another site in place of those that it gave before; the strategies whose memories begin anew.

        They open the group if need be. Raises `BadRequest` for what no lessons sum up to, `MemoryFull`; without sums
        `UnknownGroup`.
        """
        for place, one in enumerate(sums):
            try:
                await run(self._lanes.prepare, check_sums, one)
            except BadRequest as error:
                raise error.at(f"sums[{place}]") from None
        with ExitStack() as holds:
            into = self._registry.obtain_group(owner, group) if sums else self._registry.groups.find(owner, group)
            holds.callback(self._registry.groups.hold(into))
            self._registry.room.admit(into, into.bytes_of(SiteSums(site, sums)))
            change = into.put_sums(site, sums)
            anew, _ = self._learner.apply(self._registry.sessions_of(into), [change] if change else [])
            return tuple(sorted({queue.slot.key.strategy.name for queue in anew}))
