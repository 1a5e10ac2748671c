"""How a tower computes its linear layers: as they are, or from what somebody has made of their weights."""

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
    """`make`, behind which the weights exist in the form that it made of them alone."""

    def make_and_free(weight: Tensor, bias: Tensor | None) -> Layer:
        layer = make(weight, bias)
        weight.data = weight.new_empty(0)
        return layer

    return make_and_free
