"""Taught: a person's lessons beside the text, weighed by how well they foretell each other. Ours, 2026, after
Tip-Adapter (arXiv:2111.03930) and GDA (arXiv:2402.04087).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ...core.catalogue import register_strategy
from ...core.evidence import Evidence
from ...core.labels import TextSpace
from ...core.lesson_sums import LessonSums
from ...core.strategy import Augment, Capacity, Confident, Needs, Scope, Strategy, ViewCount
from ...maths import summarise, unit
from .grid import Choice, choose, likest_mean, mean_probability
from .lessons import Lessons, centre, elsewhere, fewness, likeness, moments, place, place_text, shares
from .memory import HORIZON, RECENT, Memory, begin, count_frame, prototypes
from .none import choose_none, probability_of_none


@register_strategy("taught")
@dataclass(frozen=True)
class Taught(Strategy[Memory]):
    """Zero-shot, bit for bit, until a lesson is fitted; then the mean probability of classifiers between the text and
    the lessons, each weighed by its leave-one-moment-out likelihood and a prior that fades with the lessons.

    Frames without a lesson tell where the centre of the features lies, and what else the classes look like. The first
    few lessons change the answers to pictures like theirs only. A picture like those of which a person said "none of
    these" is answered with less confidence; the order of classes stays.
    """

    views: ViewCount = 1
    confident: Confident = 0.1
    capacity: Capacity = 16
    augment: Augment = "crop"

    def needs(self) -> Needs:
        """Its views, of which it reads the surest; a memory for each session."""
        return Needs(self.views, augment=self.augment, confident=self.confident, memory=Scope.SESSION)

    def begin(self, text: TextSpace) -> Memory:
        """No lessons and no frames."""
        return begin(text, self.capacity)

    def adapt(self, seen: Evidence, memory: Memory) -> tuple[Tensor, Memory]:
        """The log of the mean probability; the frame joins the running means."""
        image = summarise(seen, self.confident)
        feature = unit(image.feature)
        count_frame(memory, feature, image.logits)
        if not memory.learnt[0]:
            return seen.logits()[0], memory
        placed = place(feature, memory.centre)
        cosines = prototypes(memory).cosines(placed[None])
        weight, none = _weight_of_lessons(memory, placed), _probability_of_none(memory, placed, cosines)
        if not weight and not none:
            return seen.logits()[0], memory
        p = mean_probability(memory.weight, image.logits[None], cosines)[0]
        p = torch.lerp(seen.logits()[0].softmax(0), p, weight)
        p = torch.lerp(p, p.new_tensor(1 / len(p)), none)
        return p.clamp_min(torch.finfo(p.dtype).tiny).log(), memory

    def teach(self, seen: Evidence, label: int, memory: Memory) -> Memory:
        """Keep the mean of the confident views, normalised, in place of the oldest lesson of a full class."""
        slot = int(memory.count[label]) % self.capacity
        memory.features[label, slot], memory.seen[label, slot] = self._read(seen)
        memory.serial[label, slot] = memory.count.sum() + memory.none_count
        memory.count[label] += 1
        return memory

    def teach_none(self, seen: Evidence, memory: Memory) -> Memory:
        """Keep it in place of the oldest one of none of the classes."""
        slot = int(memory.none_count) % len(memory.none)
        memory.none[slot], memory.none_seen[slot] = self._read(seen)
        memory.none_count.add_(1)
        return memory

    def add_sums(self, sums: LessonSums, memory: Memory) -> Memory:
        """Counts and sums join the class means and the ridge regression, but cannot judge classifiers."""
        memory.site_count.add_(sums.counts)
        memory.site_total.add_(sums.sums)
        return memory

    def _read(self, seen: Evidence) -> tuple[Tensor, float]:
        return unit(summarise(seen, self.confident).feature), -math.inf if seen.time is None else seen.time

    def fit_is_due(self, memory: Memory) -> bool:
        """Whether there are new lessons, or twice the frames since."""
        lessons, frames, (learnt, known) = _count(memory), int(memory.frames), memory.learnt.tolist()
        return lessons > learnt or (lessons > 0 and min(frames, HORIZON) >= 2 * max(known, 8))

    def fit(self, memory: Memory, text: TextSpace) -> Mapping[str, Tensor]:
        """Prototypes and weights from all that was seen and taught; {} without a lesson."""
        filled = memory.serial >= 0
        if not _count(memory):
            return {}
        features, label, frames = memory.features[filled], filled.nonzero()[:, 0], int(memory.frames)
        moment = moments(memory.features, memory.seen, filled)[filled]
        share = 1 / (moment[:, None] == moment).sum(1).float()
        counted, sites = min(frames, HORIZON), (memory.site_total, memory.site_count)
        middle = centre(memory.mean, counted, features, label, share, *sites)
        lessons = Lessons(place(features, middle), label, moment, share)
        zero_shot = text.scale * features @ text.features.T
        best = zero_shot.softmax(1).amax(1)
        sureness = float((counted * memory.sureness + best @ share) / (counted + share.sum()).clamp(min=1))
        recent = memory.recent[: min(frames, RECENT)]
        names = place_text(text.features)
        logits = text.scale * recent @ text.features.T
        placed, other = place(recent, middle), elsewhere(*sites, middle)
        found = choose(lessons, other, zero_shot, names, sureness, placed, logits, shares(recent))
        pull = torch.zeros_like(memory.pull)
        pull[filled] = found.pull
        none_weight, none_moments = self._fit_none(memory, lessons, found, middle)
        return {
            "learnt": memory.learnt.new_tensor([_count(memory), counted]),
            "moment_count": torch.stack([share.sum() + memory.site_count.sum(), none_moments]),
            "centre": middle,
            **found.prototypes._asdict(),
            "weight": found.weight,
            "pull": pull,
            "none_weight": none_weight,
        }

    def _fit_none(self, memory: Memory, lessons: Lessons, found: Choice, middle: Tensor) -> tuple[Tensor, Tensor]:
        """The weight of the rules in `none.py`, and of how many moments their lessons are."""
        known = torch.arange(len(memory.none), device=middle.device) < memory.none_count
        if not known.any():
            return torch.zeros_like(memory.none_weight), middle.new_zeros(())
        none = place(memory.none[known], middle)
        moment = moments(memory.none[None], memory.none_seen[None], known[None])[0][known]
        same = moment[:, None] == moment
        share = 1 / same.sum(1).float()
        others = torch.where(same, -1.0, none @ none.T).amax(1)
        likeness = likest_mean(found.weight, found.prototypes.cosines(none))
        of_class = found.likeness, (lessons.at @ none.T).amax(1)
        return choose_none(of_class, (likeness, others), share), share.sum()

    def explain(self, seen: Evidence, memory: Memory) -> Mapping[str, Tensor | float]:
        """`fill` of the slots; `lesson_1` to `lesson_3` are the nearest lessons by their place among all, from 0, and
        `weight_1` to `weight_3` what each adds to the score of its class in nats, in the mean over the classifiers.
        `none_of_these` is the probability that the picture is of no class, once there was a lesson that said so.
        """
        image, filled = summarise(seen, self.confident), memory.serial >= 0
        notes: dict[str, Tensor | float] = {"kept": image.rows, "fill": float(filled.float().mean())}
        if not memory.learnt[0]:
            return notes
        placed = place(unit(image.feature), memory.centre)
        label, slot = filled.nonzero(as_tuple=True)
        near = place(memory.features[label, slot], memory.centre) @ placed
        for i, one in enumerate(near.argsort(descending=True, stable=True)[:3].tolist(), start=1):
            where = label[one], slot[one]
            notes[f"lesson_{i}"] = float(memory.serial[where])
            notes[f"weight_{i}"] = float(memory.pull[where] * near[one])
        if memory.none_weight.any():
            cosines = prototypes(memory).cosines(placed[None])
            notes["none_of_these"] = float(_probability_of_none(memory, placed, cosines))
        return notes


def _count(memory: Memory) -> int:
    """Lessons, here and elsewhere."""
    return int(memory.count.sum() + memory.site_count.sum() + memory.none_count)


def _weight_of_lessons(memory: Memory, placed: Tensor) -> float:
    """From 0 to 1, at an image [d + 1]; the rest is zero-shot's."""
    few, taught = fewness(float(memory.moment_count[0])), memory.serial >= 0
    if not few or not taught.any():
        return 1 - few
    return 1 - few * (1 - likeness((place(memory.features[taught], memory.centre) @ placed).amax()))


def _probability_of_none(memory: Memory, placed: Tensor, cosines: Tensor) -> Tensor:
    """() probability that an image [d + 1] shows none of the classes, from its cosines [2, k, 1, c]."""
    if not memory.none_weight.any():
        return memory.none_weight.new_zeros(())
    nearest = (place(memory.none[: int(memory.none_count)], memory.centre) @ placed).amax()
    p = probability_of_none(memory.none_weight, likest_mean(memory.weight, cosines)[0], nearest)
    return p * (1 - fewness(float(memory.moment_count.amin())) * (1 - likeness(nearest)))
