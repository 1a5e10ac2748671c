"""The mean over classes of DOTA's covariances: exact, or compact with a few residuals per class.

A class's covariance is (σI + Σ_t y_t δ_t δ_tᵀ) / count, δ the residual about its mean before the frame. The compact
form stores the heavy residuals of each class. The others go into a remainder that all classes share; its total weight
is exact.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

_SIGNIFICANT, _LARGEST = 1e-4, 64  # a frame updates classes above this probability, at most this many


class Exact(NamedTuple):
    """Every class with a covariance of its own, as published."""

    mean: Tensor  # [c, d]
    count: Tensor  # [c]
    covariance: Tensor  # [c, d, d]
    factor: Tensor  # [d, d] Cholesky factor of the shared covariance
    quadratic: Tensor  # [c] ½ meanᵀ precision mean


class Compact(NamedTuple):
    """The same statistics with a few residuals per class and one shared remainder."""

    mean: Tensor  # [c, d]
    count: Tensor  # [c]
    rows: Tensor  # [c, rows, d] residuals
    weight: Tensor  # [c, rows] their probabilities, 0 where free
    touched: Tensor  # [c] the count at the class's last significant frame
    moved: Tensor  # [c] weight that is in the remainder
    dropped: Tensor  # [c] weight of insignificant frames
    remainder: Tensor  # [d, d] float64
    remainder_mass: Tensor  # () float64
    body: Tensor  # [d, d] float64, Σ_c rowsᵀ weight rows / touched
    factor: Tensor  # [d, d] Cholesky factor of the shared covariance
    quadratic: Tensor  # [c] ½ meanᵀ precision mean
    reach: Tensor  # () largest squared norm of a residual


def begin_exact(c: int, d: int, sigma: float) -> Exact:
    """The exact memory of `c` classes and `d` features before the first frame; `sigma` is a variance."""
    mean, count, factor, quadratic = _begin(c, d, sigma)
    return Exact(mean, count, sigma * torch.eye(d).repeat(c, 1, 1), factor, quadratic)


def begin_compact(c: int, d: int, sigma: float, rows: int) -> Compact:
    """The compact memory before the first frame, with room for `rows` residuals per class."""
    mean, count, factor, quadratic = _begin(c, d, sigma)
    square, none = torch.zeros(d, d, dtype=torch.float64), torch.zeros(c)
    empty = torch.zeros(c, rows, d), torch.zeros(c, rows)
    mass, reach = torch.zeros((), dtype=torch.float64), torch.zeros(())
    return Compact(
        mean, count, *empty, count.clone(), none, none.clone(), square, mass, square.clone(), factor, quadratic, reach
    )


def _begin(c: int, d: int, sigma: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    quadratic = torch.full((c,), 0.5 * d * 1e-6 / sigma)
    return torch.full((c, d), 1e-3), torch.ones(c), sigma**0.5 * torch.eye(d), quadratic


def advance_exact(memory: Exact, rows: Tensor, shares: Tensor, sigma: float) -> Tensor:
    """Count rows [k, d] with their class probabilities [k, c]; the mean covariance [d, d] afterwards. In place."""
    after = memory.count + shares.sum(0)
    shared = torch.zeros_like(memory.factor)
    for c, (old, new) in enumerate(zip((memory.count / after).tolist(), (1 / after).tolist())):
        delta = rows - memory.mean[c]
        shared += memory.covariance[c].addmm_((delta * shares[:, c, None]).T, delta, beta=old, alpha=new)
    _advance_means(memory, rows, shares, after)
    return shared / len(after)


def advance_compact(memory: Compact, rows: Tensor, shares: Tensor, sigma: float) -> Tensor:
    """As `advance_exact`, from the compact form; `error_bound` bounds the difference."""
    after = memory.count + shares.sum(0)
    distance = rows.square().sum(-1, keepdim=True) - 2 * rows @ memory.mean.T + memory.mean.square().sum(-1)
    memory.reach.copy_(torch.maximum(memory.reach, distance.max()))
    significant = _significant(shares)  # [k, c]
    memory.dropped.add_((shares * ~significant).sum(0))
    classes = significant.any(0).nonzero().flatten()  # [m]
    change = (1 / after[classes].double() - 1 / memory.touched[classes].double()).float()
    stacked = [memory.rows[classes].flatten(0, 1)]
    factors = [(memory.weight[classes] * change[:, None]).flatten()]
    for row, share, touched in zip(rows, shares, significant):
        own = touched.nonzero().flatten()
        slot = memory.weight[own].argmin(-1)  # a free one, else the lightest
        left, light = memory.rows[own, slot], memory.weight[own, slot]
        residual = row - memory.mean[own]
        memory.rows[own, slot], memory.weight[own, slot] = residual, share[own]
        memory.moved.index_add_(0, own, light)
        memory.remainder_mass.add_(light.sum())
        _add_products(memory.remainder, left, light)
        stacked += [residual, left]
        factors += [share[own] / after[own], -light / after[own]]
    _add_products(memory.body, torch.cat(stacked), torch.cat(factors))
    memory.touched[classes] = after[classes]
    _advance_means(memory, rows, shares, after)
    return shared_covariance(memory, sigma)


def shared_covariance(memory: Compact, sigma: float) -> Tensor:
    """The mean covariance [d, d] in float64."""
    shared = memory.body / len(memory.count)
    if float(memory.remainder_mass) > 0:
        shared += memory.remainder * ((memory.moved / memory.count).mean() / memory.remainder_mass)
    shared.diagonal().add_(sigma * float((1 / memory.count).mean()))
    return shared


def error_bound(memory: Compact) -> float:
    """An upper bound of ‖shared_covariance − the exact mean covariance‖₂.

    No squared residual is larger than `reach`, and moving or dropping weight changes a mean of outer products by at
    most `reach` times that weight.
    """
    return float(memory.reach * ((memory.moved + memory.dropped) / memory.count).mean())


def _advance_means(memory: Exact | Compact, rows: Tensor, shares: Tensor, after: Tensor) -> None:
    memory.mean.mul_((memory.count / after)[:, None]).addmm_(shares.T / after[:, None], rows)
    memory.count.copy_(after)


def _significant(shares: Tensor) -> Tensor:
    """[k, c] bool: the classes that a row updates."""
    among = torch.zeros_like(shares, dtype=torch.bool)
    among.scatter_(1, shares.topk(min(_LARGEST, shares.shape[1]), dim=-1).indices, True)
    return among & (shares > _SIGNIFICANT)


def _add_products(square: Tensor, rows: Tensor, factors: Tensor) -> None:
    """Add Σ factor·row·rowᵀ to the float64 square [d, d]."""
    used = factors != 0
    rows = rows[used]
    weighted, step = rows * factors[used, None], 128
    for i in range(0, len(square) if len(rows) else 0, step):  # block rows, up to the diagonal
        product = weighted[:, i : i + step].T @ rows[:, : i + step]
        square[i : i + step, : i + step] += product
        square[:i, i : i + step] += product[:, :i].T
