"""Taught: a person's lessons beside the text, weighed by how well they foretell each other. Ours, 2026, after
Tip-Adapter (arXiv:2111.03930) and GDA (arXiv:2402.04087).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..core.catalogue import register_strategy
from ..core.evidence import Evidence
from ..core.labels import TextSpace
from ..core.strategy import Augment, Capacity, Confident, Needs, Scope, Strategy, ViewCount
from ..maths import summarise, unit
from .taught_grid import MEANS, SHAPE, TEXT, Prototypes, Space, choose, space

_HORIZON = 4096  # frames after which the running mean and covariance forget


class Lessons(NamedTuple):
    """What was seen and taught, then what `fit` makes of it. The slots of a class are a ring."""

    features: Tensor  # [c, capacity, d]
    serial: Tensor  # [c, capacity] int64, the place of the lesson among all, from 0; −1 where a slot is empty
    count: Tensor  # [c] int64 lessons ever taught
    frames: Tensor  # () int64
    mean: Tensor  # [d] of the frames
    covariance: Tensor  # [d, d] of the frames
    sureness: Tensor  # () mean probability of the best class by zero-shot, over the frames
    learnt: Tensor  # [2] int64, the lessons and frames that `fit` knew
    centre: Tensor  # as in Space
    basis: Tensor
    stretch: Tensor
    sums: Tensor  # as in Prototypes
    text: Tensor
    length: Tensor
    weight: Tensor  # [r, k, t, w] of every classifier of the grid; they sum to 1


@register_strategy("taught")
@dataclass(frozen=True)
class Taught(Strategy[Lessons]):
    """Zero-shot, bit for bit, until a lesson is fitted; then the mean probability of classifiers between the text and
    the lessons, each weighed by its leave-one-out likelihood and a prior that fades with the lessons.

    Frames without a lesson tell where the centre of the features lies, and how they spread.
    """

    views: ViewCount = 1
    confident: Confident = 0.1
    capacity: Capacity = 16
    augment: Augment = "crop"

    def needs(self) -> Needs:
        """Its views, of which it reads the surest; a memory for each session."""
        return Needs(self.views, augment=self.augment, confident=self.confident, memory=Scope.SESSION)

    def begin(self, text: TextSpace) -> Lessons:
        """No lessons and no frames."""
        (c, d), new, (r, k, *_) = text.features.shape, text.features, SHAPE
        whole = torch.zeros(c, dtype=torch.int64, device=new.device)
        return Lessons(
            features=new.new_zeros(c, self.capacity, d),
            serial=whole.new_full((c, self.capacity), -1),
            count=whole,
            frames=whole.new_zeros(()),
            mean=new.new_zeros(d),
            covariance=new.new_zeros(d, d),
            sureness=new.new_zeros(()),
            learnt=whole.new_zeros(2),
            centre=new.new_zeros(d),
            basis=new.new_zeros(d, d),
            stretch=new.new_zeros(r, d),
            sums=new.new_zeros(r, c, d),
            text=new.new_zeros(r, c, d),
            length=new.new_ones(r, k, c),
            weight=new.new_zeros(SHAPE),
        )

    def adapt(self, seen: Evidence, memory: Lessons) -> tuple[Tensor, Lessons]:
        """The log of the mean probability; the frame joins the running means."""
        image = summarise(seen, self.confident)
        feature = unit(image.feature)
        _count_frame(memory, feature, image.logits)
        if not memory.learnt[0]:
            return seen.logits()[0], memory
        cosine = _prototypes(memory).cosines(_space(memory).place(feature))  # [r, k, c]
        r, k, t, w = memory.weight.nonzero(as_tuple=True)
        text, means = feature.new_tensor(TEXT)[t, None], feature.new_tensor(MEANS)[w, None]
        p = memory.weight[r, k, t, w] @ (text * image.logits + means * cosine[r, k]).softmax(-1)
        return p.clamp_min(torch.finfo(p.dtype).tiny).log(), memory

    def teach(self, seen: Evidence, label: int, memory: Lessons) -> Lessons:
        """Keep the mean of the confident views, normalised, in place of the oldest lesson of a full class."""
        slot = int(memory.count[label]) % self.capacity
        memory.features[label, slot] = unit(summarise(seen, self.confident).feature)
        memory.serial[label, slot] = memory.count.sum()
        memory.count[label] += 1
        return memory

    def fit_is_due(self, memory: Lessons) -> bool:
        """Whether there are new lessons, or twice the frames since."""
        lessons, frames, (learnt, known) = int(memory.count.sum()), int(memory.frames), memory.learnt.tolist()
        return lessons > learnt or (lessons > 0 and min(frames, _HORIZON) >= 2 * max(known, 8))

    def fit(self, memory: Lessons, text: TextSpace) -> Mapping[str, Tensor]:
        """Space, prototypes and weights from all that was seen and taught; {} without a lesson."""
        filled = memory.serial >= 0
        if not filled.any():
            return {}
        lessons, frames = memory.features[filled], memory.frames.clamp(max=_HORIZON)
        where = space(memory.mean, memory.covariance, int(frames), lessons, filled.nonzero()[:, 0])
        best = (text.scale * lessons @ text.features.T).softmax(1).amax(1)
        sureness = float((frames * memory.sureness + best.sum()) / (frames + len(best)))
        prototypes, weight = choose(memory.features, filled, where, text.features, text.scale, sureness)
        learnt = torch.stack([memory.count.sum(), frames])
        return {"learnt": learnt, **where._asdict(), **prototypes._asdict(), "weight": weight}

    def explain(self, seen: Evidence, memory: Lessons) -> Mapping[str, Tensor | float]:
        """`fill` of the slots; `lesson_1` to `lesson_3` are the nearest lessons by their place among all, from 0, and
        `weight_1` to `weight_3` what each adds to the score of its class in nats, in the mean over the classifiers.
        """
        image, filled = summarise(seen, self.confident), memory.serial >= 0
        notes: dict[str, Tensor | float] = {"kept": image.rows, "fill": float(filled.float().mean())}
        if not memory.learnt[0]:
            return notes
        feature, where = unit(image.feature), _space(memory)
        label, slot = filled.nonzero(as_tuple=True)
        near = unit(memory.features[label, slot] - memory.centre) @ unit(feature - memory.centre)
        nearest = near.argsort(descending=True, stable=True)[:3]
        label, slot = label[nearest], slot[nearest]
        cosine = (where.place(memory.features[label, slot]) @ where.place(feature)[..., None])[..., 0]  # [r, 3]
        share = (memory.weight.sum(2) @ feature.new_tensor(MEANS))[..., None] / memory.length  # [r, k, c]
        added = (cosine * share.sum(1)[:, label]).sum(0)
        for i, serial in enumerate(memory.serial[label, slot].tolist(), start=1):
            notes[f"lesson_{i}"], notes[f"weight_{i}"] = float(serial), float(added[i - 1])
        return notes


def _count_frame(memory: Lessons, feature: Tensor, logits: Tensor) -> None:
    """Let a frame [d] of zero-shot logits [c] join the running means. In place."""
    memory.frames.add_(1)
    share = 1 / min(int(memory.frames), _HORIZON)
    away = feature - memory.mean
    memory.mean.add_(away, alpha=share)
    memory.sureness.lerp_(logits.softmax(0).amax(), share)
    memory.covariance.addr_(away, away, beta=1 - share, alpha=share * (1 - share))


def _space(memory: Lessons) -> Space:
    return Space(memory.centre, memory.basis, memory.stretch)


def _prototypes(memory: Lessons) -> Prototypes:
    return Prototypes(memory.sums, memory.text, memory.length)
