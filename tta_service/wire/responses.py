"""Responses: from reports to messages."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np
from torch import Tensor

from ..core.errors import ModelFault
from ..core.reducer import Reducer, Reduction
from ..core.request import Degraded, Explanation, Report, SessionStatus
from ..core.scores import Scores
from ..core.strategy import Strategy
from .server_info import ServerInfo
from .v1 import tta_pb2 as pb
from .well_known import to_struct

SCOPES = {
    "all": pb.Reduction.SCOPE_ALL_VIEWS,
    "augmented": pb.Reduction.SCOPE_AUGMENTED,
    "two_looks": pb.Reduction.SCOPE_TWO_LOOKS,
}
REASONS = {
    "deadline": pb.Degraded.REASON_DEADLINE,
    "overload": pb.Degraded.REASON_OVERLOAD,
}
ORIGINS = {
    "fresh": pb.SessionStatus.ORIGIN_FRESH,
    "continued": pb.SessionStatus.ORIGIN_CONTINUED,
    "restored": pb.SessionStatus.ORIGIN_RESTORED,
}


def make_response(report: Report, top_k: int, server_info: ServerInfo) -> pb.ClassifyResponse:
    """The response to a request, with its best `top_k` scores. Raises `ModelFault` for logits without a finite one."""
    names, scores, plain = report.request.labels.names, report.scores, report.zero_shot_scores
    if math.isnan(scores.entropy + plain.entropy):
        raise ModelFault("the strategy's answer is not a number")
    message = pb.ClassifyResponse(
        top=top_scores(report.logits, scores, names, top_k),
        zero_shot=top_scores(report.zero_shot, plain, names, top_k),
        entropy=scores.entropy,
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
    if report.explanation and report.request.explain:  # the engine explains some other answers too, for metrics
        message.explanation.CopyFrom(make_explanation(report.explanation))
    return message


def top_scores(logits: Tensor, scores: Scores, names: tuple[str, ...], top_k: int) -> list[pb.Score]:
    """The best `top_k` scores, equal ones in the order of the label set."""
    numbers = logits.double().numpy()
    best: list[int] = np.argsort(-numbers, kind="stable")[:top_k].tolist()
    return [pb.Score(index=i, label=names[i], score=float(scores.values[i]), logit=float(numbers[i])) for i in best]


def make_choice(instance: Strategy[Any] | Reducer) -> pb.Choice:
    """The name of a strategy or reducer, with all its parameters."""
    return pb.Choice(name=instance.name, parameters=to_struct(asdict(instance)))  # type: ignore[call-overload]


def make_reduction(reduction: Reduction) -> pb.Reduction:
    """The reducer and the views to which it applies."""
    return pb.Reduction(reducer=make_choice(reduction.reducer), scope=SCOPES[reduction.scope])


def make_degraded(degradation: Degraded) -> pb.Degraded:
    """Why the answer used fewer views, or no adaptation, and how many views."""
    return pb.Degraded(
        reason=REASONS[degradation.reason],
        views_asked=degradation.views_asked,
        views_done=degradation.views_done,
        zero_shot=degradation.zero_shot,
    )


def make_session_status(status: SessionStatus) -> pb.SessionStatus:
    """The state of the session after the answer."""
    return pb.SessionStatus(
        session_id=status.id,
        origin=ORIGINS[status.origin],
        frames=status.frames,
        memory_bytes=status.memory_bytes,
        memory_reset=status.memory_reset,
        last_frame_id=status.last_frame_id,
    )


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
    return pb.Explanation(views=views, tokens_left=explanation.tokens_left, strategy=to_struct(explanation.notes))


def to_list(column: Tensor) -> list[Any]:
    """A tensor [v, …] on the CPU as Python lists."""
    return column.numpy().tolist()
