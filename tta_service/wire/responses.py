"""Responses: from reports to messages. The scores of a response are the softmax of its logits, taken here."""

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
    """The response to a request, with its best `top_k` scores. Raises `ModelFault` for logits without a finite one."""
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
    if report.explanation and report.request.explain:  # the engine explains some other answers too, for metrics
        message.explanation.CopyFrom(make_explanation(report.explanation))
    return message


def to_array(logits: Tensor) -> Numbers:
    """Logits [c] as float64. Single ones may be -inf. Raises `ModelFault` for NaN, +inf, or when all are -inf."""
    values = logits.double().numpy()
    if np.isnan(values).any() or not np.isfinite(values.max()):
        raise ModelFault("the strategy's answer is not a number")
    return values


def softmax(logits: Numbers) -> Numbers:
    """Logits [c] to scores [c] that sum to 1."""
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


def entropy(scores: Numbers) -> float:
    """The entropy of scores [c] in nats, with 0 ln 0 = 0."""
    positive = scores[scores > 0]
    return float(abs(positive @ np.log(positive)))


def top_scores(logits: Numbers, scores: Numbers, names: tuple[str, ...], top_k: int) -> list[pb.Score]:
    """The best `top_k` scores, equal ones in the order of the label set."""
    best: list[int] = np.argsort(-logits, kind="stable")[:top_k].tolist()
    return [pb.Score(index=i, label=names[i], score=float(scores[i]), logit=float(logits[i])) for i in best]


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
