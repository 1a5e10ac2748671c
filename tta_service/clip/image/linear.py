"""Builds the linear layers of a tower from their weights; compression and int8 are other builders."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

Layer = Callable[[Tensor], Tensor]  # x [..., i] -> [..., o]
Make = Callable[[Tensor, Tensor | None], Layer]  # weight [o, i], bias [o]


def plain(weight: Tensor, bias: Tensor | None) -> Layer:
    """x Wᵀ + b in the weight's own precision."""
    return lambda x: F.linear(x, weight, bias)


def free_weights_after(make: Make) -> Make:
    """`make`, after which the original weight is freed: only the layer that it built holds it."""

    def make_and_free(weight: Tensor, bias: Tensor | None) -> Layer:
        layer = make(weight, bias)
        weight.data = weight.new_empty(0)
        return layer

    return make_and_free
