"""The fingerprint of a model. Equal fingerprints mean equal features."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor, nn


def fingerprint_of(model: nn.Module, mean: Tensor, std: Tensor, *more: object) -> str:
    """32 hex digits over architecture, weights, the mean and deviation of pixels, and `more` that changes features."""
    heads = [m.num_heads for m in model.modules() if isinstance(getattr(m, "num_heads", None), int)]  # not in the repr
    digest = hashlib.sha256(f"{model!r} {heads} {more}".encode())
    for key, value in (("mean", mean), ("std", std), *sorted(model.state_dict().items())):
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:32]
