"""Images, loss and gradient of TPT and C-TPT, from their formulas in float64."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from tta_service import Evidence, TextSpace
from tta_service.maths import unit
from tta_service.strategies.c_tpt import CTPT
from tta_service.strategies.tpt import TPT

from .streams import rounding_error

NAMES = ("cat", "red_car", "photocopier", "great white shark", "xylophone_player", "a tin of paint", "tram")
Tuning = TPT | CTPT


def frames(text: TextSpace, rows: int, count: int, spreading: float = 0.4) -> list[Evidence]:
    """`count` images that choose the same views when text features and logits are rounded to float32."""
    made, seed = [], -1
    while len(made) < count:
        seed += 1
        draw = torch.Generator().manual_seed(seed)
        d = text.features.shape[1]
        plain = text.features[seed % len(text.features)] + 0.5 * torch.randn(d, generator=draw)
        spread = spreading * torch.rand(rows, 1, generator=draw) * torch.randn(rows, d, generator=draw)
        seen = Evidence(unit(plain + spread), text)
        chosen = entropies(seen, text.features).sort().values[: max(2, int(0.3 * rows) + 1)]
        if rows == 1 or float(chosen.diff().min()) >= 4 * rounding_error(text):
            made.append(seen)
        assert seed < 100 * count, "too many images come too close to other views"
    return made


def surest(strategy: Tuning, seen: Evidence, features: Tensor) -> Tensor:
    """The views of lowest entropy, [k]."""
    return entropies(seen, features).argsort(stable=True)[: max(1, int(len(seen.views) * strategy.confident))]


def entropies(seen: Evidence, features: Tensor) -> Tensor:
    """[v] in float64."""
    p = (seen.text.scale * seen.views.double() @ features.detach().double().T).softmax(-1)
    return -(p * p.clamp_min(1e-300).log()).sum(-1)


def loss(strategy: Tuning, seen: Evidence, rows: Tensor, features: Tensor) -> Tensor:
    """Of text features [c, d] of either precision, over these views; as the papers' code writes it."""
    log_p = (seen.text.scale * seen.views[rows].to(features) @ features.T).log_softmax(-1)
    mean = log_p.logsumexp(0) - math.log(len(rows))
    value = -(mean * mean.exp()).sum()
    if isinstance(strategy, CTPT):
        value = value - strategy.dispersion * (features - features.mean(0)).norm(dim=-1).mean()
    return value


def gradient(
    strategy: Tuning, seen: Evidence, rows: Tensor, context: Tensor, encode: Callable[[Tensor], Tensor]
) -> tuple[float, Tensor]:
    """Loss and its gradient on the context [k, w] by autograd, in the precision of context and map."""
    moving = context.clone().requires_grad_()
    value = loss(strategy, seen, rows, encode(moving))
    return float(value.detach()), torch.autograd.grad(value, moving)[0]


def ours(strategy: Tuning, seen: Evidence) -> tuple[Tensor, Tensor]:
    """The gradient on the context that the strategy steps along, and its answer."""
    heard: list[Tensor] = []

    class Listening:
        context = seen.text.prompts.context
        encode = staticmethod(seen.text.prompts.encode)

        @staticmethod
        def gradient(pull):
            heard.append(seen.text.prompts.gradient(pull))
            return heard[0]

    text = TextSpace(seen.text.labels, seen.text.features, seen.text.scale, Listening)
    logits, _ = strategy.adapt(Evidence(seen.views, text), None)
    return heard[0], logits


def off(gradient: Tensor, truth: Tensor) -> float:
    """The largest error as a share of the largest entry."""
    return float((gradient.double() - truth).abs().max() / truth.abs().max())
