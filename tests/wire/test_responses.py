"""From a report to a response: scores sum to one, order is stable, and nothing is NaN."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tta_service.core import catalogue
from tta_service.core.errors import ModelFault
from tta_service.core.evidence import Views
from tta_service.core.labels import LabelSet
from tta_service.core.reducer import Reduction
from tta_service.core.request import STAGES, Degraded, Encoded, Explanation, Report, Request, SessionStatus
from tta_service.core.token_map import TokenMap
from tta_service.wire.responses import make_response
from tta_service.wire.server_info import ServerInfo
from tta_service.wire.v1 import tta_pb2 as pb

TERMS = ServerInfo(model="fake", fingerprint="f" * 32, image_size=32, dimension=64)


def report(logits: list[float], zero_shot: list[float] | None = None, **more) -> Report:
    strategy = catalogue.strategies.build("zero_shot")
    labels = LabelSet(tuple(f"label {i}" for i in range(len(logits))))
    request = Request(Encoded(b"x"), labels, strategy, Reduction(catalogue.reducers.build("none")), request_id="r1")
    return Report(
        request=request,
        strategy=strategy,
        logits=torch.tensor(logits),
        zero_shot=torch.tensor(zero_shot or [0.0] * len(logits)),
        views=more.pop("views", 1),
        seconds={**dict.fromkeys(STAGES, 0.25), "total": 2.0},
        batch_rows=7,
        session=SessionStatus("s1", "continued", 3, 64, True, 9),
        **more,
    )


def test_best_first_with_the_zero_shot_answer_beside_it():
    response = make_response(report([1.0, 3.0, 2.0], [5.0, 0.0, 0.0]), 2, TERMS)
    assert [score.label for score in response.top] == ["label 1", "label 2"]
    assert response.zero_shot[0].label == "label 0"
    weights = [math.exp(x) for x in (1.0, 3.0, 2.0)]
    assert response.top[0].score == pytest.approx(weights[1] / sum(weights), rel=1e-6)
    assert response.top[0].logit == 3.0
    assert (response.label_set_id, response.request_id, response.model) == (
        report([0.0] * 3).request.labels.id,
        "r1",
        "fake",
    )
    assert response.timings.decode == 0.25 and response.timings.total == 2.0
    assert (response.batch_rows, response.views) == (7, 1)
    assert not response.HasField("degraded") and not response.HasField("explanation")


def test_equal_scores_keep_the_order_of_the_labels():
    assert [score.index for score in make_response(report([2.0] * 9), 9, TERMS).top] == list(range(9))


def test_more_scores_than_labels_are_all_labels():
    assert len(make_response(report([1.0, 2.0]), 4_000_000_000, TERMS).top) == 2


def test_a_logit_of_minus_infinity_has_a_score_of_zero():
    response = make_response(report([-math.inf, 2.0, -math.inf]), 3, TERMS)
    assert [score.score for score in response.top] == [1.0, 0.0, 0.0]
    assert response.top[1].logit == -math.inf
    assert response.entropy == 0.0


def test_one_class_is_certain():
    response = make_response(report([-50.0]), 5, TERMS)
    assert response.top[0].score == 1.0 and response.entropy == 0.0


@pytest.mark.parametrize("logits", [[math.nan, 1.0], [math.inf, 1.0], [-math.inf, -math.inf]])
def test_logits_that_are_not_an_answer_are_refused(logits):
    with pytest.raises(ModelFault):
        make_response(report(logits), 5, TERMS)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1, max_size=50))
def test_any_finite_logits_make_a_distribution(logits):
    response = make_response(report(logits), len(logits), TERMS)
    scores = [score.score for score in response.top]
    assert sum(scores) == pytest.approx(1.0, abs=1e-5)
    assert scores == sorted(scores, reverse=True)
    assert 0.0 <= response.entropy <= math.log(len(logits)) + 1e-5


def test_the_strategy_is_echoed_with_all_its_parameters():
    response = make_response(report([1.0, 2.0]), 5, TERMS)
    assert response.strategy.name == "zero_shot"
    assert response.reduction.reducer.name == "none"
    assert response.reduction.scope == pb.Reduction.SCOPE_ALL_VIEWS


def test_a_degraded_answer_says_so():
    response = make_response(report([1.0, 2.0], degraded=Degraded("overload", 64, 8)), 5, TERMS)
    assert response.degraded.reason == pb.Degraded.REASON_OVERLOAD
    assert (response.degraded.views_asked, response.degraded.views_done, response.degraded.zero_shot) == (64, 8, False)


def test_the_response_has_the_session():
    status = make_response(report([1.0, 2.0]), 5, TERMS).session
    assert status == pb.SessionStatus(
        session_id="s1",
        origin=pb.SessionStatus.ORIGIN_CONTINUED,
        frames=3,
        memory_bytes=64,
        memory_reset=True,
        last_frame_id=9,
    )


@pytest.mark.parametrize("with_views", [True, False])
def test_an_explanation_has_a_line_for_each_view(with_views):
    boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.25, 0.5, 0.5, 0.25]])
    why = Explanation(
        views=Views(torch.zeros(2, 3, 4, 4, dtype=torch.uint8), boxes, torch.tensor([False, True]))
        if with_views
        else None,
        entropy=torch.tensor([0.5, 1.5]),
        label=torch.tensor([1, 0]),
        kept=torch.tensor([True, False]),
        weight=torch.tensor([0.75, 0.25]),
        notes={"fill": 0.5, "loss": math.nan},
        tokens_left=(49, 25),
        token_map=TokenMap(torch.tensor([0.5, 0.25, 0.25, 0.0]), torch.tensor([0, 1, 1, -1])),
    )
    done = report([1.0, 2.0], explanation=why)
    assert not make_response(done, 5, TERMS).HasField(
        "explanation"
    )  # it was made for metrics; the caller did not ask for it
    explanation = make_response(replace(done, request=replace(done.request, explain=True)), 5, TERMS).explanation
    assert [view.kept for view in explanation.views] == [True, False]
    assert [view.label_index for view in explanation.views] == [1, 0]
    assert [view.weight for view in explanation.views] == [0.75, 0.25]
    assert explanation.views[1].left == (0.25 if with_views else 0.0)
    assert explanation.views[1].flipped is with_views
    assert list(explanation.tokens_left) == [49, 25]
    assert explanation.token_map.side == 2 and list(explanation.token_map.tokens) == [0, 1, 1, -1]
    assert list(explanation.token_map.attention) == [0.5, 0.25, 0.25, 0.0]
    assert dict(explanation.strategy.items()) == {"fill": 0.5}  # what is not finite has no place in JSON
