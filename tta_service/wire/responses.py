"""Responses: from reports to messages, of single calls and of streams."""

from __future__ import annotations

import math
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from ..core.caution import CautionKind
from ..core.errors import ModelFault, TTAError
from ..core.reducer import Reducer, Reduction
from ..core.request import Report, Scores, SessionStatus
from ..core.strategy import Strategy
from ..core.trust import Calibrate
from .explanations import make_explanation
from .requests import ParsedRequest
from .server_info import ServerInfo
from .status import to_status
from .stream_requests import Frame
from .v1 import tta_pb2 as pb
from .well_known import to_duration, to_struct

Reply = pb.ClassifyStreamResponse

SCOPES = {
    "all": pb.Reduction.SCOPE_ALL_VIEWS,
    "augmented": pb.Reduction.SCOPE_AUGMENTED,
    "two_looks": pb.Reduction.SCOPE_TWO_LOOKS,
}
REASONS = {
    "deadline": pb.Degraded.REASON_DEADLINE,
    "overload": pb.Degraded.REASON_OVERLOAD,
    "disabled": pb.Degraded.REASON_DISABLED,
}
CAUTIONS = {
    CautionKind.FEW_CLASSES: pb.Warning.KIND_FEW_CLASSES,
    CautionKind.FOREIGN: pb.Warning.KIND_FOREIGN,
    CautionKind.UNTAUGHT_NAMES: pb.Warning.KIND_UNTAUGHT_NAMES,
}
ORIGINS = {
    "fresh": pb.SessionStatus.ORIGIN_FRESH,
    "continued": pb.SessionStatus.ORIGIN_CONTINUED,
    "restored": pb.SessionStatus.ORIGIN_RESTORED,
}
METHODS: dict[Calibrate, pb.Calibrate] = {
    "none": pb.CALIBRATE_NONE,
    "zero_shot_range": pb.CALIBRATE_ZERO_SHOT_RANGE,
    "lessons": pb.CALIBRATE_LESSONS,
}
DECISIONS = {
    "answer": pb.DECISION_ANSWER,
    "defer": pb.DECISION_DEFER,
    "none_of_these": pb.DECISION_NONE_OF_THESE,
}


def make_response(report: Report, top_k: int, server_info: ServerInfo) -> pb.ClassifyResponse:
    """The response to a request, with its best `top_k` scores. Raises `ModelFault` for logits without a finite one."""
    names, reduction = report.request.labels.names, report.request.reduction
    scores, plain = report.scores, report.zero_shot_scores
    if math.isnan(scores.entropy + plain.entropy):
        raise ModelFault("the strategy's answer is not a number")
    top = top_scores(scores, names, top_k)
    message = pb.ClassifyResponse(
        top=top,
        zero_shot=top if plain is scores else top_scores(plain, names, top_k),
        entropy=scores.entropy,
        strategy=make_choice(report.strategy),
        escalated=report.escalated,
        guarded=report.guarded,
        timings=pb.Timings(**report.seconds),
        batch_rows=report.batch_rows,
        session=make_session_status(report.session),
        label_set_id=report.request.labels.id,
        request_id=report.request.request_id,
        reduction=make_reduction(reduction),
        views=report.views,
        model=server_info.model,
        unseen=report.unseen,
        example_id=report.example_id,
        asked=report.asked,
        confidence=make_confidence(report),
        warnings=[pb.Warning(kind=CAUTIONS[one.kind], message=one.message) for one in report.cautions],
    )
    if less := report.degraded:
        message.degraded.reason, message.degraded.zero_shot = REASONS[less.reason], less.zero_shot
        message.degraded.views_asked, message.degraded.views_done = less.views_asked, less.views_done
    if report.explanation and report.request.explain:  # the engine explains some other answers too, for metrics
        message.explanation.CopyFrom(make_explanation(report.explanation))
    return message


def top_scores(scores: Scores, names: tuple[str, ...], top_k: int) -> list[pb.Score]:
    """The best `top_k` scores, equal ones in the order of the label set."""
    best: list[int] = (-scores.logits).argsort(kind="stable")[:top_k].tolist()
    rows = zip(best, scores.values[best].tolist(), scores.logits[best].tolist(), strict=True)
    return [pb.Score(index=index, label=names[index], score=score, logit=logit) for index, score, logit in rows]


@lru_cache(256)
def make_choice(instance: Strategy[Any] | Reducer) -> pb.Choice:
    """The name of a strategy or reducer, with all its parameters. Equal ones share the message: do not change it."""
    return pb.Choice(name=instance.name, parameters=to_struct(asdict(instance)))  # type: ignore[call-overload]


@lru_cache(256)
def make_reduction(reduction: Reduction) -> pb.Reduction:
    """The reducer with all its parameters, and the scope. Shared as in `make_choice`."""
    return pb.Reduction(reducer=make_choice(reduction.reducer), scope=SCOPES[reduction.scope])


def make_session_status(status: SessionStatus) -> pb.SessionStatus:
    """The state of the session after the answer."""
    return pb.SessionStatus(
        session_id=status.id,
        origin=ORIGINS[status.origin],
        frames=status.frames,
        memory_bytes=status.memory_bytes,
        memory_reset=status.memory_reset,
        last_frame_id=status.last_frame_id,
        lessons_set_apart=status.lessons_set_apart,
    )


def make_confidence(report: Report) -> pb.Confidence | None:
    """How far the report's answer can be trusted; None if nobody has judged it."""
    trust, names = report.trust, report.request.labels.names
    if trust is None:
        return None
    return pb.Confidence(
        confidence=trust.confidence,
        method=METHODS[trust.method],
        lessons=trust.lessons,
        cosine=trust.cosine,
        cosine_quantile=trust.cosine_quantile,
        decision=DECISIONS[trust.decision],
        prediction_set=trust.prediction_set,
        guaranteed=trust.guaranteed,
        stable_label="" if trust.stable is None else names[trust.stable],
        changed=trust.changed,
    )


def make_answer(frame: Frame, report: Report, dropped: int, server_info: ServerInfo) -> Reply:
    """The answer to a frame, after `dropped` frames that got none."""
    assert isinstance(frame.parsed, ParsedRequest)
    response = make_response(report, frame.parsed.top_k, server_info)
    reply = pb.FrameAnswer(frame_id=frame.id, dropped_since_last=dropped, response=response)
    if frame.captured:
        reply.capture_time.CopyFrom(frame.captured)
    return Reply(answer=reply)


def drop_repeated_unseen(reply: Reply, label_set_id: str) -> str:
    """Clear an answer's `unseen` when the answer before it had the same label set, whose id is `label_set_id`.

    Returns the label set id of this reply, or `label_set_id` when it is no answer.
    """
    if reply.WhichOneof("kind") != "answer":
        return label_set_id
    if reply.answer.response.label_set_id == label_set_id:
        reply.answer.response.ClearField("unseen")
    return reply.answer.response.label_set_id


def make_failure(frame: Frame, error: TTAError) -> Reply:
    """The error of one frame; the stream goes on."""
    return Reply(error=pb.FrameError(frame_id=frame.id, status=to_status(error)))


def make_status(session: SessionStatus, credits: int, fps: float, load: float) -> Reply:
    """The stream's status: `credits` frames fit now without a drop, `fps` were served lately, `load` is in seconds."""
    status = pb.StreamStatus(credits=credits, suggested_fps=fps, load=load, session=make_session_status(session))
    return Reply(status=status)


def make_draining(seconds: float, token: bytes) -> Reply:
    """The notice that the server stops in `seconds`; `token` resumes the stream elsewhere."""
    return Reply(draining=pb.Draining(deadline=to_duration(seconds), resume_token=token))
