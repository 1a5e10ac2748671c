"""What lessons `taught` works on: where they lie, and which of them show the same moment."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ...maths import unit

_SAME = 0.98  # cosine above which two lessons of a class show the same moment,
_SAME_SOON = 0.95  # or above which they do if they were seen within
_SOON = 2.0  # seconds
_UNLIKE, _LIKE = 0.2, 0.7  # cosines up to which a picture is unlike a lesson, and from which it is like it
_FEW = 4.0  # so many lessons hardly tell about pictures unlike them
_FAR = 0.3  # distance from the centre beyond which only the direction counts


class Lessons(NamedTuple):
    """Examples with a class, in one space."""

    at: Tensor  # [n, d + 1] as `place` puts them
    label: Tensor  # [n]
    moment: Tensor  # [n] int64; lessons of one moment are of one class, and count for one together
    share: Tensor  # [n] one by the lessons of the moment


class Elsewhere(NamedTuple):
    """The lessons of other sites: of each class what they sum up to, as rows of that kind, and how many there are."""

    sums: Tensor  # [c, d + 1]
    count: Tensor  # [c]


def place(features: Tensor, centre: Tensor) -> Tensor:
    """[…, d] unit features to […, d + 1] unit rows: the direction from the centre, where that is far.

    What is near, as all pictures of a camera that nothing passes, is alike: how it differs may be noise, or the light.
    There the last coordinate, which is 0 for what is far, takes the place of the direction.
    """
    away = features - centre
    away = away / away.norm(dim=-1, keepdim=True).clamp(min=_FAR)
    return torch.cat([away, (1 - away.square().sum(-1, keepdim=True)).clamp(min=0).sqrt()], -1)


def place_text(features: Tensor) -> Tensor:
    """[c, d + 1] unit rows around their mean, far from the centre."""
    return torch.nn.functional.pad(unit(features - features.mean(0)), (0, 1))


def elsewhere(total: Tensor, count: Tensor, centre: Tensor) -> Elsewhere:
    """From the sums [c, d] of their unit features; all are taken to be equally far from the centre [d]."""
    number = count.sum().clamp(min=1)
    far = (1 - 2 * (total.sum(0) / number) @ centre + centre @ centre).clamp(min=0).sqrt()
    size, scale = count.to(total.dtype)[:, None], far.clamp(min=_FAR)
    near = (1 - (far / scale).square()).clamp(min=0).sqrt()
    return Elsewhere(torch.cat([(total - size * centre) / scale, size * near], 1), size[:, 0])


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


def fewness(number: float) -> float:
    """From 1 without a lesson to 0 with many, by the moments that there are lessons of.

    Few tell about pictures like one of them only: a person who corrects one answer has said nothing about the others.
    """
    few = math.exp(-((number / _FEW) ** 2))
    return few if few > 1e-3 else 0.0


def likeness(nearest: Tensor) -> float:
    """From 0 to 1, of a picture to the nearest lesson, by the cosine [] of their places."""
    return min(1.0, max(0.0, (float(nearest) - _UNLIKE) / (_LIKE - _UNLIKE)))


def shares(features: Tensor) -> Tensor:
    """[n] one by the number of those that look the same."""
    return 1 / (features @ features.T > _SAME).sum(1).clamp(min=1).float()


def centre(
    mean: Tensor, frames: int, lessons: Tensor, label: Tensor, share: Tensor, total: Tensor, number: Tensor
) -> Tensor:
    """[d] from the mean of so many frames, and lessons [n, d] of the classes [n], which count as frames by `share`.

    Of lessons elsewhere there are the sums [c, d] and the number [c].
    """
    count = number.double().index_add(0, label, share.double())
    of_class = total.double().index_add(0, label, (share[:, None] * lessons).double())
    balanced = (of_class / count.clamp(min=1e-6)[:, None]).sum(0) / (count > 0).sum().clamp(min=1)
    counted = frames * mean.double() + count.sum() * balanced
    return (counted / (frames + count.sum()).clamp(min=1)).float()
