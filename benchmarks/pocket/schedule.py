"""What is shown when, and how fast the tower learns from it: phases of growing pictures, one cycle of the rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

WARM = 0.02  # share of the cycle


@dataclass(frozen=True, slots=True)
class Phase:
    until: float  # share of the cycle's views
    side: int  # pixels
    smallest: float  # area of a crop; 0: the service's own views
    plain: float = 0.0  # share of whole pictures among the service's views


FIRST = (Phase(0.62, 32, 0.25), Phase(0.8, 48, 0.12), Phase(1.0, 64, 0.0, 0.15))
# For a tower that knows much already: smaller crops at every size, in the end crops alone.
AGAIN = (Phase(0.47, 32, 0.15), Phase(0.69, 48, 0.08), Phase(0.82, 64, 0.0, 0.05), Phase(1.0, 64, 0.0))
SMALL, LARGE = (Phase(1.0, 32, 0.25),), (Phase(1.0, 64, 0.0, 0.15),)  # for short comparisons
CYCLES = {"first": FIRST, "again": AGAIN, "small": SMALL, "large": LARGE}


def phase_at(phases: Sequence[Phase], share: float) -> Phase:
    """The phase when `share` of the cycle is over."""
    return next((phase for phase in phases if share < phase.until), phases[-1])


def set_rate(steps: Sequence[torch.optim.Optimizer], lr: float, share: float) -> None:
    """Warm-up, then straight down to almost nothing; `share` of the cycle is over."""
    for group in (group for optimiser in steps for group in optimiser.param_groups):
        group["lr"] = lr * min(share / WARM, (1 - share) / (1 - WARM) + 1e-3)
