"""SwapPrompt, approximated: a tuned prompt and its slow average learn from each other over a stream. After Ma et al.,
NeurIPS 2023, https://openreview.net/forum?id=EhdNQiOWgQ.

Published: an online and a target prompt; each predicts the other's assignment of a second augmentation, and confident
zero-shot labels are learned besides, over a whole test set. There is no public code. Everything else here is ours: one
step per frame, the bank, the warm-up, the clamp, the rates, and that the target prompt answers. No published number is
claimed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
from annotated_types import Ge, Le
from torch import Tensor
from torch.nn.functional import cross_entropy

from ..core.catalogue import register_strategy
from ..core.evidence import Evidence
from ..core.labels import TextSpace
from ..core.strategy import Augment, Needs, Scope, Strategy
from ..maths import adam
from .tpt import note_first_template_only

_REACH = 0.05  # largest change of an entry of the prompt; beyond it the prompt's own labels no longer correct it


class Swap(NamedTuple):
    """Both prompts, the optimiser's state, and the images that they learn from."""

    online: Tensor  # [k, w] the tuned context
    target: Tensor  # [k, w] its slow average
    first: Tensor  # [k, w] Adam's moments of the online context
    second: Tensor  # [k, w]
    steps: Tensor  # () of Adam
    seen: Tensor  # () frames
    bank: Tensor  # [c, capacity, d] float16, the surest plain views of each zero-shot label
    confidence: Tensor  # [c, capacity], −1 where a slot is empty
    cursor: Tensor  # () index into the flattened [c · capacity] slots where the next batch begins


@register_strategy("swap_prompt")
@dataclass(frozen=True)
class SwapPrompt(Strategy[Swap]):
    """Answers with the target prompt, then takes one step. It is zero-shot during the warm-up.

    Only the first template is tuned. The plain view stands in for missing views.
    """

    views: Annotated[int, Ge(1), Le(512), "views of the image; the plain one and two others are used"] = 3
    momentum: Annotated[float, Ge(0), Le(1), "share of the target that stays at each step"] = 0.99
    learning_rate: Annotated[float, Ge(0), Le(1), "of Adam"] = 5e-4
    capacity: Annotated[int, Ge(1), Le(256), "pseudo-labelled images remembered per class"] = 16
    warmup: Annotated[int, Ge(0), Le(100_000), "frames before the first step"] = 16
    batch: Annotated[int, Ge(1), Le(1024), "remembered images learned from at each step"] = 32
    augment: Augment = "crop"

    def needs(self) -> Needs:
        """Its views, gradients through the text tower, and a memory for each session."""
        return Needs(self.views, augment=self.augment, memory=Scope.SESSION, gradient=True)

    def begin(self, text: TextSpace) -> Swap:
        """Both prompts at the first template's words; an empty bank."""
        context, (c, d) = text.prompts.context.detach(), text.features.shape
        zero = torch.zeros((), dtype=torch.int64)
        return Swap(
            context.clone(),
            context.clone(),
            torch.zeros_like(context),
            torch.zeros_like(context),
            zero.clone(),
            zero.clone(),
            torch.zeros(c, self.capacity, d, dtype=torch.float16),
            torch.full((c, self.capacity), -1.0),
            zero,
        )

    def predict(self, seen: Evidence, memory: Swap) -> tuple[Tensor, tuple[Tensor, Tensor | None]]:
        """The plain view against the target prompt; its zero-shot logits and the target's features are carried on."""
        text, plain, before = seen.text, seen.views[0], int(memory.seen)
        zero_shot = text.scale * text.features @ plain
        target = None
        if before + 1 >= self.warmup:
            with torch.no_grad():
                target = text.prompts.encode(memory.target)  # [c, d]
        logits = zero_shot if target is None or before < self.warmup else text.scale * target @ plain
        return logits, (zero_shot, target)

    def update(self, seen: Evidence, memory: Swap, carry: tuple[Tensor, Tensor | None]) -> Swap:
        """The frame is remembered and one step is taken."""
        zero_shot, target = carry
        _remember(memory, seen.views[0], zero_shot.softmax(-1))
        memory.seen.add_(1)
        if target is not None:
            self._learn(seen, memory, target)
        return memory

    def explain(self, seen: Evidence, memory: Swap) -> Mapping[str, Tensor | float]:
        """`drift` is the largest change of an entry of the target prompt since the first frame."""
        return {
            "fill": float((memory.confidence >= 0).float().mean()),
            "steps": float(memory.steps),
            "drift": float((memory.target - seen.text.prompts.context).abs().max()),
            **note_first_template_only(seen.text),
        }

    def _learn(self, seen: Evidence, memory: Swap, target: Tensor) -> None:
        """One step of the online context, then a smaller one of its average. In place."""
        text, last = seen.text, len(seen.views) - 1
        crops = seen.views[[1, 2]] if last > 1 else seen.views[[last, 0]]  # [2, d]
        targets = (text.scale * crops @ target.T).softmax(-1).flip(0)  # each crop learns the assignment of the other
        rows, labels = take_batch(memory, self.batch)
        with torch.enable_grad():
            moving = memory.online.clone().requires_grad_()
            online = text.prompts.encode(moving)
            swapped = -(targets * (text.scale * crops @ online.T).log_softmax(-1)).sum(-1).mean()
            labelled = cross_entropy(text.scale * rows @ online.T, labels)
            (gradient,) = torch.autograd.grad(swapped + labelled, moving)
        if not gradient.isfinite().all():
            return
        memory.steps.add_(1)
        adam(memory.online, gradient, memory.first, memory.second, int(memory.steps), self.learning_rate)
        context = text.prompts.context
        memory.online.copy_(memory.online.clamp(context - _REACH, context + _REACH))
        memory.target.mul_(self.momentum).add_(memory.online, alpha=1 - self.momentum)


def _remember(memory: Swap, plain: Tensor, p: Tensor) -> None:
    """Store the plain view [d] under its zero-shot label if it is among the surest. In place."""
    label = int(p.argmax())
    slot = int(memory.confidence[label].argmin())  # an empty one, else the least sure
    if p[label] > memory.confidence[label, slot]:
        memory.bank[label, slot], memory.confidence[label, slot] = plain.half(), p[label]


def take_batch(memory: Swap, most: int) -> tuple[Tensor, Tensor]:
    """The next filled slots from the cursor on, each once: rows [b, d] and their labels [b]. Moves the cursor."""
    slots, capacity = memory.confidence.numel(), memory.confidence.shape[1]
    order = torch.arange(slots).roll(-int(memory.cursor))
    chosen = order[memory.confidence.flatten()[order] >= 0][:most]
    memory.cursor.copy_((chosen[-1] + 1) % slots)
    return memory.bank.flatten(0, 1)[chosen].float(), chosen // capacity
