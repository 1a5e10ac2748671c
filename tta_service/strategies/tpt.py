"""TPT: tune the words that all prompts share, for one image, so that its confident views agree. Shu et al., NeurIPS
2022, arXiv:2209.07511.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Le
from torch import Tensor

from ..core.catalogue import register_strategy
from ..core.evidence import Evidence
from ..core.labels import TextSpace
from ..core.strategy import Augment, Confident, Needs, Stateless, ViewCount
from ..maths import adam, confident_rows, marginal_entropy, shared_weight

NEGLIGIBLE = 2.0**-24  # relative to the largest gradient on a class: below the last bit of a float32 sum


@register_strategy("tpt")
@dataclass(frozen=True)
class TPT(Stateless):
    """Classifies the plain view against prompts tuned to lower the entropy of the confident views' mean probability.

    Only the first template is tuned; with several, the answer before tuning is the first template's. At the initial
    context the text features are known, so the first step needs only the backward pass of the text tower. The forward
    pass after it includes all classes.
    """

    views: ViewCount = 64
    confident: Confident = 0.1
    steps: Annotated[int, Ge(0), Le(10), "gradient steps"] = 1
    learning_rate: Annotated[float, Ge(0), Le(1), "of AdamW"] = 5e-3
    weight_decay: Annotated[float, Ge(0), Le(1), "of AdamW"] = 0.01
    augment: Augment = "crop"

    spare: ClassVar[bool] = True  # classes whose gradient is negligible are left out of the first step

    def needs(self) -> Needs:
        """Its views, and gradients through the text tower."""
        return Needs(self.views, augment=self.augment, confident=self.confident, gradient=True)

    def adapt(self, seen: Evidence, memory: None) -> tuple[Tensor, None]:
        """The plain view against prompts tuned on `loss`, here the entropy of the views' mean probability, eq. 2."""
        text, initial = seen.text, first_template(seen.text)
        views = seen.views[confident_rows(seen, self.confident, seen.logits(initial))].double()

        def loss(features: Tensor) -> Tensor:
            return self.loss(text.scale * views @ features.T, features)

        context = tune(text, initial, loss, self.steps, self.learning_rate, self.weight_decay, self.spare)
        return text.scale * text.prompts.encode(context) @ seen.views[0], None

    def loss(self, logits: Tensor, features: Tensor) -> Tensor:
        """The loss of text features [c, d] that give the confident views the logits [k, c]."""
        return marginal_entropy(logits)

    def explain(self, seen: Evidence, memory: None) -> Mapping[str, Tensor | float]:
        """`kept` and `weight` are of the views that are tuned for; `loss` is before the first step."""
        initial = first_template(seen.text)
        logits = seen.logits(initial)
        rows = confident_rows(seen, self.confident, logits)
        return {
            "kept": rows,
            "weight": shared_weight(len(seen.views), rows),  # in the loss; the plain view alone is classified
            "loss": float(self.loss(logits[rows], initial)),  # before the first step
            "steps": float(self.steps),
            **note_first_template_only(seen.text),
        }


def first_template(text: TextSpace) -> Tensor:
    """[c, d] the features at the initial context. With one template alone they are the label set's features."""
    if text.labels.prompt_count == len(text.labels.names):
        return text.features
    with torch.no_grad():
        return text.prompts.encode(text.prompts.context)


def note_first_template_only(text: TextSpace) -> dict[str, float]:
    """A note for explanations of label sets with more sentences: only the first template is tuned and answers."""
    return {"first_template_only": 1.0} if text.labels.prompt_count > len(text.labels.names) else {}


def tune(
    text: TextSpace,
    initial: Tensor,
    loss: Callable[[Tensor], Tensor],
    steps: int,
    learning_rate: float,
    weight_decay: float = 0.0,
    spare: bool = False,
) -> Tensor:
    """The context [k, w] after `steps` of AdamW on `loss` of the text features [c, d], which are `initial` at first.

    The loss is taken in float64: at scale 100 its slope is a small difference of probabilities near 1. `spare` leaves
    classes whose gradient is negligible out of the first backward pass. A non-finite gradient ends the tuning at the
    last context.
    """
    context = text.prompts.context.detach().clone()
    first, second = torch.zeros_like(context), torch.zeros_like(context)
    for step in range(1, steps + 1):
        if step == 1:
            gradient = text.prompts.gradient(differentiate(loss, initial, spare))
        else:
            with torch.enable_grad():
                moving = context.clone().requires_grad_()
                (gradient,) = torch.autograd.grad(loss(text.prompts.encode(moving).double()), moving)
        if not gradient.isfinite().all():
            break
        adam(context, gradient, first, second, step, learning_rate, weight_decay)
    return context


def differentiate(loss: Callable[[Tensor], Tensor], features: Tensor, spare: bool) -> Tensor:
    """The gradient [c, d] of the loss on the features, zero where it is negligible."""
    with torch.enable_grad():
        moving = features.detach().double().requires_grad_()
        (pull,) = torch.autograd.grad(loss(moving), moving)
    if spare:
        weight, lightest_first = pull.norm(dim=-1).sort()
        lost = weight.cumsum(0) < NEGLIGIBLE * weight[-1]  # their sum, because they may point the same way
        pull[lightest_first[lost]] = 0.0
    return pull.to(features.dtype)
