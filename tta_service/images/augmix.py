"""AugMix at severity 1: an image mixed with three chains of operations. Hendrycks et al., ICLR 2020, arXiv:1912.02781.

TPT and its successors mix normalised floats. The weights sum to one, so mixing before the normalisation is equivalent
up to the rounding to uint8, at most half a grey level.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

CHAINS, LONGEST = 3, 3
DRAWS = 1 + CHAINS * (
    2 + 3 * LONGEST
)  # m; then of each chain its weight, its length, and (operation, level, sign) a link
Picture = Image.Image


def mix(view: Tensor, draws: NDArray[np.float64]) -> Tensor:
    """One view [3, s, s] uint8 and its draws [DRAWS] to a view of the same shape."""
    picture = Image.fromarray(view.permute(1, 2, 0).contiguous().numpy())
    own, chains = draws[0], draws[1:].reshape(CHAINS, -1)  # Beta(1, 1) is uniform
    share = -np.log1p(-chains[:, 0])  # exponential draws divided by their sum are Dirichlet(1, 1, 1)
    share = share / max(share.sum(), 1e-12)
    total = np.float32(own) * np.asarray(picture)
    for weight, (length, *links) in zip(share, chains[:, 1:]):
        total += np.float32((1 - own) * weight) * np.asarray(_chain(picture, int(LONGEST * length) + 1, links))
    return torch.from_numpy(np.rint(total).clip(0, 255).astype(np.uint8)).permute(2, 0, 1)


def _chain(picture: Picture, length: int, links: list[float]) -> Picture:
    for link in range(length):
        operation, level, sign = links[3 * link : 3 * link + 3]
        apply = OPERATIONS[int(operation * len(OPERATIONS))]
        picture = apply(picture, 0.1 + 0.9 * level, -1 if sign > 0.5 else 1)
    return picture


def _shear(picture: Picture, across: float, down: float) -> Picture:
    """Pixel (x, y) shows what was at (x + across · y, y + down · x); black beyond the border."""
    matrix = (1, across, 0, down, 1, 0)
    return picture.transform(picture.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)


def _shift(picture: Picture, across: int, down: int) -> Picture:
    return picture.crop((across, down, picture.width + across, picture.height + down))  # black beyond the border


def _pixels(picture: Picture, level: float) -> int:
    return int(picture.width / 30 * level)  # severity 1 of 10 of a third of the side


OPERATIONS: tuple[Callable[[Picture, float, int], Picture], ...] = (
    lambda picture, level, sign: ImageOps.autocontrast(picture),
    lambda picture, level, sign: ImageOps.equalize(picture),
    lambda picture, level, sign: ImageOps.posterize(picture, 4),
    lambda picture, level, sign: picture.rotate(sign * int(3 * level), Image.Resampling.BILINEAR),
    lambda picture, level, sign: ImageOps.solarize(picture, 256 - int(25.6 * level)),
    lambda picture, level, sign: _shear(picture, sign * 0.03 * level, 0),
    lambda picture, level, sign: _shear(picture, 0, sign * 0.03 * level),
    lambda picture, level, sign: _shift(picture, sign * _pixels(picture, level), 0),
    lambda picture, level, sign: _shift(picture, 0, sign * _pixels(picture, level)),
)
