"""Explanations: from core values to messages."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..core.request import Explanation
from .v1 import tta_pb2 as pb
from .well_known import to_struct


def make_explanation(explanation: Explanation) -> pb.Explanation:
    """One entry for each view, its box where the server cut it, and what the strategy adds."""
    views = [
        pb.ViewExplanation(entropy=nats, kept=kept, weight=weight, label_index=label)
        for nats, kept, weight, label in zip(
            *map(to_list, (explanation.entropy, explanation.kept, explanation.weight, explanation.label))
        )
    ]
    if cut := explanation.views:
        for view, box, flipped in zip(views, to_list(cut.boxes), to_list(cut.flipped)):
            view.left, view.top, view.width, view.height = box
            view.flipped = flipped
    message = pb.Explanation(views=views, tokens_left=explanation.tokens_left, strategy=to_struct(explanation.notes))
    if found := explanation.token_map:
        message.token_map.side = found.side
        message.token_map.attention.extend(to_list(found.attention))
        message.token_map.tokens.extend(to_list(found.tokens))
    return message


def to_list(column: Tensor) -> list[Any]:
    """A tensor [v, …] on the CPU as Python lists."""
    return column.numpy().tolist()
