"""Advice on a user's images, without a network: the way from settings to a recommendation."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import torch

from ...core.catalogue import reducers
from ...core.labels import LabelSet
from ...core.reducer import Reduction
from ...settings import Settings
from ..runtime import Parts, assembled
from .judge import Advice, advise
from .trials import Told, trials

LADDER = (64, 32, 16, 8)  # views that are tried, the most that the deadline leaves room for


def advised(
    settings: Settings,
    labels: LabelSet,
    images: Sequence[bytes],
    names: Sequence[str],
    deadline: float | None = None,
    views: int = 0,
    told: Told = lambda what, done, of: None,
) -> Advice:
    """Runs the strategies on the images and recommends one. `deadline` in seconds for one image; `views` 0: as many as
    fit it, or 64. Raises `BadImage`, `CannotLoad`."""

    async def walk() -> Advice:
        async with assembled(settings) as parts:
            most = views or affordable(await row_seconds(parts), deadline)
            return advise(await trials(parts, labels, images, names, most, told), deadline)

    with asyncio.Runner() as runner:
        return runner.run(walk())


def affordable(row: float, deadline: float | None) -> int:
    """The most views whose encoding takes no more than nine tenths of the deadline; never fewer than the fewest."""
    if deadline is None:
        return LADDER[0]
    return next((views for views in LADDER if views * row <= 0.9 * deadline), LADDER[-1])


async def row_seconds(parts: Parts) -> float:
    """Of one view in a forward of 16, the best of three."""
    size, exact = parts.clip.image_size, Reduction(reducers.build("none"))
    blank = torch.zeros(16, 3, size, size, dtype=torch.uint8)
    taken = [(await parts.batcher.encode(blank, exact)).encode / len(blank) for _ in range(3)]
    return min(taken)
