"""From image bytes to feature rows: decode, look and encode of one request."""

from __future__ import annotations

import asyncio
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch import Tensor

from ...core.errors import BadRequest, DeadlineTooShort
from ...core.evidence import Views
from ...core.labels import TextSpace
from ...core.reducer import Reduction
from ...core.request import Features, Request
from ...core.strategy import Needs, Strategy
from ..admission.claims import Claim
from ..batching.jobs import Rows
from ..concurrency import run
from .adaptation import EncodedViews, choose_confident, is_settled
from .deadline import Plan, WorkDone
from .resources import Resources, StageTimer, pixels_of

LARGE, PIXELS_OF_A_VIEW = 1 << 22, 1 << 16
Job = tuple[Tensor, Reduction]  # views [v, 3, s, s] uint8 that are not encoded yet


@dataclass(slots=True, eq=False)
class PreparedViews:
    """The views of one look, made in the prepare lane."""

    views: Views
    jobs: list[Job]
    decode: float  # seconds, with those of the thumbnail; 0: the image was decoded before
    look: float  # seconds


@dataclass(slots=True, eq=False)
class RequestEncoding:
    """Encodes the image of one request, and keeps pixels and rows, so that a second strategy encodes only new ones.

    View i is drawn from (seed, i), so the first rows of an augmentation do not depend on how many views are cut.
    """

    resources: Resources
    request: Request
    timer: StageTimer
    remember: bool = False  # the picture needs a thumbnail, if the server makes them
    thumbnail: bytes = b""
    batch_rows: int = 0
    _pixels: Tensor | None = None  # [3, h, w] uint8
    _augment: str = ""
    _pieces: tuple[Tensor, ...] = ()  # [*, d] each: features of the first `_rows` views
    _rows: int = 0

    def views_wanted(self, needs: Needs) -> int:
        """The views that a strategy wants; a client that sends features may send fewer."""
        image = self.request.image
        return min(needs.views, len(image.rows)) if isinstance(image, Features) else needs.views

    def work_done(self, needs: Needs) -> WorkDone:
        """What an earlier strategy has done that this one can use."""
        rows = self._rows if needs.augment == self._augment else min(1, self._rows)
        return WorkDone(self._pixels is not None, rows)

    async def encode(self, strategy: Strategy[Any], needs: Needs, text: TextSpace, plan: Plan) -> EncodedViews:
        """Encodes as many views as planned, or fewer if time runs out or the strategy is settled after a round.

        Raises `DeadlineTooShort` if there is no time for the plain view, `BadImage`, `BadRequest` if the client sent
        too few feature rows, `ModelFault` if the tower fails.
        """
        image = self.request.image
        if isinstance(image, Features):
            if len(image.rows) < needs.fewest:
                message = f"{len(image.rows)} rows were sent where the strategy needs {needs.fewest}"
                raise BadRequest(message, "image.features.views")
            return EncodedViews((image.rows,), plan.views)
        resources, reducer = self.resources, self.request.reduction.reducer
        with resources.batcher.queue.expect(reducer, plan.plain_due):
            prepared = await self._prepare_in_turn(needs.augment, plan.views)
        self.timer.lap("decode", ("look", prepared.look), before="encode")
        self.timer.busy += prepared.decode + prepared.look
        if prepared.decode:
            resources.costs.learn_decode(image, prepared.decode)
        resources.costs.learn_look(needs.augment, plan.views, prepared.look)
        settled = await self._encode_in_rounds(prepared, strategy, needs, text, plan)
        encoded = EncodedViews(self._pieces, min(plan.views, self._rows), prepared.views, settled=settled)
        second_look = (
            self.request.reduction.scope == "two_looks" and not plan.zero_shot_only and encoded.count >= plan.fewest
        )
        return await self._second_look(encoded, needs, text, plan) if second_look else encoded

    async def _prepare_in_turn(self, augment: str, views: int) -> PreparedViews:
        """Clients take turns, and large pictures wait for one another, so that others find a thread free."""
        resources, pixels = self.resources, pixels_of(self.request) if self._pixels is None else 0
        claim = Claim(1, cost=pixels + views * PIXELS_OF_A_VIEW, client=self.request.client)
        large = await resources.large_pictures.acquire(claim) if pixels > LARGE else nullcontext()
        with large, await resources.preparing.acquire(claim):
            return await run(resources.lanes.prepare, self._prepare, augment, views)

    def _prepare(self, augment: str, count: int) -> PreparedViews:
        image, reduction = self.request.image, self.request.reduction
        assert not isinstance(image, Features)
        began, decoded = time.monotonic(), self._pixels is None
        if self._pixels is None:
            self._pixels = self.resources.decode(image)
            if self.remember and self.resources.make_thumbnail:
                self.thumbnail = self.resources.make_thumbnail(self._pixels)
        decoded_at = time.monotonic()
        views = self.resources.look(self._pixels, count, self.request.seed, augment)
        if self._rows and augment != self._augment:  # augmentations share only the plain view
            self._pieces, self._rows = (self._pieces[0][:1],), 1
        self._augment, have, reduced = augment, self._rows, Reduction(reduction.reducer)
        exact = 1 if reduction.scope == "augmented" else 0  # rows without reduction
        parts = [(have, exact, self.resources.no_reduction), (max(have, exact), count, reduced)]
        jobs = [(views.pixels[start:stop], how) for start, stop, how in parts if start < stop]
        return PreparedViews(views, jobs, decoded_at - began if decoded else 0.0, time.monotonic() - decoded_at)

    async def _encode_in_rounds(
        self, prepared: PreparedViews, strategy: Strategy[Any], needs: Needs, text: TextSpace, plan: Plan
    ) -> bool:
        """Encodes the missing rows up to each round in turn, with rows of other requests. Whether that was enough."""
        jobs, asked = prepared.jobs, needs.rounds if self.request.reduction.scope != "two_looks" else ()
        for views in [*(count for count in asked if self._rows < count < plan.views), plan.views]:
            if not jobs:
                break
            now, jobs = split_jobs(jobs, views - self._rows)
            await self._encode_rows(now, text, replace(plan, views=views))
            if self._rows < views:
                break  # out of time
            encoded = EncodedViews(self._pieces, self._rows)
            lane = self.resources.lanes.adapt
            if views < plan.views and await run(lane, is_settled, strategy, encoded, text, needs.views):
                return True
        return False

    async def _encode_rows(self, jobs: list[Job], text: TextSpace, plan: Plan) -> None:
        """Encodes the missing rows; if there is no time for any, the plain one alone."""
        encoded = await self._submit(jobs, text, plan)
        if not (self._rows or encoded[0].count or plan.all_or_nothing):
            pixels, reduction = jobs[0]
            encoded = await self._submit([(pixels[:1], reduction)], text, replace(plan, due=plan.plain_due, fewest=1))
        for rows, (pixels, _) in zip(encoded, jobs, strict=False):
            self._pieces, self._rows = self._pieces + rows.pieces, self._rows + rows.count
            if rows.count < len(pixels):
                break
        if self._rows < (plan.views if plan.all_or_nothing else 1):
            raise DeadlineTooShort("the deadline is too near for the image tower")

    async def _submit(self, jobs: list[Job], text: TextSpace, plan: Plan) -> list[Rows]:
        """Sends jobs through the tower; cancelling withdraws them."""
        waiting: list[asyncio.Future[Rows]] = []
        have, submit = self._rows, partial(self.resources.batcher.submit, client=self.request.client)
        for pixels, reduction in jobs:
            fewest = len(pixels) if plan.all_or_nothing else max(0, plan.fewest - have)
            rest = 0 if plan.all_or_nothing or have else 1
            waiting.append(submit(pixels, reduction, text, due=plan.due, fewest=fewest, rest=rest))
            have += len(pixels)
        try:
            encoded = [await rows for rows in waiting]
        finally:
            for rows in waiting:
                rows.cancel()
        encode = sum(rows.encode for rows in encoded)
        self.timer.lap("queue", ("encode", encode), before="turn")
        self.timer.busy += encode + max(rows.queue for rows in encoded)
        self.batch_rows = max([self.batch_rows, *(rows.batch_rows for rows in encoded)])
        return encoded

    async def _second_look(self, encoded: EncodedViews, needs: Needs, text: TextSpace, plan: Plan) -> EncodedViews:
        """Encodes the plain view and the confident ones again without reduction. If there is no time, no row counts."""
        assert encoded.views is not None
        choosing = run(
            self.resources.lanes.adapt, choose_confident, encoded, text, needs.confident, encoded.views.pixels
        )
        kept, rows, pixels = await choosing
        plan = replace(plan, all_or_nothing=True)
        (exact_rows,) = await self._submit([(pixels, self.resources.no_reduction)], text, plan)
        if exact_rows.count < len(pixels):
            return replace(encoded, count=0)
        return replace(encoded, kept=kept, second_look=(rows, exact_rows.pieces))


def split_jobs(jobs: list[Job], rows: int) -> tuple[list[Job], list[Job]]:
    """The first `rows` views of the jobs, and the others."""
    first: list[Job] = []
    rest: list[Job] = []
    for pixels, reduction in jobs:
        first += [(pixels[:rows], reduction)] if rows > 0 else []
        rest += [(pixels[max(rows, 0) :], reduction)] if rows < len(pixels) else []
        rows -= len(pixels)
    return first, rest
