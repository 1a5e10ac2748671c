"""Muon: momentum made orthogonal before each step, for the matrices.

Jordan et al. 2024, https://kellerjordan.github.io/posts/muon; the scale of the step after Liu et al., arXiv:2502.16982.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from together import Together, alone
from torch import Tensor
from torch.nn import Parameter


def orthogonal(x: Tensor, steps: int = 5) -> Tensor:
    """The matrices x [m, r, c] with singular values driven to about 1, by Newton-Schulz iterations of degree five."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = x.shape[-2] > x.shape[-1]
    y = (x.mT if tall else x).bfloat16()
    y = y / (y.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        square = y @ y.mT
        y = a * y + (b * square + c * square @ square) @ y
    return (y.mT if tall else y).float()


class Muon(torch.optim.Optimizer):
    """For parameters of two or more dimensions; a convolution counts as the matrix [outputs, inputs x area].

    Workers that train together each make some of the matrices orthogonal.
    """

    def __init__(
        self, params: Iterable[Parameter], lr: float, weight_decay: float = 0.0, together: Together | None = None
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": 0.95, "weight_decay": weight_decay})
        self.together = together or alone()

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            alike: dict[tuple[int, int], list[Parameter]] = defaultdict(list)  # equal shapes share one product
            for p in group["params"]:
                alike[(p.shape[0], p[0].numel())].append(p)
            stacks = [torch.stack([self._direction(p, group["momentum"]) for p in ps]) for ps in alike.values()]
            mine = [orthogonal(stack[self.together.rank :: self.together.world]) for stack in stacks]
            self.together.share(stacks, mine)
            for (shape, ps), stack in zip(alike.items(), stacks, strict=True):
                size = 0.2 * max(shape) ** 0.5  # the size of a step of AdamW
                for p, update in zip(ps, stack, strict=True):
                    p.mul_(1 - group["lr"] * group["weight_decay"])
                    p.sub_(update.reshape(p.shape), alpha=group["lr"] * size)

    def _direction(self, p: Parameter, momentum: float) -> Tensor:
        """Nesterov's: the gradient drawn towards its running mean, as a matrix."""
        assert p.grad is not None
        velocity = self.state[p].setdefault("velocity", torch.zeros_like(p))
        velocity.lerp_(p.grad, 1 - momentum)
        return p.grad.lerp(velocity, momentum).reshape(p.shape[0], -1)
