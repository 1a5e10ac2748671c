"""The six corruptions of `tta_service/evaluate/corruptions.py` that the bundled model's card is measured under.

No training of ours ever sees them. `apply_shift("fog", 3, pixels)` is the whole interface.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tta_service.evaluate.corruptions import SHIFTS


def apply_shift(name: str, severity: int, pixels: Tensor, seed: int = 0) -> Tensor:
    """Pictures [n, 3, h, w] uint8 at their own size, h = w, and severity 1..5: corrupted, again uint8."""
    shift, strengths = SHIFTS[name]
    if not 1 <= severity <= len(strengths):
        raise ValueError(f"severity is 1 to {len(strengths)}, not {severity}")
    draw = torch.Generator().manual_seed(seed * 1000 + 10 * list(SHIFTS).index(name) + severity)
    return (255 * shift(pixels.float() / 255, strengths[severity - 1], draw)).round().clamp(0, 255).byte()
