"""ZERO: the confident views vote at zero temperature. Farina et al., NeurIPS 2024, arXiv:2405.18330."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Gt, Le
from torch import Tensor
from torch.nn.functional import one_hot

from ..core.catalogue import register_strategy
from ..core.evidence import Evidence
from ..core.strategy import Agreement, Augment, Needs, Stateless, ViewCount
from ..maths import (
    confident_count,
    confident_rows,
    doubt_per_round,
    entropy,
    lead_is_settled,
    round_sizes,
    shared_weight,
)

_EPSILON = torch.finfo(torch.float32).eps  # "zero" as the published code has it


@register_strategy("zero")
@dataclass(frozen=True)
class Zero(Stateless):
    """One view, one vote; the answer is the log of the counts, −inf for no votes.

    A tie goes to the surest discarded view that votes for one of the tied classes, else to the tied class with the
    largest summed probability over the kept views. `compat` is the published code run in float32: votes by a softmax
    at machine epsilon, and its other fallback, whose mask indexes classes from the end.
    """

    views: ViewCount = 64
    keep: Annotated[float, Gt(0), Le(1), "fraction of views that vote, by lowest entropy"] = 0.3
    augment: Augment = "crop"
    agreement: Agreement = 1.0
    compat: Annotated[bool, "the published temperature and last resort"] = False

    def needs(self) -> Needs:
        """Its views, of which `keep` vote."""
        rounds = round_sizes(self.views, self.agreement)
        return Needs(views=self.views, augment=self.augment, confident=self.keep, rounds=rounds)

    def is_settled(self, seen: Evidence, views: int) -> bool:
        """By the votes of the views that are confident so far."""
        logits = seen.logits()
        votes = one_hot(logits[confident_rows(seen, self.keep, logits)].argmax(-1), logits.shape[1]).float()
        doubt = doubt_per_round(self.views, self.agreement)
        return lead_is_settled(votes, self.adapt(seen, None)[0], confident_count(views, self.keep), doubt)

    def adapt(self, seen: Evidence, memory: None) -> tuple[Tensor, None]:
        """ln of the votes for each class; a broken tie counts as one vote more."""
        cosines = seen.views @ seen.text.features.T  # [v, c]
        logits = seen.text.scale * cosines
        kept = confident_rows(seen, self.keep, logits)
        votes = self._votes(cosines[kept])
        tied = (votes == votes.max()).nonzero().flatten()
        if len(tied) > 1:
            votes[self._break_ties(tied, cosines, logits, kept)] += 1
        return votes.log(), None

    def explain(self, seen: Evidence, memory: None) -> Mapping[str, Tensor | float]:
        """`kept` are the views that vote, `weight` their equal shares."""
        kept = confident_rows(seen, self.keep)
        return {"kept": kept, "weight": shared_weight(len(seen.views), kept)}

    def _votes(self, cosines: Tensor) -> Tensor:
        """The votes [c] for each class of views [k, c]."""
        if self.compat:
            return (cosines / _EPSILON).softmax(-1).sum(0)
        return cosines.argmax(-1).bincount(minlength=cosines.shape[1]).float()

    def _break_ties(self, tied: Tensor, cosines: Tensor, logits: Tensor, kept: Tensor) -> int:
        """The class among the `tied` ones that gets one more vote."""
        by_entropy = entropy(logits).argsort(stable=True)
        discarded = by_entropy[~torch.isin(by_entropy, kept)]
        tops = cosines[discarded].argmax(-1)
        willing = tops[torch.isin(tops, tied)]
        if len(willing):
            return int(willing[0])
        if self.compat and len(discarded):
            return int(cosines[discarded[0]].index_fill(0, cosines.shape[1] - 1 - tied, -torch.inf).argmax())
        return int(tied[logits[kept].softmax(-1).sum(0)[tied].argmax()])
