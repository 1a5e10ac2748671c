"""Made-up pictures."""

from __future__ import annotations

import torch
from data import Pictures


def pictures(count: int, side: int, classes: int) -> Pictures:
    draw = torch.Generator().manual_seed(count)
    pixels = torch.randint(256, (count, 3, side, side), dtype=torch.uint8, generator=draw)
    names = tuple(f"thing {i}" for i in range(classes))
    return Pictures(pixels, torch.arange(count) % classes, names, tuple((name,) for name in names))
