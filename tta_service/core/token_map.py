"""Where the image tower looked, and which patches it took for one."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class TokenMap:
    """The patches of the plain view, row by row of a square grid."""

    attention: Tensor  # [p] float32, what the features are made of looks at each; sums to 1
    tokens: Tensor  # [p] int64, patches of one number are one token after the last reduction; -1: left out

    @property
    def side(self) -> int:
        """Patches in a row."""
        return round(len(self.tokens) ** 0.5)
