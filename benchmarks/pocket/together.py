"""Several processes of one thread each train one tower: they meet twice a step, in shared memory.

Two threads in one process wait for each other in every operation, and oneDNN spins while it waits: beside other work on
the same cores that cost up to three times the time (550 to 1750 core-ms a step). Processes meet rarely and sleep.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from threading import Barrier

import torch
from torch import Tensor


@dataclass(frozen=True)
class Together:
    """One of `world` workers. `board` [world, n] is shared, at least as long as all that is exchanged at once."""

    rank: int
    world: int
    board: Tensor
    barrier: Barrier

    def mean(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over the workers."""
        if self.world == 1:
            return
        places = self._places(tensors)
        for tensor, place in zip(tensors, places, strict=True):
            self.board[self.rank, place] = tensor.flatten()
        self.barrier.wait()
        for tensor, place in zip(tensors, places, strict=True):
            tensor.copy_(self.board[:, place].mean(0).view(tensor.shape))
        self.barrier.wait()  # all have read

    def share(self, stacks: Sequence[Tensor], mine: Sequence[Tensor]) -> None:
        """Fill stacks [m, r, c] whose rows rank, rank + world, … this worker has computed, `mine`, from all workers."""
        if self.world == 1:
            for stack, part in zip(stacks, mine, strict=True):
                stack.copy_(part)
            return
        places = self._places(stacks)
        for stack, part, place in zip(stacks, mine, places, strict=True):
            self.board[0, place].view(stack.shape)[self.rank :: self.world] = part
        self.barrier.wait()
        for stack, place in zip(stacks, places, strict=True):
            stack.copy_(self.board[0, place].view(stack.shape))
        self.barrier.wait()  # all have read

    @staticmethod
    def _places(tensors: Sequence[Tensor]) -> list[slice]:
        ends = accumulate((tensor.numel() for tensor in tensors), initial=0)
        return [slice(start, end) for start, end in pairwise(ends)]


def alone() -> Together:
    return Together(0, 1, torch.empty(0), Barrier(1))
