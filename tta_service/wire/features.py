"""Image features that the client computed. They are checked and normalised, since our image tower did not make them."""

from __future__ import annotations

import numpy as np
import torch

from ..core.errors import BadImage
from ..core.request import Features
from .server_info import ServerInfo
from .v1 import tta_pb2 as pb


def parse_features(message: pb.Features, server_info: ServerInfo) -> Features:
    """The features [v, d] of a message, unit norm, float32. Raises `BadImage` with a field relative to the message."""
    if message.model != server_info.fingerprint:
        raise BadImage(
            f"these features are of model {message.model!r}; this server's is {server_info.fingerprint}", "model"
        )
    if message.dimension != server_info.dimension:
        raise BadImage(f"dimension is {message.dimension}; the model's is {server_info.dimension}", "dimension")
    if not 1 <= message.views <= server_info.limits.views:
        raise BadImage(f"views is {message.views}; it must be 1 to {server_info.limits.views}", "views")
    expected = message.views * message.dimension * 4
    if len(message.values) != expected:
        raise BadImage(f"{len(message.values)} bytes; views × dimension × 4 is {expected}", "values")
    rows = np.frombuffer(message.values, dtype="<f4").reshape(message.views, message.dimension).astype(np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)  # [v, 1] in double: large finite numbers must not overflow here
    wrong = np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))
    if len(wrong):
        raise BadImage(f"row {wrong[0]} holds a number that is not finite, or is all zeros", "values")
    return Features(torch.as_tensor(rows / norms, dtype=torch.float32))
