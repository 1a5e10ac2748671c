"""Advice on a user's images: from settings and images to a recommendation, without a network."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import torch

from ...core.catalogue import reducers
from ...core.labels import LabelSet
from ...core.reducer import Reduction
from ...settings import Settings
from ..parts import Runtime
from ..runtime import build_runtime
from .judge import Advice, advise
from .trials import Progress, run_trials

VIEW_COUNTS = (64, 32, 16, 8)  # views that are tried, the most that the deadline leaves room for


def advise_on_images(
    settings: Settings,
    labels: LabelSet,
    images: Sequence[bytes],
    names: Sequence[str],
    deadline: float | None = None,
    views: int = 0,
    progress: Progress = lambda what, done, of: None,
) -> Advice:
    """Run the strategies on the images and recommend one.

    `deadline` is in seconds for one image. `views` 0 takes as many as fit the deadline, 64 without one. Raises
    `BadImage`, `CannotLoad`.
    """

    async def run() -> Advice:
        async with build_runtime(settings) as runtime:
            most = views or affordable_views(await measure_row_seconds(runtime), deadline)
            return advise(await run_trials(runtime, labels, images, names, most, progress), deadline)

    with asyncio.Runner() as runner:
        return runner.run(run())


def affordable_views(row: float, deadline: float | None) -> int:
    """The most of `VIEW_COUNTS` whose encoding takes at most nine tenths of the deadline, else the fewest.

    `row` and `deadline` are in seconds.
    """
    if deadline is None:
        return VIEW_COUNTS[0]
    return next((views for views in VIEW_COUNTS if views * row <= 0.9 * deadline), VIEW_COUNTS[-1])


async def measure_row_seconds(runtime: Runtime) -> float:
    """The seconds of one view in a forward of 16, the best of three."""
    size, exact = runtime.clip.image_size, Reduction(reducers.build("none"))
    blank = torch.zeros(16, 3, size, size, dtype=torch.uint8)
    return min([(await runtime.batcher.encode(blank, exact)).encode / len(blank) for _ in range(3)])
