"""Which template and which strategy suit some images, with or without labels."""

from __future__ import annotations

from collections.abc import Sequence

from ...app.commands import run_in_loop
from ...app.runtime import build_runtime
from ...core.labels import LabelSet
from ...settings import Settings
from .judge import Advice, judge
from .templates import Progress, TemplateAdvice
from .trials import affordable_views, measure_row_seconds, run_trials


def advise(
    settings: Settings,
    labels: LabelSet,
    images: Sequence[bytes],
    names: Sequence[str],
    deadline: float | None = None,
    views: int = 0,
    truth: Sequence[int | None] = (),
    progress: Progress = lambda what, done, of: None,
) -> tuple[Advice, TemplateAdvice]:
    """Run templates and then strategies on the images, and recommend one of each.

    `deadline` is in seconds for one image. `views` 0 takes as many as fit the deadline and a minute for all images, at
    most 64. `truth` are the classes of the images where they are known. Raises `BadImage`, `CannotLoad`.
    """

    async def run() -> tuple[Advice, TemplateAdvice]:
        async with build_runtime(settings) as runtime:
            most = views or affordable_views(await measure_row_seconds(runtime), deadline, len(images))
            trials, template = await run_trials(runtime, labels, images, names, most, truth, progress)
            return judge(trials, deadline), template

    return run_in_loop(run())
