from __future__ import annotations

import pytest
import torch

from tta_service.serving.pipeline.warmup import measure


class Machine:
    """Its clock moves by what a forward of so many rows takes."""

    def __init__(self, fixed: float, each: float, memory: int = 10**6) -> None:
        self.now, self.fixed, self.each, self.memory, self.asked = 0.0, fixed, each, memory, list[int]()

    def __call__(self, rows: int) -> None:
        if rows > self.memory:
            raise torch.OutOfMemoryError("no")
        self.asked.append(rows)
        self.now += self.fixed + self.each * rows

    def clock(self) -> float:
        return self.now


@pytest.mark.parametrize(
    "fixed, each, expected", [(0.0, 0.01, 1), (0.01, 0.01, 32), (0.05, 0.01, 128), (1.0, 0.001, 256)]
)
def test_the_smallest_power_of_two_within_five_percent_of_the_best(fixed: float, each: float, expected: int):
    machine = Machine(fixed, each)
    calibration = measure(machine, most=256, patience=100, clock=machine.clock)
    assert calibration.rows == expected
    assert calibration.row_seconds == pytest.approx((fixed + each * expected) / expected)


def test_it_stops_when_time_or_memory_runs_out():
    slow = Machine(0.0, 1.0)
    assert measure(slow, most=256, patience=3.0, clock=slow.clock).rows == 1
    assert max(slow.asked) == 2
    small = Machine(0.1, 0.0001, memory=8)
    assert measure(small, most=256, patience=100, clock=small.clock).rows == 8


@pytest.mark.parametrize("fixed, each", [(0.1, 0.001), (0.004, 0.004), (0.0, 0.02)])
def test_what_was_not_measured_is_estimated(fixed: float, each: float):
    whole, part = Machine(fixed, each), Machine(fixed, each)
    measured = measure(whole, most=64, patience=100, clock=whole.clock)
    estimated = measure(part, most=64, patience=3 * (3 * fixed + 7 * each) - 1e-6, clock=part.clock)
    assert max(part.asked) == 4 < max(whole.asked)
    assert estimated.rates == pytest.approx(measured.rates) and estimated.rows == measured.rows


def test_one_slow_run_does_not_decide():
    disturbed = Machine(0.004, 0.004)

    def forward(rows: int) -> None:
        disturbed(rows)
        disturbed.now += 0.3 * (rows == 4)  # each of its runs

    assert measure(forward, most=64, patience=1.2, clock=disturbed.clock).rows in (16, 32)


@pytest.mark.parametrize("disturbed", [1, 2, 4, 8])
@pytest.mark.parametrize("patience", [0.14, 1.0])
def test_no_single_disturbed_size_makes_batches_small(disturbed: int, patience: float):
    machine = Machine(0.004, 0.004)

    def forward(rows: int) -> None:
        machine(rows)
        machine.now += 2 * (0.004 + 0.004 * rows) * (rows == disturbed)

    calibration = measure(forward, most=64, patience=patience, clock=machine.clock)
    assert calibration.rows in (16, 32)
    if max(machine.asked) < 64:
        assert calibration.seconds[64] == pytest.approx(0.004 + 0.004 * 64)


def test_a_machine_that_takes_no_longer_for_more_rows_gets_full_batches():
    seconds = iter([0.012] * 3 + [0.011] * 3 + [0.01] * 3)
    now = [0.0]

    def forward(rows: int) -> None:
        now[0] += next(seconds)

    assert measure(forward, most=64, patience=0.09, clock=lambda: now[0]).rows == 64


def test_a_tower_that_fails_on_one_row_is_an_error():
    with pytest.raises(torch.OutOfMemoryError):
        measure(Machine(0, 1, memory=0))
