"""A report made of real strategies, labels and requests."""

from __future__ import annotations

import torch
from torch import Tensor

from tta_service.core.catalogue import reducers, strategies
from tta_service.core.caution import Caution
from tta_service.core.labels import LabelSet
from tta_service.core.reducer import Reduction
from tta_service.core.request import STAGES, Degraded, Encoded, Report, Request, SessionStatus

ZERO_SHOT = torch.tensor([2.0, 1.0, 0.0])


def make_report(
    logits: Tensor = ZERO_SHOT,
    zero_shot: Tensor = ZERO_SHOT,
    policy: str = "",
    degraded: Degraded | None = None,
    unseen: tuple[str, ...] = (),
    cautions: tuple[Caution, ...] = (),
) -> Report:
    """An answer after 0.08 s, 0.01 s in each stage."""
    names = tuple(f"thing {i}" for i in range(len(logits)))
    strategy = strategies.build("zero_shot")
    request = Request(
        Encoded(b""),
        LabelSet(names),
        strategy,
        Reduction(reducers.build("none")),
        session="gate",
        policy=policy,
        request_id="r7",
    )
    seconds = dict.fromkeys(STAGES, 0.01) | {"total": 0.08}
    session = SessionStatus("gate", frames=1)
    return Report(
        request, strategy, logits, zero_shot, 16, seconds, 16, session, degraded, unseen=unseen, cautions=cautions
    )
