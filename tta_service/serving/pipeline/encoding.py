"""One image on its way from bytes to feature rows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from torch import Tensor

from ...core.catalogue import reducers
from ...core.errors import BadRequest, DeadlineTooShort
from ...core.labels import TextSpace
from ...core.reducer import Reduction
from ...core.request import Encoded, Features, Raw, Request
from ...core.strategy import Needs
from ...core.views import Views
from ..batching.batcher import Batcher
from ..batching.jobs import Rows
from ..concurrency.executors import Lanes, run
from ..costs.model import Costs
from .deadline import Paid, Plan
from .run_strategy import Seen, confident
from .stage_timer import Stopwatch

Decode = Callable[[Encoded | Raw], Tensor]  # -> [3, h, w] uint8
Look = Callable[[Tensor, int, int, str], Views]  # pixels, count, seed, augment


@dataclass(frozen=True, slots=True)
class Eyes:
    """What turns images into features: shared by all requests."""

    decode: Decode
    look: Look
    batcher: Batcher
    lanes: Lanes
    costs: Costs
    exact: Reduction = field(default_factory=lambda: Reduction(reducers.build("none")))


@dataclass(slots=True, eq=False)
class Cut:
    """Fresh views, made in the prepare lane."""

    views: Views
    jobs: list[tuple[Tensor, Reduction]]  # rows that the tower has not seen yet
    decode: float  # seconds; 0: it was there
    look: float  # seconds


@dataclass(slots=True, eq=False)
class Sight:
    """Remembers what a request has already paid for, so that a second strategy pays only for the rest.

    View i is drawn from (seed, i), hence the first rows of one augmentation are the same however many are cut.
    """

    eyes: Eyes
    request: Request
    watch: Stopwatch
    batch_rows: int = 0
    worked: float = 0.0  # seconds that image and rows were worked on, or waited for the tower
    _pixels: Tensor | None = None  # [3, h, w] uint8
    _augment: str = ""
    _pieces: tuple[Tensor, ...] = ()  # features of the first `_rows` views
    _rows: int = 0

    def paid(self, needs: Needs) -> Paid:
        """What there is of an earlier look."""
        rows = self._rows if needs.augment == self._augment else min(1, self._rows)
        return Paid(self._pixels is not None, rows)

    async def seen(self, needs: Needs, text: TextSpace, plan: Plan) -> Seen:
        """As many rows as planned, or fewer where time runs out: at least the plain one, else `DeadlineTooShort`.

        `BadImage`; `BadRequest` for too few rows from the device; `ModelFault`.
        """
        image = self.request.image
        if isinstance(image, Features):
            if len(image.rows) < needs.fewest:
                said = f"{len(image.rows)} rows were sent where the strategy needs {needs.fewest}"
                raise BadRequest(said, "image.features.views")
            return Seen((image.rows,), plan.views)
        self.watch.before("decode")
        plainly = self.eyes.costs.forward(self.request.reduction.reducer, 1).safe
        with self.eyes.batcher.queue.expecting(plan.last - plainly):
            cut = await run(self.eyes.lanes.prepare, self._cut, needs.augment, plan.views)
        self.watch.lap("decode", ("look", cut.look))
        self._learn(image, needs.augment, cut)
        await self._gather(cut, needs.augment, plan, text)
        seen = Seen(self._pieces, min(plan.views, self._rows), cut.views)
        again = self.request.reduction.scope == "two_looks" and not plan.plain and seen.count >= plan.fewest
        return await self._again(seen, needs, text, plan) if again else seen

    def _cut(self, augment: str, count: int) -> Cut:
        image, reduction = self.request.image, self.request.reduction
        assert not isinstance(image, Features)
        began, decoded = time.monotonic(), self._pixels is None
        if self._pixels is None:
            self._pixels = self.eyes.decode(image)
        looked = time.monotonic()
        views = self.eyes.look(self._pixels, count, self.request.seed, augment)
        if self._rows and augment != self._augment:  # only the plain view is common to both
            self._pieces, self._rows = (self._pieces[0][:1],), 1
        have = self._rows
        reduced = Reduction(reduction.reducer)
        parts = [(0, count, reduced)]
        if reduction.scope == "augmented":
            parts = [(0, 1, self.eyes.exact), (1, count, reduced)]
        jobs = [(views.pixels[max(start, have) : stop], how) for start, stop, how in parts if stop > max(start, have)]
        return Cut(views, jobs, looked - began if decoded else 0.0, time.monotonic() - looked)

    async def _gather(self, cut: Cut, augment: str, plan: Plan, text: TextSpace) -> None:
        """The rows that are missing; when none of them could be had, at least the plain one."""
        self._augment = augment
        if not cut.jobs:
            return
        fed = await self._feed(cut.jobs, text, plan)
        if not (self._rows or len(fed[0]) or plan.whole):
            pixels, how = cut.jobs[0]
            fed = await self._feed([(pixels[:1], how)], text, replace(plan, due=plan.last, fewest=1))
        for rows, (pixels, _) in zip(fed, cut.jobs, strict=False):
            self._pieces, self._rows = self._pieces + rows.pieces, self._rows + len(rows)
            if len(rows) < len(pixels):
                break
        if self._rows < (plan.views if plan.whole else 1):
            raise DeadlineTooShort("the deadline is too near for the image tower")

    async def _feed(self, jobs: list[tuple[Tensor, Reduction]], text: TextSpace, plan: Plan) -> list[Rows]:
        """Rows through the tower; withdrawn when the caller leaves."""
        self.watch.before("encode")
        waiting: list[asyncio.Future[Rows]] = []
        have = self._rows
        for pixels, how in jobs:
            fewest = len(pixels) if plan.whole else max(0, plan.fewest - have)
            rest = 0 if plan.whole or have else 1
            waiting.append(self.eyes.batcher.submit(pixels, how, text, due=plan.due, fewest=fewest, rest=rest))
            have += len(pixels)
        try:
            fed = [await rows for rows in waiting]
        finally:
            for rows in waiting:
                rows.cancel()
        encode = sum(rows.encode for rows in fed)
        self.watch.lap("queue", ("encode", encode))
        self.worked += encode + max(rows.queue for rows in fed)
        self.batch_rows = max([self.batch_rows, *(rows.batch_rows for rows in fed)])
        return fed

    async def _again(self, seen: Seen, needs: Needs, text: TextSpace, plan: Plan) -> Seen:
        """A second look, exact, at the plain view and the confident ones. Without time for it no row counts."""
        assert seen.views is not None
        choosing = run(self.eyes.lanes.adapt, confident, seen, text, needs.confident, seen.views.pixels)
        kept, rows, pixels = await choosing
        whole = replace(plan, whole=True)
        (fed,) = await self._feed([(pixels, self.eyes.exact)], text, whole)
        if len(fed) < len(pixels):
            return replace(seen, count=0)
        return replace(seen, kept=kept, again=(rows, fed.pieces))

    def _learn(self, image: Encoded | Raw, augment: str, cut: Cut) -> None:
        if cut.decode:
            self.eyes.costs.decoded(image, cut.decode)
        self.eyes.costs.looked(augment, len(cut.views), cut.look)
        self.worked += cut.decode + cut.look
