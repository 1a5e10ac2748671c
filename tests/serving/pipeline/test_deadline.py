"""Deadlines under overload, in virtual time: the machine that runs the tests plays no part."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from tests.serving.harness import Harness, harness, make_request
from tests.serving.toys import Diary, Halved, Newest, Trail
from tests.serving.virtual_time import Clock, Lane, make_lanes, make_runner
from tta_service import Evidence, Needs, Stateless
from tta_service.core.errors import DeadlineTooShort, Overloaded
from tta_service.core.events import Forward
from tta_service.core.evidence import Views
from tta_service.core.reducer import Reduction
from tta_service.core.request import STAGES, Cascade, Features, Report, Request
from tta_service.core.strategy import Strategy
from tta_service.serving.admission.claims import ClientQuota
from tta_service.serving.pipeline.deadline import MIN_VIEWS
from tta_service.serving.pipeline.resources import claim_for
from tta_service.strategies.tpt import TPT
from tta_service.strategies.zero_shot import ZeroShot
from tta_service.testing import FakeCLIP

MAX_ROWS = 8
DECODE, LOOK, FORWARD, ROW, ADAPT = 0.004, 0.0004, 0.006, 0.004, 0.003


@dataclass(frozen=True)
class Slow(Stateless):
    """Reads all views, and takes its time."""

    name: ClassVar[str] = "slow"
    clock: Clock = field(compare=False)
    views: int = 32
    seconds: float = ADAPT

    def needs(self) -> Needs:
        return Needs(views=self.views)

    def adapt(self, seen: Evidence, memory: None) -> tuple[Tensor, None]:
        self.clock.spend(self.seconds)
        return seen.logits().mean(0), None


@dataclass(frozen=True)
class SlowDiary(Diary):
    """Remembers every frame, slowly."""

    name: ClassVar[str] = "slow_diary"
    clock: Clock = field(default_factory=Clock, compare=False)
    seconds: float = ADAPT

    def adapt(self, seen: Evidence, memory: Trail) -> tuple[Tensor, Trail]:
        self.clock.spend(self.seconds)
        return super().adapt(seen, memory)


@dataclass(frozen=True)
class Choosy(Slow):
    """Reads the surer half of its views."""

    name: ClassVar[str] = "choosy"

    def needs(self) -> Needs:
        return Needs(views=self.views, confident=0.5)


class Machine:
    """A service whose stages take known times, and its clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seed: int = 0, noise: float = 0.0, hiccups: float = 0.0):
        self.clock = Clock(seed, noise, hiccups)
        monkeypatch.setattr(time, "monotonic", self.clock.monotonic)

    def run(self, live: Callable[[Harness], Coroutine[Any, Any, None]], **more: Any) -> None:
        clip, clock = FakeCLIP(), self.clock

        def encode(pixels: Tensor, reduction: Reduction, guide: Tensor | None) -> Tensor:
            clock.spend(FORWARD + ROW * len(pixels))
            return torch.nn.functional.normalize(pixels.float().mean((2, 3)) @ torch.ones(3, 64).triu(), dim=-1)

        def decode(image: object) -> Tensor:
            clock.spend(DECODE)
            return torch.full((3, 8, 8), 7, dtype=torch.uint8)

        def look(pixels: Tensor, count: int, seed: int, augment: str) -> Views:
            clock.spend(LOOK * count)
            rows = torch.arange(count)[:, None, None, None] + torch.ones(1, 3, 8, 8)
            return Views(rows.byte(), torch.zeros(count, 4), torch.zeros(count, dtype=torch.bool))

        async def living() -> None:
            given = {"encode": encode, "decode": decode, "look": look, "max_rows": MAX_ROWS, "capacity": 2 * MAX_ROWS}
            given["forwards"] = {
                rows: FORWARD + ROW * rows for rows in (1, 2, 4, 8)
            }  # what warm-up would have measured
            async with harness(clip, threads=make_lanes(clock), **{**given, **more}) as service:
                await live(service)

        with make_runner(clock) as running:
            running.run(living())

    async def seconds(self, service: Harness, sent: Request) -> float:
        began = time.monotonic()
        await service.engine.classify(sent)
        return time.monotonic() - began

    async def learn(self, service: Harness, strategy: Strategy[Any], times: int = 20) -> float:
        """Seconds of the whole request on an idle service."""
        whole = 0.0
        for _ in range(times):
            await self.seconds(service, make_request(0, ZeroShot()))
            whole = await self.seconds(service, make_request(0, strategy))
        return whole


def assert_honest(report: Report, sent: Request) -> None:
    """A report that covers less than the request says so, and how."""
    views, degraded = sent.strategy.needs().views, report.degraded
    if degraded is None:
        assert report.strategy == sent.strategy and report.views == views
        return
    assert degraded.views_asked == views and degraded.views_done == report.views
    assert degraded.zero_shot == (report.strategy == ZeroShot()) and degraded.reason in ("deadline", "overload")
    assert degraded.zero_shot or (report.strategy == sent.strategy and MIN_VIEWS <= report.views < views)
    if degraded.zero_shot:
        assert report.views == 1 and torch.equal(report.logits, report.zero_shot)


def test_at_twice_the_load_all_but_one_in_a_hundred_are_answered_in_time(monkeypatch: pytest.MonkeyPatch):
    machine = Machine(monkeypatch, noise=0.15, hiccups=0.001)
    draw, count = random.Random(0), 600
    possible, in_time, kinds = 0, 0, list[str]()

    async def live(service: Harness) -> None:
        strategy = Slow(machine.clock)
        whole, device = await machine.learn(service, strategy), service.lanes.device
        assert isinstance(device, Lane)
        plain = 1.3 * (DECODE + LOOK + FORWARD + ROW)  # the noise of one forward

        async def one(number: int) -> None:
            nonlocal possible, in_time
            now = time.monotonic()
            sent = make_request(number, strategy, deadline=now + whole * draw.uniform(0.0, 2.0))
            rest = max(0.0, device.busy_until - now)
            allowed = sent.deadline >= now + max(rest, DECODE + LOOK) + plain
            possible += allowed
            try:
                report = await service.engine.classify(sent)
            except DeadlineTooShort:
                kinds.append("refused")
                return
            assert_honest(report, sent)
            kinds.append("plain" if report.views == 1 else "fewer" if report.degraded else "whole")
            in_time += allowed and time.monotonic() <= sent.deadline

        tasks: list[asyncio.Task[None]] = []
        for number in range(count):
            tasks.append(asyncio.create_task(one(number)))
            await asyncio.sleep(draw.expovariate(2.0 / whole))
        await asyncio.gather(*tasks)

    machine.run(live)
    assert possible > 0.7 * count
    assert in_time >= 0.99 * possible
    assert {"plain", "fewer", "whole"} <= set(kinds)


def test_with_enough_time_nothing_is_left_out(monkeypatch: pytest.MonkeyPatch):
    machine = Machine(monkeypatch)

    async def live(service: Harness) -> None:
        strategy = Slow(machine.clock)
        whole = await machine.learn(service, strategy)
        report = await service.engine.classify(make_request(1, strategy, deadline=time.monotonic() + 1.5 * whole))
        assert (report.degraded, report.views, report.strategy) == (None, 32, strategy)
        assert sum(report.seconds[stage] for stage in STAGES) == pytest.approx(report.seconds["total"])

    machine.run(live)


def test_with_less_time_there_are_fewer_views_the_first_ones_and_the_answer_says_so(monkeypatch: pytest.MonkeyPatch):
    machine = Machine(monkeypatch)

    async def live(service: Harness) -> None:
        strategy = Slow(machine.clock)
        whole = await machine.learn(service, strategy)
        sent = make_request(1, strategy, deadline=time.monotonic() + 0.6 * whole)
        report = await service.engine.classify(sent)
        assert report.degraded and (report.degraded.reason, report.degraded.zero_shot) == ("deadline", False)
        assert MIN_VIEWS <= report.views == report.degraded.views_done < report.degraded.views_asked == 32
        assert report.strategy == strategy and time.monotonic() <= sent.deadline
        fewer = await service.engine.classify(make_request(1, replace(strategy, views=report.views)))
        torch.testing.assert_close(report.logits, fewer.logits)

    machine.run(live)


def test_with_little_time_the_answer_is_zero_shot(monkeypatch: pytest.MonkeyPatch):
    machine = Machine(monkeypatch)

    async def live(service: Harness) -> None:
        strategy = Slow(machine.clock)
        whole = await machine.learn(service, strategy)
        sent = make_request(1, strategy, deadline=time.monotonic() + 0.15 * whole, explain=True)
        report = await service.engine.classify(sent)
        assert_honest(report, sent)
        assert report.degraded and report.degraded.zero_shot and time.monotonic() <= sent.deadline
        assert report.explanation and len(report.explanation.entropy) == 1
        assert [batch.rows for batch in service.of(Forward)][-1] == 1

    machine.run(live)


def test_a_request_without_time_for_any_answer_is_refused_before_it_costs_anything(monkeypatch: pytest.MonkeyPatch):
    machine = Machine(monkeypatch)

    async def live(service: Harness) -> None:
        await machine.learn(service, Slow(machine.clock))
        batches, now = len(service.of(Forward)), time.monotonic()
        with pytest.raises(DeadlineTooShort, match="even a plain answer takes about"):
            await service.engine.classify(make_request(1, Slow(machine.clock), session="new", deadline=now + DECODE))
        assert time.monotonic() == now and len(service.of(Forward)) == batches and not service.sessions.list("")

    machine.run(live)


def test_on_deadline_fail_gives_everything_or_an_error(monkeypatch: pytest.MonkeyPatch):
    machine = Machine(monkeypatch)

    async def live(service: Harness) -> None:
        strategy = Slow(machine.clock)
        whole, reports = await machine.learn(service, strategy), list[Report]()
        for share in (0.1, 0.5, 0.8, 1.2, 2.0):
            deadline = time.monotonic() + share * whole
            sent = make_request(1, strategy, deadline=deadline, on_deadline="fail")
            if share > 1:
                reports.append(await service.engine.classify(sent))
            else:
                with pytest.raises(DeadlineTooShort, match="all that was asked for"):
                    await service.engine.classify(sent)
        assert [(report.views, report.degraded) for report in reports] == [(32, None)] * 2

    machine.run(live)


def test_a_session_degraded_now_and_then_keeps_its_memory(monkeypatch: pytest.MonkeyPatch):
    machine = Machine(monkeypatch)

    async def live(service: Harness) -> None:
        diary = SlowDiary(views=32, clock=machine.clock)
        whole = await machine.learn(service, diary)
        answers: list[Report] = []
        for frame in range(12):
            share = (2.0, 0.6, 0.15)[frame % 3]
            sent = make_request(frame, diary, session="cam", frame_id=frame, deadline=time.monotonic() + share * whole)
            answers.append(await service.engine.classify(sent))
            assert_honest(answers[-1], sent)
        how = [report.degraded and report.degraded.zero_shot for report in answers]
        assert how == [None, False, True] * 4
        assert len(service.sessions.get("", "cam").strategies) == 1
        size = answers[0].session.memory_bytes
        assert {report.session.memory_bytes for report in answers} == {size}  # one memory, however it was fed
        assert [report.session.last_frame_id for report in answers] == [0, 1, 1, 3, 4, 4, 6, 7, 7, 9, 10, 10]
        assert answers[-1].session.frames == 12 and not any(report.session.memory_reset for report in answers)
        for report in answers:
            if not report.degraded or not report.degraded.zero_shot:
                same = await service.engine.classify(make_request(report.request.seed, diary, session="calm"))
                torch.testing.assert_close(report.logits, same.logits)

    machine.run(live)


def test_too_long_a_wait_for_a_turn_gives_a_plain_answer_and_the_memory_goes_on(monkeypatch: pytest.MonkeyPatch):
    machine = Machine(monkeypatch)

    async def live(service: Harness) -> None:
        quick = SlowDiary(clock=machine.clock)
        whole = await machine.learn(service, quick)
        slow = replace(quick, seconds=50 * whole)  # not measured yet, and its memory is the same
        first = asyncio.create_task(service.engine.classify(make_request(0, slow, session="cam", frame_id=0)))
        await asyncio.sleep(2 * whole)
        sent = make_request(1, slow, session="cam", frame_id=1, deadline=time.monotonic() + 3 * whole)
        late = await service.engine.classify(sent)
        assert time.monotonic() <= sent.deadline and not first.done()
        assert late.degraded and late.degraded.zero_shot and late.degraded.reason == "overload"
        after = await service.engine.classify(make_request(2, slow, session="cam", frame_id=2))
        assert (await first).session.last_frame_id == 0 and after.session.frames == 3

    machine.run(live)


def test_a_strategy_known_to_be_too_slow_is_not_begun(monkeypatch: pytest.MonkeyPatch):
    machine = Machine(monkeypatch)

    async def live(service: Harness) -> None:
        slow = Slow(machine.clock, views=8, seconds=2.0)
        await machine.learn(service, slow)
        sent = make_request(1, slow, deadline=time.monotonic() + 1.0)
        report = await service.engine.classify(sent)
        assert report.degraded and report.degraded.zero_shot and time.monotonic() < sent.deadline - 0.5
        own = await service.engine.classify(replace(sent, deadline=time.monotonic() + 4.0))
        assert own.degraded is None

    machine.run(live)


def test_a_cascade_that_has_no_time_for_its_second_strategy_answers_with_the_first(monkeypatch: pytest.MonkeyPatch):
    machine = Machine(monkeypatch)

    async def live(service: Harness) -> None:
        slow = Slow(machine.clock)
        whole = await machine.learn(service, slow)
        sent = make_request(1, ZeroShot(), cascade=Cascade(slow, above=0.0))
        for share, expected in ((2.0, None), (0.6, "fewer"), (0.2, "first")):
            report = await service.engine.classify(replace(sent, deadline=time.monotonic() + share * whole))
            degraded = report.degraded
            assert (degraded is None) == (expected is None)
            assert report.escalated == (expected != "first")
            if degraded:
                assert degraded.views_asked == 32 and degraded.views_done == report.views and not degraded.zero_shot

    machine.run(live)


def test_rows_from_the_device_need_no_tower_but_adapt_may_still_take_too_long(monkeypatch: pytest.MonkeyPatch):
    machine = Machine(monkeypatch)

    async def live(service: Harness) -> None:
        slow = Slow(machine.clock, seconds=1.0)
        await machine.learn(service, slow)
        rows = torch.nn.functional.normalize(torch.ones(16, 64).tril() + 0.1, dim=-1)
        sent = make_request(1, slow, image=Features(rows))
        for _ in range(3):
            await service.engine.classify(sent)  # with fewer views it costs no less, as it turns out
        enough = await service.engine.classify(replace(sent, deadline=time.monotonic() + 3.0))
        assert enough.degraded is None and enough.views == 16
        short = await service.engine.classify(replace(sent, deadline=time.monotonic() + 0.3))
        assert short.degraded and short.degraded.zero_shot and short.degraded.views_asked == 16

    machine.run(live)


@pytest.mark.parametrize("scope", ["all", "augmented", "two_looks"])
def test_every_scope_of_a_reduction_is_cut_to_the_time_there_is(monkeypatch: pytest.MonkeyPatch, scope: str):
    machine = Machine(monkeypatch, noise=0.1)

    async def live(service: Harness) -> None:
        choosy = Choosy(machine.clock)
        reduction = Reduction(Halved(), scope)  # type: ignore[arg-type]
        whole = 0.0
        for seed in range(20):
            whole = await machine.seconds(service, make_request(seed, choosy, reduction=reduction))
        kinds: set[str] = set()
        for seed in range(40):
            deadline = time.monotonic() + whole * (0.2 + 0.05 * seed)
            sent = make_request(seed, choosy, reduction=reduction, deadline=deadline)
            report = await service.engine.classify(sent)
            assert_honest(report, sent)
            assert time.monotonic() <= deadline
            kinds.add("plain" if report.views == 1 else "fewer" if report.degraded else "whole")
        assert kinds == {"plain", "fewer", "whole"}

    machine.run(live)


def test_a_single_view_overtakes_requests_that_have_time(monkeypatch: pytest.MonkeyPatch):
    machine = Machine(monkeypatch)

    async def live(service: Harness) -> None:
        strategy = Slow(machine.clock, views=64)
        whole = await machine.learn(service, strategy)
        patient = [asyncio.create_task(service.engine.classify(make_request(n, strategy))) for n in range(6)]
        await asyncio.sleep(whole / 3)
        sent = make_request(9, ZeroShot(), deadline=time.monotonic() + whole / 3)
        report = await service.engine.classify(sent)
        assert time.monotonic() <= sent.deadline and report.degraded is None
        assert not any(task.done() for task in patient)
        assert {(await task).views for task in patient} == {64}
        assert service.admission.running_rows == service.admission.running_requests == 0

    machine.run(live)


def test_the_newest_frame_decides_how_long_its_stream_can_wait(monkeypatch: pytest.MonkeyPatch):
    machine = Machine(monkeypatch)

    async def live(service: Harness) -> None:
        strategy = Slow(machine.clock, views=64)
        whole = await machine.learn(service, strategy)
        inside = asyncio.create_task(service.engine.classify(make_request(0, strategy)))
        await asyncio.sleep(0.01 * whole)

        def frame(number: int) -> Request:
            return make_request(
                number, strategy, policy="latest", frame_id=number, deadline=time.monotonic() + whole / 2
            )

        newest = Newest(frame(1))
        waiting = asyncio.create_task(service.engine.classify(newest))
        await asyncio.sleep(0.2 * whole)
        newest.frames.append(frame(2))
        report = await waiting
        assert report.request.frame_id == 2 and time.monotonic() <= newest.frames[-1].deadline
        assert time.monotonic() > newest.frames[0].deadline  # it did not enter for the sake of the older one
        assert (await inside).degraded is None

    machine.run(live)


def test_cancelling_withdraws_the_rows(monkeypatch: pytest.MonkeyPatch):
    machine = Machine(monkeypatch)

    async def live(service: Harness) -> None:
        strategy = Slow(machine.clock)
        whole = await machine.learn(service, strategy)
        before = sum(batch.rows for batch in service.of(Forward))
        leaving = asyncio.create_task(
            service.engine.classify(make_request(1, strategy, deadline=time.monotonic() + whole * 2))
        )
        await asyncio.sleep(whole / 3)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        await service.engine.classify(make_request(2, ZeroShot()))
        assert sum(batch.rows for batch in service.of(Forward)) - before <= 2 * MAX_ROWS + 1
        assert service.admission.running_rows == 0 and service.batcher.counters.rows == 0

    machine.run(live)


def test_one_client_cannot_take_the_whole_quota(monkeypatch: pytest.MonkeyPatch):
    machine = Machine(monkeypatch)

    async def live(service: Harness) -> None:
        classify, strategy = service.engine.classify, Slow(machine.clock)
        greedy = [asyncio.create_task(classify(make_request(n, strategy, client="greedy"))) for n in range(5)]
        modest = asyncio.create_task(classify(make_request(9, strategy, client="modest")))
        answers = await asyncio.gather(*greedy, modest, return_exceptions=True)
        assert [type(one) for one in answers] == [Report] * 3 + [Overloaded] * 2 + [Report]
        assert answers[3].retry_after > 0 and service.admission.cost == 0

    machine.run(live, quota=ClientQuota(6 * 32, 0.5))


def test_steps_of_a_gradient_count_as_passes():
    steep = TPT(views=16, steps=3)
    assert claim_for(make_request(0, steep), lambda: 0.0).cost == 16 * 4
    assert claim_for(make_request(0, Slow(Clock())), lambda: 0.0).cost == 32
