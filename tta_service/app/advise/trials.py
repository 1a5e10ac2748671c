"""Every strategy on the same images, through the engine, for `judge.py` to judge. Each image is encoded once."""

from __future__ import annotations

import asyncio
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...core.catalogue import reducers, strategies
from ...core.errors import Unsupported
from ...core.labels import LabelSet
from ...core.reducer import Reduction
from ...core.request import Encoded, Features, Request
from ...core.strategy import Scope, Strategy
from ...images.decode import decode
from ...images.fixed_views import NAMED
from ...images.views import look
from ..runtime import Parts
from .judge import Trial

JUDGES = 8  # crops at least that nobody but the judge looks at
Told = Callable[[str, int, int], None]  # what is being done, how much of how much


@dataclass(slots=True, eq=False)
class Seen:
    """The images' features, and what it took to get them."""

    first: Tensor  # [n, v, d] the plain view and one half of the crops
    second: Tensor  # [n, w, d] the plain view and the other half
    named: Tensor  # [n, 10, d]
    before: float  # seconds of decoding and of cutting one view
    cut: float  # seconds of cutting one further view
    row: float  # seconds of encoding one view


async def trials(
    parts: Parts,
    labels: LabelSet,
    images: Sequence[bytes],
    names: Sequence[str],
    views: int,
    told: Told = lambda what, done, of: None,
) -> list[Trial]:
    """One for each strategy (plain CLIP first), those that look at several views with `views` at most.

    Raises `BadImage` for one that cannot be decoded. What the model cannot do is left out.
    """
    seen = await _encoded(parts, images, views, told)
    text = await parts.text_spaces.get(labels)
    plain, found = "zero_shot", list[Trial]()
    for place, name in enumerate(dict.fromkeys((plain, *names))):
        told(name, place, len(names))
        chosen = limited(name, views)
        try:
            forth, seconds = await _scores(parts, labels, chosen, seen.first, seen.named, forwards=True)
            back, _ = await _scores(parts, labels, chosen, seen.second, seen.named, forwards=False)
        except Unsupported:
            continue
        asked = chosen.needs()
        random = asked.views > 1 and asked.augment != "named"
        judges = seen.second[:, 1:] if random else torch.cat([seen.first[:, 1:], seen.second[:, 1:]], 1)
        unseen = (text.scale * judges @ text.features.T).softmax(-1).mean(1)  # [n, c]
        entropy = -(forth * forth.clamp_min(1e-12).log()).sum(-1).mean() / math.log(max(2, forth.shape[1]))
        answers = forth.argmax(-1)
        found.append(
            Trial(
                strategy=chosen,
                labels=answers,
                plain=found[0].labels if found else answers,
                again=back.argmax(-1),
                unseen=unseen,
                entropy=float(entropy),
                views=asked.views,
                seconds=seen.before + (asked.views - 1) * seen.cut + asked.views * seen.row + seconds,
            )
        )
    return found


def limited(name: str, views: int) -> Strategy[object]:
    """With its defaults, but no more views than that."""
    made = strategies.build(name)
    takes = any(field.name == "views" for field in strategies.describe(name).parameters)
    return strategies.build(name, {"views": views}) if takes and made.needs().views > views else made


async def _encoded(parts: Parts, images: Sequence[bytes], views: int, told: Told) -> Seen:
    half = max(JUDGES, views - 1)
    rows, before, cut, spent, encoded = [], [], [], 0.0, 0
    exact, size = Reduction(reducers.build("none")), parts.clip.image_size

    def prepared(image: bytes, seed: int) -> Tensor:
        began = time.perf_counter()
        pixels = decode(Encoded(image))
        one = look(pixels, size, 1, seed)
        middle = time.perf_counter()
        some = look(pixels, size, 1 + 2 * half, seed).pixels
        before.append(middle - began)
        cut.append((time.perf_counter() - middle) / (2 * half + 1))
        named = look(pixels, size, len(NAMED), seed, "named").pixels
        return torch.cat([one.pixels, some[1:], named[1:]])  # the plain view is common to both

    for place, image in enumerate(images):
        told("encoding", place, len(images))
        pixels = await asyncio.to_thread(prepared, image, place)
        fed = await parts.batcher.submit(pixels, exact)
        spent, encoded = spent + fed.encode, encoded + len(pixels)
        rows.append(fed.features)
    whole = torch.stack(rows)
    plain = whole[:, :1]
    return Seen(
        first=whole[:, : 1 + half],
        second=torch.cat([plain, whole[:, 1 + half : 1 + 2 * half]], 1),
        named=torch.cat([plain, whole[:, 1 + 2 * half :]], 1),
        before=statistics.median(before),
        cut=statistics.median(cut),
        row=spent / max(1, encoded),
    )


async def _scores(
    parts: Parts, labels: LabelSet, chosen: Strategy[object], rows: Tensor, named: Tensor, forwards: bool
) -> tuple[Tensor, float]:
    """Softmax [n, c] of every image, asked in this order or in the opposite one; and the median seconds of adapting."""
    needs, engine = chosen.needs(), parts.engine.without_observer()
    seen = named if needs.augment == "named" else rows[:, : needs.views]
    session = f"advise-{chosen.name}-{'forth' if forwards else 'back'}" if needs.memory is Scope.SESSION else ""
    question = Request(
        image=Features(seen[0]),
        labels=labels,
        strategy=chosen,
        reduction=Reduction(reducers.build("none")),
        session=session,
    )
    places, scores, seconds = range(len(seen)), {}, []
    try:
        for place in places if forwards else reversed(places):
            report = await engine.classify(replace(question, image=Features(seen[place])))
            scores[place] = report.logits.double().softmax(-1)
            seconds.append(report.seconds.get("adapt", 0.0))
    finally:
        if session and parts.sessions.registry.get("", session):
            parts.sessions.close("", session)
    return torch.stack([scores[place] for place in places]), statistics.median(seconds)
