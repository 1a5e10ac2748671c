from __future__ import annotations

import time

import pytest

from tests.serving.house import request
from tta_service.core.errors import DeadlineTooShort
from tta_service.core.request import STAGES
from tta_service.serving.stopwatch import Stopwatch


def test_laps_add_up_to_the_total():
    watch = Stopwatch(request(), time.monotonic() - 2.0)
    watch.lap("queue")
    watch.lap("decode", ("look", 100.0))  # an inner stage cannot be longer than its lap
    seconds = watch.seconds()
    assert seconds["queue"] == pytest.approx(2.0, abs=0.5)
    assert seconds["decode"] == 0.0
    assert set(seconds) == {*STAGES, "total"}
    assert sum(seconds[stage] for stage in STAGES) <= seconds["total"]


def test_inner_stages_are_taken_out_of_their_lap():
    watch = Stopwatch(request(), time.monotonic() - 2.0)
    watch.lap("queue", ("encode", 0.5))
    assert watch.seconds()["encode"] == 0.5
    assert watch.seconds()["queue"] == pytest.approx(1.5, abs=0.5)


def test_a_deadline_is_looked_at_before_a_stage():
    Stopwatch(request(), time.monotonic()).before("adapt")
    Stopwatch(request(deadline=time.monotonic() + 100), time.monotonic()).before("adapt")
    with pytest.raises(DeadlineTooShort, match="adapt"):
        Stopwatch(request(deadline=time.monotonic()), time.monotonic()).before("adapt")
