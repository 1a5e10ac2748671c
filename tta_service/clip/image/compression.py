"""Approximates linear layers by low rank or by pruning. Both use the weights only, at start and without images."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from .linear import Layer, Make


@dataclass(frozen=True, slots=True)
class Compression:
    """How linear layers are approximated; at most one field is set."""

    rank: int = 0  # of the layers; 0: full rank
    ratio: float = 0.0  # fraction of all weights that is set to zero


AS_IT_IS = Compression()


def parse_compression(text: str) -> Compression:
    """The compression of "svd:RANK" or "prune:RATIO"; "" is none. Raises ValueError for any other text."""
    if not text:
        return AS_IT_IS
    if svd := re.fullmatch(r"svd:([1-9]\d{0,4})", text):
        return Compression(rank=int(svd[1]))
    if (cut := re.fullmatch(r"prune:(\d?\.\d+)", text)) and 0 < float(cut[1]) < 1:
        return Compression(ratio=float(cut[1]))
    raise ValueError(f"compress is svd:RANK or prune:RATIO with a ratio between 0 and 1, not {text!r}")


def low_rank(rank: int, make: Make) -> Make:
    """Layers of two thin factors, the best approximation of that rank (Eckart and Young, 1936): W ≈ U Uᵀ W with the
    first left singular vectors U, or W ≈ W V Vᵀ where that is the smaller problem.

    A layer for which two factors would be no smaller stays whole. `make` builds the resulting layers.
    """

    def make_low_rank(weight: Tensor, bias: Tensor | None) -> Layer:
        outputs, inputs = weight.shape
        if rank * (outputs + inputs) >= outputs * inputs:
            return make(weight, bias)
        w = weight.detach().double()
        if outputs <= inputs:
            wide = torch.linalg.eigh(w @ w.T).eigenvectors[:, -rank:]  # ascending
            thin = wide.T @ w
        else:
            thin = torch.linalg.eigh(w.T @ w).eigenvectors[:, -rank:].T
            wide = w @ thin.T
        first = make(thin.to(weight.dtype).contiguous(), None)
        second = make(wide.to(weight.dtype).contiguous(), bias)
        weight.data = weight.new_empty(0)  # the factors replace it
        return lambda x: second(first(x))

    return make_low_rank


def prune_smallest(weights: Sequence[Tensor], ratio: float) -> None:
    """Set the fraction `ratio` of all these weights with the smallest magnitude to zero, in place.

    Global and unstructured: one threshold for all layers. The zeros stay in dense tensors, so neither memory nor time
    is saved; the result shows how many weights the answers depend on.
    """
    holders: list[Any] = [nn.ParameterDict({"weight": nn.Parameter(weight.detach(), False)}) for weight in weights]
    prune.global_unstructured([(holder, "weight") for holder in holders], prune.L1Unstructured, amount=ratio)
    for weight, holder in zip(weights, holders, strict=True):
        weight.data.copy_(holder.weight)
