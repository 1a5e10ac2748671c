"""Linear layers in 8-bit integers: one scale per output of the weight, one per token of the input.

A token's scale is its own largest entry, so that neither calibration pictures are needed nor does an answer depend on
who shares the batch; and sums of integers are exact, in whatever order a kernel takes them (Dettmers et al., 2022,
arXiv:2208.07339, §2, "vector-wise").
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .linear import Layer

MOST = 127.0  # of a signed byte, either way


def quantize(x: Tensor) -> tuple[Tensor, Tensor]:
    """Rows x [n, i] as bytes [n, i] and the float32 scales [n, 1] that give them back."""
    scale = x.abs().amax(1, keepdim=True).float().clamp_min(1e-12) / MOST
    return (x / scale).round().to(torch.int8), scale


def int8(weight: Tensor, bias: Tensor | None) -> Layer:
    """x Wᵀ + b in bytes, float32 outside; weight [o, i], bias [o]."""
    return Int8Linear(weight.detach(), bias)


class Int8Linear(nn.Module):
    """What is kept: the weight's bytes as [i, o], its scales [o] and the bias [o]."""

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
    """The weight in bytes and the product in float32, for runtimes that bring their own kernels for it."""
    return Int8Weight(weight.detach(), bias)


class Int8Weight(nn.Module):
    """What is kept: the weight's bytes [o, i], its scales [o, 1] and the bias [o]."""

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
