"""What lessons `taught` works on: where they lie, and which of them show the same moment."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

_SAME = 0.98  # cosine above which two lessons of a class show the same moment,
_SAME_SOON = 0.95  # or above which they do if they were seen within
_SOON = 2.0  # seconds
_SPREAD, _PRIOR = 0.3, 0.5  # usual variance of unit features, all directions together, and the frames it counts for


class Lessons(NamedTuple):
    """Examples with a class, in one space."""

    at: Tensor  # [n, d] unit rows around the centre
    label: Tensor  # [n]
    moment: Tensor  # [n] int64; lessons of one moment are of one class, and count for one together
    share: Tensor  # [n] one by the lessons of the moment


class Elsewhere(NamedTuple):
    """The lessons of other sites: of each class what they sum up to, as rows of that kind, and how many there are."""

    sums: Tensor  # [c, d]
    count: Tensor  # [c]


def elsewhere(total: Tensor, count: Tensor, centre: Tensor) -> Elsewhere:
    """From the sums [c, d] of their unit features; around the centre [d] these are taken to be equally long."""
    number = count.sum().clamp(min=1)
    squared = 1 - 2 * (total.sum(0) / number) @ centre + centre @ centre
    size = count.to(total.dtype)
    return Elsewhere((total - size[:, None] * centre) / squared.clamp(min=1e-6).sqrt(), size)


def moments(features: Tensor, seen: Tensor, filled: Tensor) -> Tensor:
    """[c, s] the moment of every filled slot: lessons that look the same belong to it, directly or through others.

    Seconds alone do not tell, because a batch of different pictures may arrive at once.
    """
    alike, soon = features @ features.mT, (seen[:, None] - seen[:, :, None]).abs() <= _SOON
    same = ((alike > _SAME) | ((alike > _SAME_SOON) & soon)) & filled[:, None] & filled[:, :, None]
    c, s = filled.shape
    none = c * s
    moment = torch.arange(none, device=filled.device).view(c, s)
    while True:
        least = torch.where(same, moment[:, None], none).amin(-1).minimum(moment)
        if torch.equal(least, moment):
            return moment
        moment = least


def shares(features: Tensor) -> Tensor:
    """[n] one by the number of those that look the same."""
    return 1 / (features @ features.T > _SAME).sum(1).clamp(min=1).float()


def centre(
    mean: Tensor, frames: int, lessons: Tensor, label: Tensor, share: Tensor, total: Tensor, number: Tensor
) -> Tensor:
    """[d] from the mean of so many frames, and lessons [n, d] of the classes [n], which count as frames by `share`.

    Of lessons elsewhere there are the sums [c, d] and the number [c].

    Pictures that hardly differ, as of a camera that nothing passes, tell what they all show and not where the centre of
    the features lies. Their mean is drawn to 0, or what is left of a picture would be its noise.
    """
    count = number.double().index_add(0, label, share.double())
    of_class = total.double().index_add(0, label, (share[:, None] * lessons).double())
    balanced = (of_class[count > 0] / count[count > 0, None]).mean(0)
    n = frames + float(count.sum())
    middle = (frames * mean.double() + count.sum() * balanced) / n
    spread = (n * (1 - middle.square().sum()).clamp(min=0) + _PRIOR * _SPREAD) / (n - 1 + _PRIOR)
    return (middle * spread**2 / (spread**2 + (1 - _SAME) ** 2)).float()
