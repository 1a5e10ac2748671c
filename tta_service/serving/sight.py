"""One image on its way from bytes to feature rows."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from torch import Tensor

from ..core.catalogue import reducers
from ..core.errors import BadRequest
from ..core.labels import TextSpace
from ..core.reducer import Reduction
from ..core.request import Encoded, Features, Raw, Request
from ..core.strategy import Needs
from ..core.views import Views
from .answering import Seen, confident
from .batcher import Batcher
from .lanes import Lanes, run
from .stopwatch import Stopwatch

Decode = Callable[[Encoded | Raw], Tensor]  # -> [3, h, w] uint8
Look = Callable[[Tensor, int, int, str], Views]  # pixels, count, seed, augment


@dataclass(frozen=True, slots=True)
class Eyes:
    """What turns images into features: shared by all requests."""

    decode: Decode
    look: Look
    batcher: Batcher
    lanes: Lanes
    exact: Reduction = field(default_factory=lambda: Reduction(reducers.build("none")))


@dataclass(slots=True, eq=False)
class Cut:
    """Fresh views, made in the prepare lane."""

    views: Views
    jobs: list[tuple[Tensor, Reduction]]  # rows that the tower has not seen yet
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
    _pixels: Tensor | None = None  # [3, h, w] uint8
    _augment: str = ""
    _pieces: tuple[Tensor, ...] = ()  # features of the first `_rows` views
    _rows: int = 0

    async def seen(self, needs: Needs, text: TextSpace) -> Seen:
        """As many rows as are needed. `BadImage`; `BadRequest` for too few rows from the device; `ModelFault`."""
        image = self.request.image
        if isinstance(image, Features):
            if len(image.rows) < needs.fewest:
                said = f"{len(image.rows)} rows were sent where the strategy needs {needs.fewest}"
                raise BadRequest(said, "image.features.views")
            return Seen((image.rows,), min(needs.views, len(image.rows)))
        self.watch.before("decode")
        cut = await run(self.eyes.lanes.prepare, self._cut, needs)
        self.watch.lap("decode", ("look", cut.look))
        self._pieces += await self._feed(cut.jobs, text)
        self._augment, self._rows = needs.augment, max(self._rows, needs.views)
        seen = Seen(self._pieces, needs.views, cut.views)
        return await self._again(seen, needs, text) if self.request.reduction.scope == "two_looks" else seen

    def _cut(self, needs: Needs) -> Cut:
        image, reduction = self.request.image, self.request.reduction
        assert not isinstance(image, Features)
        if self._pixels is None:
            self._pixels = self.eyes.decode(image)
        began = time.monotonic()
        views = self.eyes.look(self._pixels, needs.views, self.request.seed, needs.augment)
        if self._rows and needs.augment != self._augment:  # only the plain view is common to both
            self._pieces, self._rows = (self._pieces[0][:1],), 1
        have = self._rows
        reduced = Reduction(reduction.reducer)
        parts = [(0, needs.views, reduced)]
        if reduction.scope == "augmented":
            parts = [(0, 1, self.eyes.exact), (1, needs.views, reduced)]
        jobs = [(views.pixels[max(start, have) : stop], how) for start, stop, how in parts if stop > max(start, have)]
        return Cut(views, jobs, time.monotonic() - began)

    async def _feed(self, jobs: list[tuple[Tensor, Reduction]], text: TextSpace) -> tuple[Tensor, ...]:
        """Rows through the tower; withdrawn when the caller leaves."""
        self.watch.before("encode")
        waiting = [self.eyes.batcher.submit(pixels, how, text) for pixels, how in jobs]
        try:
            fed = [await rows for rows in waiting]
        finally:
            for rows in waiting:
                rows.cancel()
        self.watch.lap("queue", ("encode", sum(rows.encode for rows in fed)))
        self.batch_rows = max([self.batch_rows, *(rows.batch_rows for rows in fed)])
        return tuple(rows.features for rows in fed)

    async def _again(self, seen: Seen, needs: Needs, text: TextSpace) -> Seen:
        """A second look, exact, at the plain view and the confident ones."""
        assert seen.views is not None
        choosing = run(self.eyes.lanes.adapt, confident, seen, text, needs.confident, seen.views.pixels)
        kept, rows, pixels = await choosing
        (features,) = await self._feed([(pixels, self.eyes.exact)], text)
        return replace(seen, kept=kept, again=(rows, features))
