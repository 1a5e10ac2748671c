"""Packs prompts into one sequence without padding: their common start once, then the rest, sorted by length."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Packing:
    """The positions of m prompts' tokens in one sequence: the shared start, then each row's own tokens.

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
    """The packing of prompts of `lengths` [m] tokens with `shared` equal first tokens; each has at least one more."""
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
    """The number of equal first tokens of all rows [m, n], such that each row has at least one other token."""
    alike = (tokens == tokens[:1]).all(0)
    first_other = int(alike.logical_not().nonzero()[0]) if not alike.all() else tokens.shape[1]
    return min(first_other, int(lengths.min()) - 1)


def find_own_places(lengths: Tensor, packing: Packing) -> tuple[Tensor, Tensor]:
    """For each token after the shared ones: its prompt [t] and its column in that prompt [t]."""
    rows = packing.order.repeat_interleave(lengths[packing.order] - packing.shared)
    return rows, packing.places[packing.shared :]
