"""Recomputes the inner values of cheap steps in the backward pass, instead of storing them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def recompute(run: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """`run(*inputs)`, which must be pure. Only the inputs are stored for the backward pass."""
    if not torch.is_grad_enabled() or not any(x.requires_grad for x in inputs):
        return run(*inputs)
    return _Recompute.apply(run, *inputs)  # type: ignore[no-any-return]


class _Recompute(torch.autograd.Function):
    @staticmethod
    def forward(node: Any, run: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        node.run = run
        node.save_for_backward(*inputs)
        return run(*inputs)

    @staticmethod
    @once_differentiable
    def backward(node: Any, d_out: Tensor) -> tuple[Tensor | None, ...]:
        with torch.enable_grad():
            again = [x.detach().requires_grad_() for x in node.saved_tensors]
            return None, *torch.autograd.grad(node.run(*again), again, d_out)
