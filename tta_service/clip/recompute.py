"""Cheap steps whose inner values are computed again in the backward pass instead of being kept for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def recompute(run: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """`run(*inputs)`, of which a backward pass keeps the inputs alone. `run` is a pure function of them."""
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
