from __future__ import annotations

import time

import pytest

from tests.serving.harness import make_request
from tests.serving.virtual_time import Clock
from tta_service.core.errors import DeadlineTooShort
from tta_service.core.request import STAGES
from tta_service.serving.pipeline.resources import StageTimer


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Stands still until the test moves it."""
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock.monotonic)
    return clock


def test_laps_add_up_to_the_total(clock: Clock):
    timer = StageTimer(make_request(), clock.now - 2.0)
    timer.lap("queue")
    clock.now += 0.25
    timer.lap("decode", ("look", 100.0))  # an inner stage cannot be longer than its lap
    clock.now += 0.5
    assert timer.lap("encode", ("queue", 0.125)) == 0.5
    seconds = timer.seconds()
    assert set(seconds) == {*STAGES, "total"}
    spent_in = {stage: spent for stage, spent in seconds.items() if spent}
    assert spent_in == {"queue": 2.125, "look": 0.25, "encode": 0.375, "total": 2.75}


def test_inner_stages_are_taken_out_of_their_lap(clock: Clock):
    timer = StageTimer(make_request(), clock.now - 2.0)
    timer.lap("queue", ("encode", 0.5))
    assert (timer.seconds()["encode"], timer.seconds()["queue"]) == (0.5, 1.5)


def test_the_deadline_is_checked_before_each_stage(clock: Clock):
    StageTimer(make_request(), clock.now).lap("turn", before="adapt")
    StageTimer(make_request(deadline=clock.now + 0.001), clock.now).lap("turn", before="adapt")
    with pytest.raises(DeadlineTooShort, match="adapt"):
        StageTimer(make_request(deadline=clock.now), clock.now).lap("turn", before="adapt")
    StageTimer(make_request(deadline=clock.now), clock.now).lap("adapt")  # nothing comes after it
