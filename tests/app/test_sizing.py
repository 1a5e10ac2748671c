"""The simulation behind `size` keeps its rules, and agrees with queueing theory where that has an answer."""

from __future__ import annotations

import numpy as np
import pytest

from tta_service.app.sizing.plan import BUSY, Demand, count_servers, make_plan
from tta_service.app.sizing.rates import Rates
from tta_service.app.sizing.simulation import Absence, Fleet, simulate
from tta_service.core.errors import BadRequest
from tta_service.sections import Sessions

ONE = Fleet(servers=1, cores=1, work=0.01)
RATES = Rates(0.01, 90.0, 50_000, 400, 20_000, 9_000, 400_000_000)
DEMAND = Demand(cameras=40, fps=1.0, age=0.5, spare=1, cores=2)


@pytest.mark.parametrize("busy", [0.3, 0.6, 0.8])
def test_one_core_with_poisson_arrivals_waits_as_pollaczek_and_khinchine_say(busy: float):
    fleet = Fleet(1, 1, 0.01)
    outcome = simulate(50, busy / 0.01 / 50, fleet, 800.0, arrivals="poisson")
    waited = float(outcome.ages.mean()) - fleet.work
    assert waited == pytest.approx(busy * fleet.work / (2 * (1 - busy)), rel=0.1)
    assert outcome.busy[0] == pytest.approx(busy, rel=0.02)


@pytest.mark.parametrize("absences", [(), (Absence(0, 2.0, 4.0),), (Absence(1, 1.0, 3.0, drains=True),)])
def test_every_frame_is_answered_or_lost_and_no_core_works_without_pause(absences: tuple[Absence, ...]):
    outcome = simulate(30, 5.0, Fleet(3, 2, 0.05), 10.0, absences)
    assert len(outcome.ages) == 30 * 5 * 10
    answered = np.isfinite(outcome.ages)
    assert answered.sum() + outcome.lost == len(outcome.ages)
    assert (outcome.ages[answered] >= 0.05 - 1e-9).all()
    assert outcome.busy.sum() * 2 * 10.0 == pytest.approx(answered.sum() * 0.05)
    assert not outcome.lost or any(not gone.drains for gone in absences)


def test_with_more_cameras_no_frame_is_answered_earlier():
    for few, many in ((1, 2), (10, 15), (40, 60)):
        fewer, more = (simulate(cameras, 2.0, ONE, 20.0).ages for cameras in (few, many))
        assert (more[: len(fewer)] >= fewer - 1e-9).all() and more.max() > fewer.max() - 1e-9


def test_a_failure_loses_what_its_server_has_and_an_update_nothing():
    fleet = Fleet(2, 1, 0.04)  # 80 % busy
    gone = simulate(40, 1.0, fleet, 20.0, [Absence(0, 5.0, 10.0)])
    assert 0 < gone.lost < 40
    update = [Absence(0, 0.0, 10.0, drains=True), Absence(1, 10.0, 20.0, drains=True)]
    assert simulate(40, 1.0, fleet, 20.0, update).lost == 0
    everybody = [Absence(0, 5.0, 10.0, drains=True), Absence(1, 5.0, 10.0, drains=True)]
    assert simulate(40, 1.0, fleet, 20.0, everybody).lost == 40 * 5  # none is there for five seconds


def test_cameras_of_a_server_that_leaves_are_the_only_ones_that_move():
    fleet = Fleet(3, 1, 0.001)
    before, after = simulate(300, 1.0, fleet, 10.0), simulate(300, 1.0, fleet, 10.0, [Absence(0, 0.0, 10.0, True)])
    assert after.busy[0] == 0 and (after.busy[1:] > before.busy[1:]).all()
    assert after.busy.sum() == pytest.approx(before.busy.sum())


def test_a_plan_has_the_fewest_servers_that_answer_in_time():
    check_fewest(10, 100, 1000)
    plan = make_plan(DEMAND, RATES, Sessions())
    assert plan.servers == 2 and plan.busy == pytest.approx(40 * 0.01 / (2 * 2))
    assert plan.received == 40 * 50_000 and plan.memory_bytes == 400_000_000 + 40 * 20_000
    assert plan.store_writes == 40 / 5.0 and plan.store_bytes == 40 * 9_000
    assert plan.ages["during a rolling update"].lost == 0
    assert all(ages.half <= ages.most <= 0.5 for ages in plan.ages.values())


@pytest.mark.slow
def test_ten_thousand_cameras_are_planned():
    check_fewest(1000, 10_000)


def check_fewest(*cameras: int) -> None:
    servers = [count_servers(Demand(number, 1.0, 0.5, 0, 2), RATES) for number in cameras]
    assert servers == sorted(servers)
    for number, found in zip(cameras, servers, strict=True):
        assert found >= number * RATES.work / (2 * BUSY)
        assert simulate(number, 1.0, Fleet(found, 2, RATES.work), 3.0).age(0.95) <= 0.5


def test_what_no_number_of_servers_can_do_is_said():
    with pytest.raises(BadRequest, match=r"--age: one frame alone takes a core 0\.01 s, longer than 0\.005 s"):
        count_servers(Demand(1, 1.0, 0.005, 0, 2), RATES)
