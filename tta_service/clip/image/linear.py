"""Builds the linear layers of a tower from their weights: as they are, or in 8-bit integers.

An int8 layer has one scale per output of the weight and one per token of the input, which is the token's largest entry.
So no calibration images are needed, and an answer is independent of its batch. Sums of integers are exact in any order
of a kernel (Dettmers et al., 2022, arXiv:2208.07339, §2, "vector-wise").
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Layer = Callable[[Tensor], Tensor]  # x [..., i] -> [..., o]
Make = Callable[[Tensor, Tensor | None], Layer]  # weight [o, i], bias [o]
MOST = 127.0  # the largest magnitude of a signed byte that is used


def plain(weight: Tensor, bias: Tensor | None) -> Layer:
    """x Wᵀ + b in the weight's own precision."""
    return partial(F.linear, weight=weight, bias=bias)


def free_weights_after(make: Make) -> Make:
    """`make`, after which the original weight is freed: only the layer that it built holds it."""

    def make_and_free(weight: Tensor, bias: Tensor | None) -> Layer:
        layer = make(weight, bias)
        weight.data = weight.new_empty(0)
        return layer

    return make_and_free


def quantize(x: Tensor) -> tuple[Tensor, Tensor]:
    """Rows x [n, i] to int8 values [n, i] and float32 scales [n, 1], with x ≈ values · scales."""
    scale = x.abs().amax(1, keepdim=True).float().clamp_min(1e-12) / MOST
    return (x / scale).round().to(torch.int8), scale


class Int8Linear(nn.Module):
    """A layer x Wᵀ + b whose product is in int8, with float32 outside it.

    Stores the weight's bytes [i, o], its scales [o] and the bias [o].
    """

    weight: Tensor
    scale: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        values, scale = quantize(weight.detach())
        self.register_buffer("weight", values.t())
        self.register_buffer("scale", scale.flatten())
        self.register_buffer("bias", torch.zeros_like(self.scale) if bias is None else bias.detach().float())

    def forward(self, x: Tensor) -> Tensor:
        """x [..., i] to [..., o] in the type of x."""
        values, scale = quantize(x.flatten(0, -2))
        sums = torch._int_mm(values, self.weight)  # [n, o] int32
        y = torch.addcmul(self.bias, sums * scale, self.scale)
        return y.to(x.dtype).unflatten(0, x.shape[:-1])


class Int8Weight(nn.Module):
    """A layer with int8 weights and a float32 product, for runtimes that replace both by kernels of their own.

    Stores the weight's bytes [o, i], its scales [o, 1] and the bias [o].
    """

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        values, scale = quantize(weight.detach())
        self.register_buffer("weight", values)
        self.register_buffer("scale", scale)
        self.register_buffer("bias", None if bias is None else bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        """x [..., i] to [..., o] in the type of x."""
        return F.linear(x, self.weight.to(x.dtype) * self.scale, self.bias)
