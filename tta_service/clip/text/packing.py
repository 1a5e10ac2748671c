"""Prompts without their padding: what all rows share once, the rest end to end, rows of one length side by side."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Packing:
    """Where the tokens of m prompts lie in one sequence: the shared start, then every row's own tokens.

    Rows are sorted by length; a group is (first token, rows, tokens per row).
    """

    shared: int  # tokens at the front that all rows begin with
    groups: tuple[tuple[int, int, int], ...]
    places: Tensor  # [t] position of every token in its own prompt
    ends: Tensor  # [m] where in the sequence each row ends, in the order of the sequence
    order: Tensor  # [m] which prompt each row of the sequence is

    def split(self, x: Tensor) -> tuple[Tensor, ...]:
        """The sequence x [t, …] as its shared start and its groups."""
        return x.split([self.shared, *(rows * n for _, rows, n in self.groups)])

    def restore(self, features: Tensor) -> Tensor:
        """Rows [m, d] of the sequence in the order of the prompts."""
        return features[self.order.argsort().to(features.device)]


def pack(lengths: Tensor, shared: int) -> Packing:
    """The packing of prompts of `lengths` [m] tokens, the first `shared` of them alike; each has one of its own."""
    own = lengths - shared
    order = own.argsort(stable=True)
    sizes, counts = own.unique(return_counts=True)  # ascending, as the order is
    groups: list[tuple[int, int, int]] = []
    first = shared
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        groups.append((first, count, size))
        first += size * count
    places = [torch.arange(shared), *(torch.arange(shared, shared + n).repeat(rows) for _, rows, n in groups)]
    return Packing(shared, tuple(groups), torch.cat(places), shared + own[order].cumsum(0) - 1, order)


def count_common_start(tokens: Tensor, lengths: Tensor) -> int:
    """How many first tokens all rows of tokens [m, n] share; each row keeps at least one of its own."""
    alike = (tokens == tokens[:1]).all(0)
    first_other = int(alike.logical_not().nonzero()[0]) if not alike.all() else tokens.shape[1]
    return min(first_other, int(lengths.min()) - 1)


def find_own_places(lengths: Tensor, packing: Packing) -> tuple[Tensor, Tensor]:
    """For every token behind the shared ones: its prompt [t] and its column in that prompt [t]."""
    rows = packing.order.repeat_interleave(lengths[packing.order] - packing.shared)
    return rows, packing.places[packing.shared :]
