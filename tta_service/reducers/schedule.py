"""The number of patch tokens after each block. Reducers with the same `keep` have the same cost."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Annotated

from annotated_types import Ge, Le

Keep = Annotated[float, Ge(0.1), Le(1), "fraction of the patch tokens that passes each of three stages"]


def places(layers: int) -> tuple[int, int, int]:
    """The blocks of the three stages: a quarter, half and three quarters of the depth, where EViT has them.

    In a tower so shallow that the third would be its last block, where a reduction saves nothing, all are one earlier.
    """
    early = 1 if 3 * layers // 4 >= layers - 1 else 0
    first, second, third = (max(0, stage * layers // 4 - early) for stage in (1, 2, 3))
    return first, second, third


def staged_count(patches: int, layer: int, layers: int, keep: float) -> int:
    """Patch tokens after block `layer` of `layers`, of `patches` before it: at each stage ceil(keep · patches)."""
    for _ in range(places(layers).count(layer)):
        patches = _share(patches, keep)
    return patches


def gradual_count(patches: int, layer: int, layers: int, keep: float) -> int:
    """As `staged_count`, for methods that reduce a little after every block, at about the same multiply-adds."""
    return max(1, round(rate(keep, layers) * patches)) if layer < layers - 1 else patches


@lru_cache(maxsize=256)
def rate(keep: float, layers: int) -> float:
    """The fraction that passes every block of a gradual schedule which costs as much as the staged one."""
    stages, low, high = places(layers), 0.0, 1.0
    wanted = _cost([keep ** stages.count(layer) for layer in range(layers)])
    for _ in range(50):  # bisection: cost grows with the rate
        middle = (low + high) / 2
        low, high = (middle, high) if _cost([middle] * (layers - 1) + [1.0]) < wanted else (low, middle)
    return 1.0 if keep == 1.0 else high


def _cost(passing: list[float]) -> float:
    """Multiply-adds in units of w² and one patch: 4 before the reduction of each block, 8 after it.

    The cost is taken as linear in tokens. At 197 tokens of width 768 the quadratic part is four per cent.
    """
    left, cost = 1.0, 0.0
    for fraction in passing:
        cost += 4 * left + 8 * left * fraction
        left *= fraction
    return cost


def _share(patches: int, keep: float) -> int:
    return max(1, math.ceil(keep * patches - 1e-9))  # 0.7 · 10 is a little more than 7
