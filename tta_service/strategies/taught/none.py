"""How likely it is that a picture shows none of the classes, from lessons that said so of others.

Such lessons need not be alike, so the nearest one counts and not their mean: p = σ(b · (v · cosine to it − likeness of
the picture to its class − s)), averaged over b, v and s by the leave-one-moment-out likelihood of all lessons.
"""

from __future__ import annotations

import torch
from torch import Tensor

_SLOPES = (4.0, 8.0, 16.0, 32.0)  # b
_NEAREST = (0.0, 0.5, 1.0)  # v
_SHIFTS = tuple(i / 10 for i in range(-6, 7))  # s
NONE_SHAPE = len(_SLOPES), len(_NEAREST), len(_SHIFTS)


def choose_none(of_class: tuple[Tensor, Tensor], of_none: tuple[Tensor, Tensor], share: Tensor) -> Tensor:
    """The weight [b, v, s] of every rule; they sum to 1.

    The two are likeness and nearest cosine of the lessons of a class, and of those of none, of which `share` counts.
    """
    against = torch.nn.functional.logsigmoid(-_odds(share, *of_class)).sum(0)
    for_it = (share[:, None, None, None] * torch.nn.functional.logsigmoid(_odds(share, *of_none))).sum(0)
    return (0.5 * (against + for_it)).flatten().softmax(0).view(NONE_SHAPE)


def probability_of_none(weight: Tensor, likeness: Tensor, nearest: Tensor) -> Tensor:
    """() of a picture with that likeness to its class, and cosine to the nearest lesson of none."""
    return (weight * _odds(weight, likeness, nearest).sigmoid()).sum()


def _odds(like: Tensor, likeness: Tensor, nearest: Tensor) -> Tensor:
    """[…, b, v, s] log-odds of none."""
    slope, near, shift = (like.new_tensor(one) for one in (_SLOPES, _NEAREST, _SHIFTS))
    score = near[:, None] * nearest[..., None, None] - likeness[..., None, None] - shift
    return slope[:, None, None] * score[..., None, :, :]
