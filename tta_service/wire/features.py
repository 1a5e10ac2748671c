"""Image embeddings made on the device: checked and normalised at the door, since no tower vouches for them."""

from __future__ import annotations

import numpy as np
import torch

from ..core.errors import BadImage
from ..core.request import Features
from .server_info import Terms
from .v1 import tta_pb2 as pb


def features_of(message: pb.Features, terms: Terms) -> Features:
    """[v, d] unit norm float32. Raises `BadImage` whose field is relative to the message."""
    if message.model != terms.fingerprint:
        raise BadImage(f"these features are of model {message.model!r}; this server's is {terms.fingerprint}", "model")
    if message.dimension != terms.dimension:
        raise BadImage(f"dimension is {message.dimension}; the model's is {terms.dimension}", "dimension")
    if not 1 <= message.views <= terms.limits.views:
        raise BadImage(f"views is {message.views}; it must be 1 to {terms.limits.views}", "views")
    expected = message.views * message.dimension * 4
    if len(message.values) != expected:
        raise BadImage(f"{len(message.values)} bytes; views × dimension × 4 is {expected}", "values")
    rows = np.frombuffer(message.values, dtype="<f4").reshape(message.views, message.dimension).astype(np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)  # [v, 1] in double: large finite numbers must not overflow here
    wrong = np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))
    if len(wrong):
        raise BadImage(f"row {wrong[0]} holds a number that is not finite, or is all zeros", "values")
    return Features(torch.as_tensor(rows / norms, dtype=torch.float32))
