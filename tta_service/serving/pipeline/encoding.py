"""From image bytes to feature rows: decode, look and encode of one request."""

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
from ..concurrency.executors import Executors, run
from ..costs.model import CostModel
from .adaptation import EncodedViews, choose_confident
from .deadline import Plan, WorkDone
from .stage_timer import StageTimer

Decode = Callable[[Encoded | Raw], Tensor]  # -> [3, h, w] uint8
Look = Callable[[Tensor, int, int, str], Views]  # pixels [3, h, w] uint8, count, seed, augment


@dataclass(frozen=True, slots=True)
class ImageEncoder:
    """What turns images into features; shared by all requests."""

    decode: Decode
    look: Look
    batcher: Batcher
    lanes: Executors
    costs: CostModel
    no_reduction: Reduction = field(default_factory=lambda: Reduction(reducers.build("none")))


@dataclass(slots=True, eq=False)
class PreparedViews:
    """The views of one look, made in the prepare lane."""

    views: Views
    jobs: list[tuple[Tensor, Reduction]]  # rows that are not encoded yet
    decode: float  # seconds; 0: the image was decoded before
    look: float  # seconds


@dataclass(slots=True, eq=False)
class RequestEncoding:
    """Encodes the image of one request, and keeps pixels and rows, so that a second strategy encodes only new ones.

    View i is drawn from (seed, i), so the first rows of an augmentation do not depend on how many views are cut.
    """

    encoder: ImageEncoder
    request: Request
    timer: StageTimer
    batch_rows: int = 0
    busy_seconds: float = 0.0  # in which image and rows were worked on or waited for the tower
    _pixels: Tensor | None = None  # [3, h, w] uint8
    _augment: str = ""
    _pieces: tuple[Tensor, ...] = ()  # [*, d] each: features of the first `_rows` views
    _rows: int = 0

    def work_done(self, needs: Needs) -> WorkDone:
        """What an earlier strategy has done that this one can use."""
        rows = self._rows if needs.augment == self._augment else min(1, self._rows)
        return WorkDone(self._pixels is not None, rows)

    async def encode(self, needs: Needs, text: TextSpace, plan: Plan) -> EncodedViews:
        """Encodes as many views as planned, or fewer if time runs out.

        Raises `DeadlineTooShort` if there is no time for the plain view, `BadImage`, `BadRequest` if the client sent
        too few feature rows, `ModelFault` if the tower fails.
        """
        image = self.request.image
        if isinstance(image, Features):
            if len(image.rows) < needs.fewest:
                message = f"{len(image.rows)} rows were sent where the strategy needs {needs.fewest}"
                raise BadRequest(message, "image.features.views")
            return EncodedViews((image.rows,), plan.views)
        self.timer.check_deadline("decode")
        with self.encoder.batcher.queue.expect(self.request.reduction.reducer, plan.plain_due):
            prepared = await run(self.encoder.lanes.prepare, self._prepare, needs.augment, plan.views)
        self.timer.lap("decode", ("look", prepared.look))
        self._learn_costs(image, needs.augment, prepared)
        await self._gather(prepared, needs.augment, plan, text)
        encoded = EncodedViews(self._pieces, min(plan.views, self._rows), prepared.views)
        second_look = (
            self.request.reduction.scope == "two_looks" and not plan.zero_shot_only and encoded.count >= plan.fewest
        )
        return await self._second_look(encoded, needs, text, plan) if second_look else encoded

    def _prepare(self, augment: str, count: int) -> PreparedViews:
        image, reduction = self.request.image, self.request.reduction
        assert not isinstance(image, Features)
        began, decoded = time.monotonic(), self._pixels is None
        if self._pixels is None:
            self._pixels = self.encoder.decode(image)
        decoded_at = time.monotonic()
        views = self.encoder.look(self._pixels, count, self.request.seed, augment)
        if self._rows and augment != self._augment:  # augmentations share only the plain view
            self._pieces, self._rows = (self._pieces[0][:1],), 1
        have = self._rows
        reduced = Reduction(reduction.reducer)
        parts = [(0, count, reduced)]
        if reduction.scope == "augmented":
            parts = [(0, 1, self.encoder.no_reduction), (1, count, reduced)]
        jobs = [
            (views.pixels[max(start, have) : stop], reduction_of_part)
            for start, stop, reduction_of_part in parts
            if stop > max(start, have)
        ]
        return PreparedViews(views, jobs, decoded_at - began if decoded else 0.0, time.monotonic() - decoded_at)

    async def _gather(self, prepared: PreparedViews, augment: str, plan: Plan, text: TextSpace) -> None:
        """Encodes the missing rows; if there is no time for any, the plain one alone."""
        self._augment = augment
        if not prepared.jobs:
            return
        encoded = await self._submit(prepared.jobs, text, plan)
        if not (self._rows or len(encoded[0]) or plan.all_or_nothing):
            pixels, reduction = prepared.jobs[0]
            encoded = await self._submit([(pixels[:1], reduction)], text, replace(plan, due=plan.plain_due, fewest=1))
        for rows, (pixels, _) in zip(encoded, prepared.jobs, strict=False):
            self._pieces, self._rows = self._pieces + rows.pieces, self._rows + len(rows)
            if len(rows) < len(pixels):
                break
        if self._rows < (plan.views if plan.all_or_nothing else 1):
            raise DeadlineTooShort("the deadline is too near for the image tower")

    async def _submit(self, jobs: list[tuple[Tensor, Reduction]], text: TextSpace, plan: Plan) -> list[Rows]:
        """Sends jobs through the tower; cancelling withdraws them."""
        self.timer.check_deadline("encode")
        waiting: list[asyncio.Future[Rows]] = []
        have = self._rows
        for pixels, reduction in jobs:
            fewest = len(pixels) if plan.all_or_nothing else max(0, plan.fewest - have)
            rest = 0 if plan.all_or_nothing or have else 1
            waiting.append(self.encoder.batcher.submit(pixels, reduction, text, due=plan.due, fewest=fewest, rest=rest))
            have += len(pixels)
        try:
            encoded = [await rows for rows in waiting]
        finally:
            for rows in waiting:
                rows.cancel()
        encode = sum(rows.encode for rows in encoded)
        self.timer.lap("queue", ("encode", encode))
        self.busy_seconds += encode + max(rows.queue for rows in encoded)
        self.batch_rows = max([self.batch_rows, *(rows.batch_rows for rows in encoded)])
        return encoded

    async def _second_look(self, encoded: EncodedViews, needs: Needs, text: TextSpace, plan: Plan) -> EncodedViews:
        """Encodes the plain view and the confident ones again without reduction. If there is no time, no row counts."""
        assert encoded.views is not None
        choosing = run(self.encoder.lanes.adapt, choose_confident, encoded, text, needs.confident, encoded.views.pixels)
        kept, rows, pixels = await choosing
        plan = replace(plan, all_or_nothing=True)
        (exact_rows,) = await self._submit([(pixels, self.encoder.no_reduction)], text, plan)
        if len(exact_rows) < len(pixels):
            return replace(encoded, count=0)
        return replace(encoded, kept=kept, second_look=(rows, exact_rows.pieces))

    def _learn_costs(self, image: Encoded | Raw, augment: str, prepared: PreparedViews) -> None:
        if prepared.decode:
            self.encoder.costs.learn_decode(image, prepared.decode)
        self.encoder.costs.learn_look(augment, len(prepared.views), prepared.look)
        self.busy_seconds += prepared.decode + prepared.look
