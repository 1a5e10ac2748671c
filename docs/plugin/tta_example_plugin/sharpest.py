"""Sharpest view: trust the single most certain view. You, 2026, https://example.org."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le
from torch import Tensor

from tta_service import Evidence, Needs, Stateless, register_strategy
from tta_service.maths import confident_rows


@register_strategy("sharpest")
@dataclass(frozen=True)
class Sharpest(Stateless):
    """Its fields are the parameters of a request, checked against these bounds."""

    views: Annotated[int, Ge(1), Le(512)] = 16

    def needs(self) -> Needs:
        """As many views as the request asks for."""
        return Needs(views=self.views)

    def adapt(self, seen: Evidence, memory: None) -> tuple[Tensor, None]:
        """The logits [c] of the view with the lowest entropy."""
        return seen.logits()[confident_rows(seen, 1e-9)[0]], None
