"""A strategy that is switched off: zero-shot answers in its place, says so, and leaves its memory as it is."""

from __future__ import annotations

import math
import time

import pytest
import torch

from tests.serving.harness import harness, make_request
from tta_service.core.errors import BadParameters, UnknownStrategy
from tta_service.core.request import Cascade, Degraded
from tta_service.serving.pipeline.switches import StrategySwitches
from tta_service.settings import Defaults, Settings
from tta_service.strategies.mean import Mean
from tta_service.strategies.tda import TDA
from tta_service.strategies.zero_shot import ZeroShot


@pytest.mark.parametrize("seconds", [math.inf, 3600.0])
async def test_zero_shot_answers_and_the_memory_waits(seconds: float) -> None:
    async with harness() as running, harness() as other:
        answers = []
        for seed in (1, 2, 3):
            running.switches.set("tda", seed != 2)
            request = make_request(seed, TDA(), session="cam", deadline=time.monotonic() + seconds)
            answers.append(await running.engine.classify(request))
        await other.engine.classify(make_request(1, TDA(), session="cam"))
        expected = await other.engine.classify(make_request(3, TDA(), session="cam"))
    first, off, on = answers
    assert off.degraded == Degraded("disabled", 1, 1, zero_shot=True) and off.strategy == ZeroShot()
    assert torch.equal(off.logits, off.zero_shot) and first.degraded is None
    assert on.degraded is None and torch.allclose(on.logits, expected.logits)  # as if the second had not been
    assert not on.session.memory_reset


async def test_a_request_that_wants_all_or_nothing_is_answered_and_only_the_plain_view_is_encoded() -> None:
    async with harness(settings=Settings(defaults=Defaults(disabled=("mean",)))) as running:
        deadline = time.monotonic() + 3600
        request = make_request(1, Mean(views=8), deadline=deadline, on_deadline="fail")
        answer = await running.engine.classify(request)
    assert answer.degraded == Degraded("disabled", 8, 1, zero_shot=True) and answer.views == answer.batch_rows == 1


async def test_a_cascade_whose_second_strategy_is_off_keeps_the_first_answer() -> None:
    async with harness() as running:
        running.switches.set("mean", False)
        request = make_request(1, ZeroShot(), cascade=Cascade(Mean(views=8), above=0.0))
        answer = await running.engine.classify(request)
        assert not answer.escalated and answer.degraded == Degraded("disabled", 8, 1)
        running.switches.set("mean", True)
        assert (await running.engine.classify(request)).escalated


def test_what_cannot_be_switched_off() -> None:
    with pytest.raises(UnknownStrategy):
        StrategySwitches(["tda", "magic"])
    with pytest.raises(BadParameters, match="stands in") as refused:
        StrategySwitches().set("zero_shot", False)
    assert refused.value.field == "name"
