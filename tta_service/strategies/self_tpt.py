"""Self-TPT, reduced to what needs no source data: prompts tuned once per label set by contrast between its own names.
After Zhu et al., 2024, arXiv:2408.05775.

Published: soft prompts adapted to new class names by contrasting several prompts of the same name, starting from
prompts trained on labelled images. There is no public code, and much is undisclosed. Everything else here is ours: the
start at the label set's first template, three fixed sentences beside the tuned one, the loss weights, the steps. No
published number is claimed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from ..core.catalogue import register_strategy
from ..core.evidence import Evidence
from ..core.labels import TextSpace
from ..core.strategy import Needs, Scope, Strategy
from ..maths import unit
from .tpt import first_template, tune

_SENTENCES = ("itap of a {}.", "a picture showing a {}.", "a close-up photo of a {}.")
_TWINS = 1e-5  # rounding changes features of the same tokens by less


class Prototypes(NamedTuple):
    """One tuned text feature for each class."""

    features: Tensor  # [c, d] unit norm


@register_strategy("self_tpt")
@dataclass(frozen=True)
class SelfTPT(Strategy[Prototypes]):
    """Tunes when a label set is first used. After that, an answer costs as much as zero-shot.

    With 0 steps it is the ensemble of four sentences. Compare with that to see what tuning adds.
    """

    steps: Annotated[int, Ge(0), Le(10), "gradient steps, once per label set"] = 10
    learning_rate: Annotated[float, Ge(0), Le(1), "of Adam"] = 5e-3
    temperature: Annotated[float, Gt(0), Le(100), "of the contrast"] = 0.07

    def needs(self) -> Needs:
        """One view; a memory that all sessions of a label set share."""
        return Needs(memory=Scope.LABELS)

    def begin(self, text: TextSpace) -> Prototypes:
        """Tunes the first template by `contrast`, then averages it with the fixed sentences."""
        fixed = torch.stack([text.embed(text.labels.prompts(sentence)) for sentence in _SENTENCES])  # [3, c, d]

        def loss(features: Tensor) -> Tensor:
            return contrast(features.float(), fixed, self.temperature)  # float64 would be slow for [3, c, c]

        initial = first_template(text)
        alike = (initial - initial[0]).abs().amax() < _TWINS  # equal classes have no contrast
        if self.steps and not alike:
            initial = text.prompts.encode(tune(text, initial, loss, self.steps, self.learning_rate))
        return Prototypes(unit(initial + fixed.sum(0)))

    def adapt(self, seen: Evidence, memory: Prototypes) -> tuple[Tensor, Prototypes]:
        """The plain view against the prototypes."""
        return seen.text.scale * memory.features @ seen.views[0], memory


def contrast(features: Tensor, fixed: Tensor, temperature: float) -> Tensor:
    """Mean over fixed sentences [m, c, d] of the symmetric cross-entropy of features [c, d] for their own class."""
    similar = features @ fixed.transpose(1, 2) / temperature  # [m, c, c]
    own = similar.diagonal(dim1=1, dim2=2)
    return (0.5 * (similar.logsumexp(1) + similar.logsumexp(2)) - own).mean()
