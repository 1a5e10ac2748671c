"""Plain CLIP: the answer without adaptation. Radford et al., ICML 2021, arXiv:2103.00020."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..core.catalogue import register_strategy
from ..core.evidence import Evidence
from ..core.strategy import Stateless


@register_strategy("zero_shot")
@dataclass(frozen=True)
class ZeroShot(Stateless):
    """The plain view against the text features."""

    def predict(self, seen: Evidence, memory: None) -> tuple[Tensor, None]:
        """scale · t·f of the plain view f and each text feature t."""
        return seen.logits()[0], None
