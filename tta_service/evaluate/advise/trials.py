"""Every strategy on the same images, through the engine, for `judge.py` to judge. Each image is encoded once."""

from __future__ import annotations

import asyncio
import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...app.parts import Runtime
from ...core.catalogue import reducers
from ...core.errors import Unsupported
from ...core.labels import LabelSet
from ...core.reducer import Reduction
from ...core.request import Encoded, Features, Request
from ...core.strategy import Strategy
from ...images.views import NAMED, look
from ..contenders import Contender, limit_views
from ..replay import answer_stream
from .judge import Trial
from .templates import Progress, TemplateAdvice, judge_templates

VIEW_COUNTS = (64, 32, 16, 8)  # views that are tried, the most that the deadline leaves room for
LONGEST = 45.0  # seconds that encoding all images may take, unless the caller says how many views
JUDGES = 8  # the fewest crops that only the judge uses


@dataclass(slots=True, eq=False)
class EncodedImages:
    """The features of n images, and the seconds to make them."""

    first: Tensor  # [n, v, d] the plain view and one half of the crops
    second: Tensor  # [n, w, d] the plain view and the other half
    named: Tensor  # [n, 10, d]
    before: float  # seconds of decoding and of cutting one view
    cut: float  # seconds of cutting one further view
    row: float  # seconds of encoding one view


async def run_trials(
    runtime: Runtime,
    labels: LabelSet,
    images: Sequence[bytes],
    names: Sequence[str],
    views: int,
    truth: Sequence[int | None] = (),
    progress: Progress = lambda what, done, of: None,
) -> tuple[list[Trial], TemplateAdvice]:
    """One trial for each strategy, plain CLIP first, with at most `views` views and the best template.

    `truth` are the classes of the images where they are known. Strategies that the model cannot run are left out.
    Raises `BadImage` for an image that cannot be decoded.
    """
    encoded = await _encode(runtime, images, views, progress)
    template = await judge_templates(runtime.text_spaces, labels, encoded.first[:, 0], truth, progress)
    labels = template.labels
    text = await runtime.text_spaces.get(labels)
    plain, trials = "zero_shot", list[Trial]()
    for place, name in enumerate(dict.fromkeys((plain, *names))):
        progress(name, place, len(names))
        chosen = with_most_views(name, views)
        try:
            forward_scores, seconds = await _scores(
                runtime, labels, chosen, encoded.first, encoded.named, forwards=True
            )
            backward_scores, _ = await _scores(runtime, labels, chosen, encoded.second, encoded.named, forwards=False)
        except Unsupported:
            continue
        needs = chosen.needs()
        random = needs.views > 1 and needs.augment != "named"
        judges = encoded.second[:, 1:] if random else torch.cat([encoded.first[:, 1:], encoded.second[:, 1:]], 1)
        unseen = (text.scale * judges @ text.features.T).softmax(-1).mean(1)  # [n, c]
        entropy = -(forward_scores * forward_scores.clamp_min(1e-12).log()).sum(-1).mean() / math.log(
            max(2, forward_scores.shape[1])
        )
        answers = forward_scores.argmax(-1)
        trials.append(
            Trial(
                strategy=chosen,
                labels=answers,
                plain=trials[0].labels if trials else answers,
                again=backward_scores.argmax(-1),
                unseen=unseen,
                entropy=float(entropy),
                views=needs.views,
                truth=torch.tensor([-1 if label is None else label for label in truth or [None] * len(images)]),
                seconds=encoded.before + (needs.views - 1) * encoded.cut + needs.views * encoded.row + seconds,
            )
        )
    return trials, template


def with_most_views(name: str, views: int) -> Strategy[object]:
    """A strategy with default parameters, but at most `views` views."""
    return limit_views(Contender(name), views).build()


def affordable_views(row: float, deadline: float | None, images: int = 0) -> int:
    """The most of `VIEW_COUNTS` that fit the deadline of an image and `LONGEST` for all `images`, else the fewest.

    An image's views take nine tenths of its deadline at most. `row` and `deadline` are in seconds.
    """

    def fits(views: int) -> bool:
        rows = images * (1 + 2 * max(JUDGES, views - 1) + len(NAMED))
        return rows * row <= LONGEST and (deadline is None or views * row <= 0.9 * deadline)

    return next((views for views in VIEW_COUNTS if fits(views)), VIEW_COUNTS[-1])


async def measure_row_seconds(runtime: Runtime) -> float:
    """The seconds of one view in a forward of 16, the best of three."""
    size, exact = runtime.clip.image_size, Reduction(reducers.build("none"))
    blank = torch.zeros(16, 3, size, size, dtype=torch.uint8)
    return min([(await runtime.batcher.encode(blank, exact)).encode / len(blank) for _ in range(3)])


async def _encode(runtime: Runtime, images: Sequence[bytes], views: int, progress: Progress) -> EncodedImages:
    half = max(JUDGES, views - 1)
    rows, before, cut, spent, encoded = [], [], [], 0.0, 0
    exact, size = Reduction(reducers.build("none")), runtime.clip.image_size

    def prepare(image: bytes, seed: int) -> Tensor:
        began = time.perf_counter()
        pixels = runtime.decode(Encoded(image))
        plain = look(pixels, size, 1, seed)
        middle = time.perf_counter()
        crops = look(pixels, size, 1 + 2 * half, seed).pixels
        before.append(middle - began)
        cut.append((time.perf_counter() - middle) / (2 * half + 1))
        named = look(pixels, size, len(NAMED), seed, "named").pixels
        return torch.cat([plain.pixels, crops[1:], named[1:]])  # the plain view is common to both

    for place, image in enumerate(images):
        progress("encoding", place, len(images))
        pixels = await asyncio.to_thread(prepare, image, place)
        encoded_rows = await runtime.batcher.submit(pixels, exact)
        spent, encoded = spent + encoded_rows.encode, encoded + len(pixels)
        rows.append(encoded_rows.features)
    whole = torch.stack(rows)
    plain = whole[:, :1]
    return EncodedImages(
        first=whole[:, : 1 + half],
        second=torch.cat([plain, whole[:, 1 + half : 1 + 2 * half]], 1),
        named=torch.cat([plain, whole[:, 1 + 2 * half :]], 1),
        before=statistics.median(before),
        cut=statistics.median(cut),
        row=spent / max(1, encoded),
    )


async def _scores(
    runtime: Runtime, labels: LabelSet, chosen: Strategy[object], rows: Tensor, named: Tensor, forwards: bool
) -> tuple[Tensor, float]:
    """The scores [n, c] of all images, in their order or backwards, and the median seconds of adaptation."""
    needs = chosen.needs()
    features = named if needs.augment == "named" else rows[:, : needs.views]
    request = Request(Features(features[0]), labels, chosen, Reduction(reducers.build("none")))
    reports = [report async for report in answer_stream(runtime, request, features if forwards else features.flip(0))]
    scores = torch.stack([report.logits.double().softmax(-1) for report in reports])
    return scores if forwards else scores.flip(0), statistics.median(one.seconds.get("adapt", 0.0) for one in reports)
