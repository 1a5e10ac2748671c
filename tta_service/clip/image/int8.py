"""Linear layers in 8-bit integers: one scale per output of the weight, one per token of the input.

The scale of a token is its largest entry. So no calibration images are needed, and an answer is independent of its
batch. Sums of integers are exact in any order of a kernel (Dettmers et al., 2022,
arXiv:2208.07339, §2, "vector-wise").
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .linear import Layer

MOST = 127.0  # the largest magnitude of a signed byte that is used


def quantize(x: Tensor) -> tuple[Tensor, Tensor]:
    """Rows x [n, i] to int8 values [n, i] and float32 scales [n, 1], with x ≈ values · scales."""
    scale = x.abs().amax(1, keepdim=True).float().clamp_min(1e-12) / MOST
    return (x / scale).round().to(torch.int8), scale


def int8(weight: Tensor, bias: Tensor | None) -> Layer:
    """A layer x Wᵀ + b whose product is in int8, with float32 outside it; weight [o, i], bias [o]."""
    return Int8Linear(weight.detach(), bias)


class Int8Linear(nn.Module):
    """A linear layer with an int8 product. Stores the weight's bytes [i, o], its scales [o] and the bias [o]."""

    weight: Tensor
    scale: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        values, scale = quantize(weight)
        self.register_buffer("weight", values.t())
        self.register_buffer("scale", scale.flatten())
        self.register_buffer("bias", torch.zeros_like(self.scale) if bias is None else bias.detach().float())

    def forward(self, x: Tensor) -> Tensor:
        """x [..., i] to [..., o] in the type of x."""
        values, scale = quantize(x.flatten(0, -2))
        sums = torch._int_mm(values, self.weight)  # [n, o] int32
        y = torch.addcmul(self.bias, sums * scale, self.scale)
        return y.to(x.dtype).unflatten(0, x.shape[:-1])


def int8_weight(weight: Tensor, bias: Tensor | None) -> Layer:
    """A layer with int8 weights and a float32 product, for runtimes that replace both by kernels of their own."""
    return Int8Weight(weight.detach(), bias)


class Int8Weight(nn.Module):
    """A linear layer with int8 weights. Stores the weight's bytes [o, i], its scales [o, 1] and the bias [o]."""

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        values, scale = quantize(weight)
        self.register_buffer("weight", values)
        self.register_buffer("scale", scale)
        self.register_buffer("bias", None if bias is None else bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        """x [..., i] to [..., o] in the type of x."""
        return F.linear(x, self.weight.to(x.dtype) * self.scale, self.bias)
