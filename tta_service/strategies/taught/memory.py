"""The memory of `taught`."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ...core.labels import TextSpace
from .grid import SHAPE, Prototypes
from .none import NONE_SHAPE

HORIZON = 4096  # frames after which the running mean forgets
RECENT = 256  # last frames whose features are remembered


class Memory(NamedTuple):
    """What was seen and taught, then what `fit` makes of it. The slots of a class are a ring."""

    features: Tensor  # [c, capacity, d]
    seen: Tensor  # [c, capacity] float64, Unix seconds; −inf where nobody knows
    serial: Tensor  # [c, capacity] int64, the place of the lesson among all, from 0; −1: the slot is empty
    count: Tensor  # [c] int64 lessons ever taught
    none: Tensor  # [4 capacity, d] lessons that said "none of these", a ring
    none_seen: Tensor  # [4 capacity]
    none_count: Tensor  # () int64
    frames: Tensor  # () int64
    mean: Tensor  # [d] of the frames
    recent: Tensor  # [256, d] of the frames, a ring
    sureness: Tensor  # () mean probability of the best class by zero-shot, over the frames
    site_count: Tensor  # [c] int64, lessons of other sites
    site_total: Tensor  # [c, d] the sums of their unit features
    learnt: Tensor  # [2] int64, the lessons and frames that `fit` knew
    moment_count: Tensor  # [2] moments that lessons of a class, with those elsewhere, and lessons of none show
    centre: Tensor  # [d]
    sums: Tensor  # as in Prototypes
    text: Tensor
    length: Tensor
    ridge: Tensor
    weight: Tensor  # as in Choice
    pull: Tensor  # [c, capacity] as in Choice
    none_weight: Tensor  # of the rules in `none.py`; 0 without such lessons


def begin(text: TextSpace, capacity: int) -> Memory:
    """No lessons and no frames."""
    (c, d), new, k = text.features.shape, text.features, SHAPE[1]
    whole = torch.zeros(c, dtype=torch.int64, device=new.device)
    unknown = torch.tensor(-math.inf, dtype=torch.float64, device=new.device)
    return Memory(
        features=new.new_zeros(c, capacity, d),
        seen=unknown.repeat(c, capacity),
        serial=whole.new_full((c, capacity), -1),
        count=whole.clone(),
        none=new.new_zeros(4 * capacity, d),
        none_seen=unknown.repeat(4 * capacity),
        none_count=whole.new_zeros(()),
        frames=whole.new_zeros(()),
        mean=new.new_zeros(d),
        recent=new.new_zeros(RECENT, d),
        sureness=new.new_zeros(()),
        site_count=whole,
        site_total=new.new_zeros(c, d),
        learnt=whole.new_zeros(2),
        moment_count=new.new_zeros(2),
        centre=new.new_zeros(d),
        sums=new.new_zeros(c, d + 1),
        text=new.new_zeros(c, d + 1),
        length=new.new_ones(k, c),
        ridge=new.new_zeros(k, c, d + 1),
        weight=new.new_zeros(SHAPE),
        pull=new.new_zeros(c, capacity),
        none_weight=new.new_zeros(NONE_SHAPE),
    )


def count_frame(memory: Memory, feature: Tensor, logits: Tensor) -> None:
    """Let a frame [d] of zero-shot logits [c] join what the frames tell. In place."""
    memory.recent[int(memory.frames) % RECENT] = feature
    memory.frames.add_(1)
    share = 1 / min(int(memory.frames), HORIZON)
    memory.mean.lerp_(feature, share)
    memory.sureness.lerp_(logits.softmax(0).amax(), share)


def prototypes(memory: Memory) -> Prototypes:
    return Prototypes(memory.sums, memory.text, memory.length, memory.ridge)
