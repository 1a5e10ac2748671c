from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch

from tests.patience import PATIENCE
from tests.serving.harness import EXACT, LABELS, acquire, harness, make_request, make_rows, settle
from tests.serving.toys import Anchored, Clumsy, Diary, Gated, Halved, Newest, Silly, Steep, Trail
from tta_service import Evidence, LabelSet, Needs, Reducer
from tta_service.clip.load import load
from tta_service.core.errors import BadImage, BadParameters, BadRequest, DeadlineTooShort, ModelFault, Unsupported
from tta_service.core.events import Closed, Forward
from tta_service.core.reducer import Reduction
from tta_service.core.request import STAGES, Cascade, Encoded, Features, Report, Request
from tta_service.serving.costs.model import CostModel
from tta_service.strategies.mean import Mean
from tta_service.strategies.mta import MTA
from tta_service.strategies.tda import TDA
from tta_service.strategies.zero import Zero
from tta_service.strategies.zero_shot import ZeroShot
from tta_service.testing import FakeCLIP


async def one_by_one(frames: list[Request]) -> list[Report]:
    async with harness() as service:
        return [await service.engine.classify(replace(frame, strategy=Diary())) for frame in frames]


def assert_same(answers: list[Report], expected: list[Report]) -> None:
    for mine, theirs in zip(answers, expected, strict=True):
        torch.testing.assert_close(mine.logits, theirs.logits, atol=2e-3, rtol=0)


def mixed(seed: int) -> Request:
    strategies = [ZeroShot(), Zero(views=16, agreement=0.7), MTA(views=8), TDA(), Steep(), Diary(views=3), Anchored()]
    names = LABELS.names if seed % 4 else LABELS.names[:3]
    return make_request(
        seed, strategies[seed % 7], session=f"s{seed % 3}", labels=LabelSet(names), explain=seed % 5 == 0
    )


@pytest.mark.parametrize("made", [FakeCLIP, load], ids=["fake", "pocket"])
async def test_together_equals_alone(made: Callable[[], FakeCLIP]):
    requests, clip = [mixed(seed) for seed in range(35)], made()
    async with harness(clip) as one:
        alone = [await one.engine.classify(request) for request in requests]
    async with harness(clip) as many:
        for labels in {request.labels for request in requests}:
            await many.text_spaces.get(labels)
        go = threading.Event()
        many.lanes.device.submit(go.wait, PATIENCE)  # so that some of them are queued together, whichever is faster
        tasks = [asyncio.create_task(many.engine.classify(request)) for request in requests]
        while many.batcher.counters.jobs < 4:
            await settle()
        go.set()
        together = await asyncio.gather(*tasks)
    for mine, theirs in zip(together, alone):
        assert mine.logits.argmax() == theirs.logits.argmax()
        torch.testing.assert_close(mine.logits, theirs.logits, atol=2e-3, rtol=0)
        torch.testing.assert_close(mine.zero_shot, theirs.zero_shot, atol=2e-3, rtol=0)
    assert len(many.of(Forward)) < len(one.of(Forward))


@pytest.mark.parametrize(
    ("strategy", "on_deadline"), [(Zero(agreement=0.9), "fail"), (Mean(agreement=0.9), "degrade")], ids=["zero", "mean"]
)
async def test_fewer_views_are_encoded_where_they_settle_the_answer(strategy: Zero | Mean, on_deadline: str):
    """The answer is that of so many views; it is not degraded, and no other row was encoded."""
    async with harness() as service:
        soon = {"deadline": time.monotonic() + PATIENCE, "on_deadline": on_deadline}
        requests = [make_request(seed, strategy, **soon) for seed in range(6)]
        reports = [await service.engine.classify(request) for request in requests]
        encoded = sum(forward.rows for forward in service.of(Forward))
        assert sum(report.views for report in reports) == encoded < 0.9 * 6 * 64
        assert len({report.views for report in reports}) > 1, "each image has its own need"
        for report in reports:
            assert report.degraded is None
            fixed = replace(strategy, views=report.views, agreement=1.0)
            alone = await service.engine.classify(replace(report.request, strategy=fixed))
            torch.testing.assert_close(report.logits, alone.logits, atol=2e-3, rtol=0)
            everything = await service.engine.classify(
                replace(report.request, strategy=replace(strategy, agreement=1.0))
            )
            assert everything.views == 64
            assert everything.logits.argmax() == report.logits.argmax()


async def test_a_cascade_goes_on_from_the_views_that_its_first_strategy_needed():
    async with harness() as service:
        request = make_request(1, Zero(agreement=0.9), cascade=Cascade(MTA(), 0.0))
        report = await service.engine.classify(request)
        assert report.escalated and report.views == 64
        assert sum(forward.rows for forward in service.of(Forward)) == 64
        torch.testing.assert_close(
            report.logits, (await service.engine.classify(make_request(1, MTA()))).logits, atol=2e-3, rtol=0
        )


async def test_a_report_says_what_was_done():
    async with harness() as service:
        report = await service.engine.classify(make_request(3, MTA(views=8), frame_id=7, session="cam"))
    assert report in service.events
    assert set(report.seconds) == {*STAGES, "total"}
    assert all(seconds >= 0 for seconds in report.seconds.values())
    assert 0 < sum(report.seconds[stage] for stage in STAGES) <= report.seconds["total"] * (1 + 1e-9)
    assert report.views == report.batch_rows == 8
    assert report.session.id == "cam" and report.session.frames == 1 and report.session.last_frame_id == 7


async def test_frames_cancelled_before_adapt_leave_no_trace_and_later_ones_keep_their_order():
    strategy = Gated()
    frames = [make_request(seed, strategy, session="cam", frame_id=seed) for seed in range(6)]
    async with harness() as service:
        tasks = [asyncio.create_task(service.engine.classify(frame)) for frame in frames]
        assert await acquire(strategy.entered)
        tasks[2].cancel()  # waits for its turn, or for the tower
        tasks[3].cancel()
        await settle()
        strategy.go.release(6)
        answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(a, asyncio.CancelledError) for a in answers] == [False, False, True, True, False, False]
    expected = await one_by_one([frames[i] for i in (0, 1, 4, 5)])
    assert_same([answers[i] for i in (0, 1, 4, 5)], expected)


async def test_a_frame_cancelled_during_adapt_counts_as_seen():
    strategy = Gated()
    frames = [make_request(seed, strategy, session="cam", frame_id=seed) for seed in range(4)]
    async with harness() as service:
        tasks = [asyncio.create_task(service.engine.classify(frame)) for frame in frames]
        strategy.go.release()
        await asyncio.wait(tasks[:1])
        assert await acquire(strategy.entered, times=2)  # frame 1 is in the lane
        tasks[1].cancel()
        await asyncio.wait(tasks[1:2])
        assert service.sessions.get("", "cam").frames == 1  # not passed on before the lane is done with it
        strategy.go.release(3)
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert service.sessions.get("", "cam").frames == 4
    assert isinstance(answers[1], asyncio.CancelledError)
    expected = await one_by_one(frames)
    assert_same([answers[i] for i in (0, 2, 3)], [expected[i] for i in (0, 2, 3)])


async def test_a_tda_session_with_cancelled_frames_answers_like_one_without_them():
    frames = [make_request(seed, TDA(), session="cam") for seed in range(8)]
    async with harness() as service:
        entered = threading.Event()
        gate = service.lanes.device.submit(entered.wait, PATIENCE)  # no request passes the tower
        tasks = [asyncio.create_task(service.engine.classify(frame)) for frame in frames]
        await settle()
        for gone in (1, 4, 5):
            tasks[gone].cancel()
        await settle()
        entered.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert gate.result()
    kept = [0, 2, 3, 6, 7]
    async with harness() as service:
        expected = [await service.engine.classify(frames[i]) for i in kept]
    assert_same([answers[i] for i in kept], expected)


async def test_a_strategy_that_raises_loses_only_its_own_memory_and_the_report_says_so():
    clumsy, diary = Clumsy(fails=(2,)), Diary()
    async with harness() as service:
        for seed in range(2):
            await service.engine.classify(make_request(seed, clumsy, session="cam"))
            await service.engine.classify(make_request(seed, diary, session="cam"))
        with pytest.raises(ModelFault) as fault:
            await service.engine.classify(make_request(2, clumsy, session="cam"))
        assert "secret" not in fault.value.message
        after = await service.engine.classify(make_request(3, clumsy, session="cam"))
        again = await service.engine.classify(make_request(4, clumsy, session="cam"))
        other = await service.engine.classify(make_request(5, diary, session="cam"))
        fresh = await service.engine.classify(make_request(3, Clumsy(), session="other"))
    assert after.session.memory_reset and not again.session.memory_reset and not other.session.memory_reset
    assert torch.equal(after.logits, fresh.logits)


@pytest.mark.parametrize("logit", [math.nan, math.inf, -math.inf])
async def test_logits_that_are_not_finite_are_a_fault(logit: float):
    async with harness() as service:
        with pytest.raises(ModelFault):
            await service.engine.classify(make_request(0, Silly(logit)))
        await service.engine.classify(make_request(0, Silly(0.5)))


async def test_three_scopes_and_the_tune_lane():
    anchored = Anchored()
    async with harness() as service:
        reports = await asyncio.gather(*(service.engine.classify(make_request(seed, anchored)) for seed in range(5)))
        steep = await service.engine.classify(make_request(0, Steep()))
        other = await service.engine.classify(make_request(0, anchored, labels=LabelSet(("a", "b"))))
    assert len(anchored.begun) == 2 and all(name.startswith("tta-tune") for name in anchored.begun)
    torch.testing.assert_close(
        reports[0].logits - reports[0].zero_shot, other.logits.new_tensor([0.0] * 5), atol=99, rtol=0
    )
    assert not torch.equal(reports[0].logits, reports[0].zero_shot)
    assert steep.views == 4 and not torch.equal(steep.logits, steep.zero_shot)


async def test_memories_differ_by_strategy_labels_reduction_and_origin_of_the_features():
    async with harness() as service:
        clip = FakeCLIP()
        first = await service.engine.classify(make_request(1, Diary(), session="cam"))
        for request in (
            make_request(1, Diary(views=2), session="cam"),
            make_request(1, Diary(), session="cam", labels=LabelSet(LABELS.names, ("a {}",))),
            make_request(1, Diary(), session="cam", reduction=Reduction(first.request.reduction.reducer, "augmented")),
            make_request(1, Diary(), session="cam", image=Features(clip.encode_image(torch.ones(1, 3, 32, 32)))),
            make_request(1, Diary(), session="cam", owner="someone else"),
        ):
            report = await service.engine.classify(request)
            fresh = await service.engine.classify(replace(request, session=""))
            assert torch.equal(report.logits, fresh.logits)  # it had seen nothing yet
        diary, guard = 16 * 4 + 8, 2 * len(LABELS.names) * 4 + 8
        size = diary + guard  # bytes
        assert service.sessions.get("", "cam").memory_bytes == 5 * size
        assert service.sessions.counters.bytes_by_strategy == {"diary": 6 * size}


async def test_features_from_the_device_skip_the_tower():
    rows = torch.nn.functional.normalize(torch.randn(4, 64, generator=torch.Generator().manual_seed(1)), dim=-1)
    async with harness() as service:
        report = await service.engine.classify(make_request(0, Zero(views=8), image=Features(rows)))
        few = await service.engine.classify(make_request(0, ZeroShot(), image=Features(rows)))
        with pytest.raises(BadRequest) as refused:
            await service.engine.classify(make_request(0, ZeroShot(), image=Features(rows[:, :32])))
        assert refused.value.field == "image.features.dimension"
        assert not service.of(Forward)
    assert report.views == 4 and few.views == 1 and report.batch_rows == 0
    assert report.seconds["decode"] == report.seconds["encode"] == 0


async def test_a_bad_image_fails_alone():
    async with harness() as service:
        requests = [make_request(seed, Zero(views=4)) for seed in range(3)]
        requests[1] = make_request(1, Zero(views=4), image=Encoded(b"\xff\xd8\xff not a picture"))
        answers = await asyncio.gather(*map(service.engine.classify, requests), return_exceptions=True)
    assert [type(answer) for answer in answers] == [Report, BadImage, Report]


async def test_an_unnamed_session_ends_with_its_call():
    async with harness() as service:
        one = await service.engine.classify(make_request(0, Diary()))
        two = await service.engine.classify(make_request(0, Diary()))
        assert one.session.id != two.session.id and len(one.session.id) == 32
        assert torch.equal(one.logits, two.logits)
        assert service.of(Closed) == [Closed("client", 1)] * 2
        assert service.sessions.counters.sessions == service.sessions.counters.bytes == 0


async def test_without_a_deadline_nothing_is_estimated(monkeypatch: pytest.MonkeyPatch):
    for name in [name for name in dir(CostModel) if name.startswith("estimate_")]:
        monkeypatch.setattr(CostModel, name, lambda *given: pytest.fail("somebody asked"))
    async with harness(max_rows=4, capacity=8) as service:
        calm = [ZeroShot(), Zero(views=8), MTA(views=8), TDA(), Diary(views=3)]
        requests = [make_request(seed, calm[seed % 5], session=f"s{seed % 3}") for seed in range(20)]
        reports = await asyncio.gather(*map(service.engine.classify, requests))
    assert not any(report.degraded for report in reports)


async def test_a_deadline_that_has_passed_leaves_the_memory_alone():
    async with harness() as service:
        await service.engine.classify(make_request(0, Diary(), session="cam"))
        before = service.sessions.get("", "cam")
        with pytest.raises(DeadlineTooShort):
            await service.engine.classify(make_request(0, Diary(), session="cam", deadline=0.0))
        assert service.sessions.get("", "cam").frames == before.frames == 1
        with pytest.raises(DeadlineTooShort):
            await service.engine.classify(make_request(0, Diary(), session="nobody", deadline=0.0))
        assert [session.id for session in service.sessions.list("")] == ["cam"]  # refused before it costs anything


async def test_a_deadline_that_passes_while_it_waits_for_its_turn_leaves_the_memory_alone():
    gated = Gated()
    async with harness() as service:
        first = asyncio.create_task(service.engine.classify(make_request(0, gated, session="cam")))
        assert await acquire(gated.entered)
        deadline = time.monotonic() + 0.2
        request = make_request(1, gated, session="cam", deadline=deadline, on_deadline="fail")
        late = asyncio.create_task(service.engine.classify(request))
        while time.monotonic() < deadline:
            await settle()
        gated.go.release(2)
        await first
        with pytest.raises(DeadlineTooShort):
            await late
        assert service.sessions.get("", "cam").frames == 1


async def test_rows_of_a_cancelled_request_are_not_encoded():
    go = threading.Event()
    async with harness() as service:
        await service.text_spaces.get(LABELS)
        service.lanes.device.submit(go.wait, PATIENCE)
        ahead = asyncio.create_task(service.batcher.encode(make_rows(1), EXACT))
        await settle()
        request = make_request(0, MTA(views=6), reduction=Reduction(Halved(), "augmented"))
        leaving = asyncio.create_task(service.engine.classify(request))
        while service.batcher.counters.rows < 6:  # both of its jobs
            await settle()
        leaving.cancel()
        await asyncio.wait({leaving})
        go.set()
        await ahead
        await service.batcher.encode(make_rows(2), EXACT)
        assert [batch.rows for batch in service.of(Forward)] == [1, 2]
        assert service.admission.running_rows == 0


async def test_the_newest_frame_runs_when_there_is_capacity():
    gate = Gated()
    async with harness(max_rows=1, capacity=1) as service:
        first = asyncio.create_task(service.engine.classify(make_request(0, gate)))
        assert await acquire(gate.entered)
        newest = Newest(make_request(1, Zero(views=2), policy="latest"))
        waiting = asyncio.create_task(service.engine.classify(newest))
        await settle()
        newest.frames.append(make_request(2, ZeroShot(), policy="latest", frame_id=9))
        gate.go.release()
        await first
        report = await waiting
    assert report.request is newest.frames[-1]
    assert service.admission.running_rows == 0


async def test_an_explanation_covers_the_rows_that_were_used():
    async with harness() as service:
        zero = await service.engine.classify(make_request(0, Zero(views=8, keep=0.5), explain=True))
        tda = await service.engine.classify(make_request(0, TDA(), session="s", explain=True))
        plain = await service.engine.classify(make_request(0, ZeroShot()))
    assert plain.explanation is None
    for report in (zero, tda):
        explanation = report.explanation
        assert explanation is not None and explanation.views is not None
        assert (
            len(explanation.views)
            == len(explanation.entropy)
            == len(explanation.kept)
            == len(explanation.weight)
            == report.views
        )
        assert explanation.weight.sum().item() == pytest.approx(1)
    assert zero.explanation.kept.sum() == 4
    assert zero.explanation.label[0] == zero.zero_shot.argmax()


async def test_a_cascade_goes_on_only_when_it_is_unsure():
    async with harness() as service:
        options = {"session": "cam", "cascade": Cascade(Diary(views=4), above=1.0)}
        sure = await service.engine.classify(make_request(0, ZeroShot(), **options))
        assert not sure.escalated and sure.strategy == ZeroShot() and sure.views == 1
        assert sum(batch.rows for batch in service.of(Forward)) == 1
        options["cascade"] = Cascade(Diary(views=4), above=0.0)
        unsure = await service.engine.classify(make_request(0, ZeroShot(), **options))
        assert unsure.escalated and unsure.strategy == Diary(views=4) and unsure.views == 4
        assert sum(batch.rows for batch in service.of(Forward)) == 1 + 4  # row 0 was encoded once
        assert unsure.session.frames == 2
        direct = await service.engine.classify(make_request(0, Diary(views=4), session="other"))
    torch.testing.assert_close(unsure.logits, direct.logits)
    assert service.admission.running_rows == 0


async def test_what_a_cascade_goes_on_to_counts_as_work_while_it_lasts():
    gated = Gated(views=4)
    async with harness() as service:
        request = make_request(0, ZeroShot(), session="cam", cascade=Cascade(gated, above=0.0))
        task = asyncio.create_task(service.engine.classify(request))
        assert await asyncio.to_thread(gated.entered.acquire, timeout=PATIENCE)
        assert service.admission.cost == 1 + 4
        gated.go.release()
        assert (await task).escalated
        assert service.admission.cost == 0


async def test_a_second_look_sees_the_confident_rows_exactly():
    halved = Reduction(Halved(), "two_looks")
    async with harness() as service:
        report = await service.engine.classify(make_request(0, Zero(views=8, keep=0.25), reduction=halved))
        exact = await service.engine.classify(make_request(0, Zero(views=8, keep=0.25)))
        rough = await service.engine.classify(make_request(0, Zero(views=8, keep=0.25), reduction=Reduction(Halved())))
        with pytest.raises(Unsupported) as refused:
            await service.engine.classify(make_request(0, ZeroShot(), reduction=halved))
    assert refused.value.field == "options.reduction.scope"
    torch.testing.assert_close(report.zero_shot, exact.zero_shot)
    assert not torch.allclose(rough.zero_shot, exact.zero_shot)
    rows = [batch.rows for batch in service.of(Forward)]
    assert rows[0] == 8 and rows[1] in (2, 3)  # all, then row 0 and two confident ones


async def test_the_plain_view_stays_exact_when_only_the_others_are_reduced():
    async with harness() as service:
        mixed_ = await service.engine.classify(
            make_request(0, MTA(views=6), reduction=Reduction(Halved(), "augmented"))
        )
        exact = await service.engine.classify(make_request(0, MTA(views=6)))
        assert sorted(batch.rows for batch in service.of(Forward)) == [1, 5, 6]
    torch.testing.assert_close(mixed_.zero_shot, exact.zero_shot)
    assert not torch.allclose(mixed_.logits, exact.logits)


async def test_a_cascade_to_itself_is_refused():
    async with harness() as service:
        with pytest.raises(BadParameters) as refused:
            await service.engine.classify(make_request(0, TDA(), cascade=Cascade(TDA(), 0.5)))
    assert refused.value.field == "options.cascade.to"


async def test_tokens_are_mapped_only_for_callers_who_ask_and_never_cost_an_answer():
    class Broken(FakeCLIP):
        def map_tokens(self, *_: object) -> None:
            raise RuntimeError("no map")

    for clip, has_map in ((FakeCLIP(), True), (Broken(), False)):
        async with harness(clip, explain_every=1) as service:
            plain = await service.engine.classify(make_request(0, ZeroShot()))
            asked = await service.engine.classify(make_request(0, ZeroShot(), explain=True))
        assert plain.explanation and plain.explanation.token_map is None
        assert asked.explanation and (asked.explanation.token_map is not None) is has_map


async def test_some_answers_are_explained_for_the_metrics_with_the_tokens_left():
    left: list[str] = []

    def tokens_left(reducer: Reducer) -> tuple[int, ...]:
        left.append(reducer.name)
        return (9, 4)

    async with harness(explain_every=3, tokens_left=tokens_left) as service:
        reports = [await service.engine.classify(make_request(i, ZeroShot())) for i in range(6)]
        assert [one.explanation is not None for one in reports] == [False, False, True] * 2
        assert reports[2].explanation is not None and reports[2].explanation.tokens_left == (9, 4)
        assert left == ["none", "none"]
        explained = await service.engine.classify(make_request(0, ZeroShot(), explain=True))
        assert explained.explanation is not None
        learner = Later()
        reports = [await service.engine.classify(make_request(i, learner, session="s")) for i in range(6)]
        assert not any(one.explanation for one in reports)  # its answer does not wait for the update
        assert explained.feature is not None and explained.feature.norm() == pytest.approx(1)


@dataclass(frozen=True)
class Later(Diary):
    """Answers first; its update takes gradients."""

    name: ClassVar[str] = "later"

    def needs(self) -> Needs:
        return replace(super().needs(), gradient=True)

    def update(self, seen: Evidence, memory: Trail, carry: Trail) -> Trail:
        return carry
