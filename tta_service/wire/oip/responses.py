"""Answers become tensors, in the order that they were asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ...core.request import Report
from ..v1 import open_inference_pb2 as oip
from ..v1 import tta_pb2 as pb
from .models import EMBED, VERSION
from .requests import InferRequest, Output
from .tensors import add_floats, add_texts

Answer = tuple[pb.ClassifyResponse, Report]


def make_infer_response(request: InferRequest, answers: Sequence[Answer]) -> oip.ModelInferResponse:
    """The reply to a request, from the answer of each of its pictures."""
    reply = oip.ModelInferResponse(model_name=request.model, model_version=VERSION, id=request.id)
    for output in request.outputs:
        if output.classes:
            add_texts(reply, output.name, [_classify(output, *answer) for answer in answers])
        elif "label" in output.name:
            add_texts(reply, output.name, [[score.label for score in _top(output, answer)] for answer in answers])
        else:
            add_floats(reply, output.name, [_numbers(output, *answer) for answer in answers])
    for name, value in _facts(answers).items() if request.model != EMBED else ():
        _set(reply.parameters[name], value)
    return reply


def _top(output: Output, answer: Answer) -> Sequence[pb.Score]:
    return answer[0].zero_shot if output.name.startswith("zero_shot") else answer[0].top


def _numbers(output: Output, response: pb.ClassifyResponse, report: Report) -> ArrayLike:
    """One row of an output, [n]."""
    if output.name == "embedding":
        assert report.feature is not None
        return report.feature.float().numpy()
    if output.name == "scores":
        return report.scores.values
    return [score.score for score in _top(output, (response, report))]


def _classify(output: Output, response: pb.ClassifyResponse, report: Report) -> list[str]:
    """The best classes as "score:index:label"; equal ones in the order of the label set."""
    plain = output.name.startswith("zero_shot")
    logits, scores = (report.zero_shot, report.zero_shot_scores) if plain else (report.logits, report.scores)
    best: list[int] = np.argsort(-logits.double().numpy(), kind="stable")[: output.classes].tolist()
    names = report.request.labels.names
    return [f"{scores.values[index]:f}:{index}:{names[index]}" for index in best]


def _facts(answers: Sequence[Answer]) -> dict[str, str | int | bool]:
    """What the tensors cannot hold, as far as it is the same for all pictures; `degraded` if any is."""
    facts = [_facts_of(*answer) for answer in answers]
    if len(facts) == 1:
        return facts[0]
    same = {name: value for name, value in facts[0].items() if all(one.get(name) == value for one in facts)}
    degraded = next((one["degraded"] for one in facts if "degraded" in one), None)
    return same if degraded is None else {**same, "degraded": degraded}


def _facts_of(response: pb.ClassifyResponse, report: Report) -> dict[str, str | int | bool]:
    less: dict[str, Any] = {}
    if report.degraded:
        less = {"degraded": report.degraded.reason, "views_asked": report.degraded.views_asked}
    flags = {name: True for name in ("escalated", "guarded", "asked") if getattr(response, name)}
    return {
        "strategy": report.strategy.name,
        "views": report.views,
        "label_set": response.label_set_id,
        "session_frames": response.session.frames,
        **({"example_id": response.example_id} if response.example_id else {}),
        **flags,
        **less,
    }


def _set(parameter: oip.InferParameter, value: str | int | bool) -> None:
    if isinstance(value, bool):
        parameter.bool_param = value
    elif isinstance(value, int):
        parameter.int64_param = value
    else:
        parameter.string_param = value
