"""Answers: from core values to the wire. The one softmax of the house is taken here."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..core.errors import ModelFault
from ..core.reducer import Reducer, Reduction
from ..core.request import Degraded, Explanation, Report, SessionStatus
from ..core.strategy import Strategy
from .server_info import ServerInfo
from .v1 import tta_pb2 as pb
from .well_known import to_struct

Numbers = NDArray[np.float64]
SCOPES = {
    "all": pb.Reduction.SCOPE_ALL_VIEWS,
    "augmented": pb.Reduction.SCOPE_AUGMENTED,
    "two_looks": pb.Reduction.SCOPE_TWO_LOOKS,
}
REASONS = {
    "deadline": pb.Degraded.REASON_DEADLINE,
    "overload": pb.Degraded.REASON_OVERLOAD,
    "memory": pb.Degraded.REASON_MEMORY,
}
ORIGINS = {
    "fresh": pb.SessionStatus.ORIGIN_FRESH,
    "continued": pb.SessionStatus.ORIGIN_CONTINUED,
    "restored": pb.SessionStatus.ORIGIN_RESTORED,
}


def make_response(report: Report, top_k: int, server_info: ServerInfo) -> pb.ClassifyResponse:
    names, logits = report.request.labels.names, to_array(report.logits)
    scores = softmax(logits)
    message = pb.ClassifyResponse(
        top=top_scores(logits, scores, names, top_k),
        zero_shot=top_scores(plain := to_array(report.zero_shot), softmax(plain), names, top_k),
        entropy=entropy(scores),
        strategy=make_choice(report.strategy),
        escalated=report.escalated,
        timings=pb.Timings(**report.seconds),
        batch_rows=report.batch_rows,
        session=make_session_status(report.session),
        label_set_id=report.request.labels.id,
        request_id=report.request.request_id,
        reduction=make_reduction(report.request.reduction),
        views=report.views,
        model=server_info.model,
        unseen=report.unseen,
    )
    if report.degraded:
        message.degraded.CopyFrom(make_degraded(report.degraded))
    if report.explanation and report.request.explain:  # some are made unasked, for metrics
        message.explanation.CopyFrom(make_explanation(report.explanation))
    return message


def to_array(logits: Tensor) -> Numbers:
    """Logits [c] in double. -inf is a score of nothing; NaN, +inf, or nothing at all is no answer."""
    values = logits.double().numpy()
    if np.isnan(values).any() or not np.isfinite(values.max()):
        raise ModelFault("the strategy's answer is not a number")
    return values


def softmax(logits: Numbers) -> Numbers:
    """[c] to [c], summing to 1."""
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


def entropy(scores: Numbers) -> float:
    """Nats; nothing has no surprise."""
    some = scores[scores > 0]
    return float(abs(some @ np.log(some)))


def top_scores(logits: Numbers, scores: Numbers, names: tuple[str, ...], top_k: int) -> list[pb.Score]:
    """Best first, equal ones in the order of the label set."""
    best: list[int] = np.argsort(-logits, kind="stable")[:top_k].tolist()
    return [pb.Score(index=i, label=names[i], score=float(scores[i]), logit=float(logits[i])) for i in best]


def make_choice(instance: Strategy[Any] | Reducer) -> pb.Choice:
    return pb.Choice(name=instance.name, parameters=to_struct(asdict(instance)))  # type: ignore[call-overload]


def make_reduction(reduction_done: Reduction) -> pb.Reduction:
    return pb.Reduction(reducer=make_choice(reduction_done.reducer), scope=SCOPES[reduction_done.scope])


def make_degraded(degradation: Degraded) -> pb.Degraded:
    return pb.Degraded(
        reason=REASONS[degradation.reason],
        views_asked=degradation.views_asked,
        views_done=degradation.views_done,
        zero_shot=degradation.zero_shot,
    )


def make_session_status(status: SessionStatus) -> pb.SessionStatus:
    return pb.SessionStatus(
        session_id=status.id,
        origin=ORIGINS[status.origin],
        frames=status.frames,
        memory_bytes=status.memory_bytes,
        memory_reset=status.memory_reset,
        last_frame_id=status.last_frame_id,
    )


def make_explanation(explained: Explanation) -> pb.Explanation:
    """Features made on the device come without boxes."""
    views = [
        pb.ViewExplanation(entropy=nats, kept=kept, weight=weight, label_index=label)
        for nats, kept, weight, label in zip(
            *map(to_list, (explained.entropy, explained.kept, explained.weight, explained.label))
        )
    ]
    if explained.views:
        for view, box, flipped in zip(views, to_list(explained.views.boxes), to_list(explained.views.flipped)):
            view.left, view.top, view.width, view.height = box
            view.flipped = flipped
    return pb.Explanation(views=views, tokens_left=explained.tokens_left, strategy=to_struct(explained.notes))


def to_list(column: Tensor) -> list[Any]:
    return column.numpy().tolist()
