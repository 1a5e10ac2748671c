"""Lessons in the engine: who learns them, when, what a later word changes, and what they cost others."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, ClassVar, NamedTuple

import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.patience import PATIENCE
from tests.serving.harness import EXACT, LABELS, Harness, harness, make_image, make_request
from tests.serving.toys import Diary, Halved
from tta_service import Evidence, LabelSet, Needs, Scope, Strategy, TextSpace
from tta_service.core.errors import BadImage, BadLabels, MemoryFull, UnknownExample, UnknownSession
from tta_service.core.lessons import ExampleRef, FrameRef, LessonRequest, LessonResult, RequestRef
from tta_service.core.reducer import Reduction
from tta_service.core.request import Encoded, Features, Report
from tta_service.sections import Sessions
from tta_service.serving.persistence.encryption import Subject
from tta_service.serving.persistence.signing import SignedCodec
from tta_service.serving.persistence.snapshots import Snapshots
from tta_service.serving.sessions.memory import MemoryLimits
from tta_service.settings import Settings
from tta_service.strategies.gda import GDA
from tta_service.strategies.taught import Taught
from tta_service.strategies.tda import TDA
from tta_service.strategies.tip_adapter import TipAdapter
from tta_service.strategies.zero import Zero

ZERO = Zero(views=8)
OTHER_LABELS = LabelSet(("sun", "moon"))


class Heard(NamedTuple):
    frames: Tensor  # []
    votes: Tensor  # [c] lessons of each class
    last: Tensor  # [d] the plain view of the last lesson


@dataclass(frozen=True)
class Parrot(Strategy[Heard]):
    """Answers the class that it was taught most often."""

    name: ClassVar[str] = "parrot"
    views: int = 1
    number: int = 0
    deaf_to: frozenset[int] = field(default=frozenset(), compare=False)

    def needs(self) -> Needs:
        return Needs(views=self.views, memory=Scope.SESSION)

    def begin(self, text: TextSpace) -> Heard:
        return Heard(torch.zeros(()), torch.zeros(len(text.features)), torch.zeros_like(text.features[0]))

    def adapt(self, seen: Evidence, memory: Heard) -> tuple[Tensor, Heard]:
        return memory.votes.clone(), memory._replace(frames=memory.frames + 1)

    def teach(self, seen: Evidence, label: int, memory: Heard) -> Heard:
        torch.testing.assert_close(seen.views.norm(dim=-1), torch.ones(len(seen.views)))
        if label in self.deaf_to:
            raise ZeroDivisionError
        votes = memory.votes.clone()
        votes[label] += 1
        return memory._replace(votes=votes, last=seen.views[0])

    def explain(self, seen: Evidence, memory: Heard) -> dict[str, Tensor | float]:
        return {"frames": memory.frames, "taught": memory.votes.sum()}


async def see(running: Harness, seed: int = 0, strategy: Strategy[Any] | None = None, **given: Any) -> Report:
    fields = {"strategy": strategy or Parrot(), "session": "gate", "explain": True, "frame_id": seed, **given}
    return await running.engine.classify(make_request(seed, **fields))


async def teach(running: Harness, about: Any, label: str | None, session: str = "gate", **given: Any) -> LessonResult:
    word = LessonRequest(**{"about": about, "label": label, "labels": None, "reduction": EXACT, **given})
    return await running.teaching.teach("", session, word)


def notes(report: Report) -> dict[str, float]:
    assert report.explanation
    return dict(report.explanation.notes)


def top(report: Report) -> str:
    return report.request.labels.names[int(report.logits.argmax())]


async def test_the_next_frame_is_answered_with_the_lesson() -> None:
    async with harness() as running:
        await see(running, 1)
        told = await teach(running, FrameRef(1), "tree")
        assert told.learnt_by == ("parrot",) and not told.replaced and not told.began_anew
        answer = await see(running, 2)
        assert top(answer) == "tree" and notes(answer) == {"frames": 2, "taught": 1}


async def test_a_call_is_named_by_its_request_id_and_an_example_by_its_own() -> None:
    async with harness() as running:
        await see(running, 1, request_id="a")
        told = await teach(running, RequestRef("a"), "tree")
        again = await teach(running, ExampleRef(told.example), "cat")
        assert again == LessonResult(told.example, replaced=True, began_anew=("parrot",))
        assert top(await see(running, 2)) == "cat"


async def test_every_memory_of_the_label_set_learns_and_no_other() -> None:
    async with harness() as running:
        both = [Parrot(number=1), Parrot(number=2)]
        for strategy in both:
            await see(running, 1, strategy)
        await see(running, 2, Parrot(number=1), labels=OTHER_LABELS)
        await teach(running, FrameRef(1), "dog")
        for strategy in both:
            assert notes(await see(running, 3, strategy))["taught"] == 1
        assert notes(await see(running, 4, Parrot(number=1), labels=OTHER_LABELS))["taught"] == 0


async def test_a_strategy_that_begins_later_learns_all_lessons() -> None:
    async with harness() as running:
        await see(running, 1)
        for seed, label in ((1, "tree"), (1, "dog")):
            await teach(running, FrameRef(seed), label)
        await teach(running, make_image(7), "dog", labels=LABELS)
        late = await see(running, 3, Parrot(number=9))
        assert top(late) == "dog" and notes(late) == {"frames": 1, "taught": 2}


async def test_the_same_word_twice_is_one_lesson() -> None:
    async with harness() as running:
        await see(running, 1)
        first = await teach(running, FrameRef(1), "dog")
        second = await teach(running, FrameRef(1), "dog")
        assert second == LessonResult(first.example, replaced=True, learnt_by=("parrot",))
        assert notes(await see(running, 2)) == {"frames": 2, "taught": 1}
        assert len(running.teaching.lessons("", "gate")) == 1


async def test_the_same_picture_is_one_example_however_it_comes() -> None:
    async with harness() as running:
        first = await teach(running, make_image(3), "dog", labels=LABELS)
        second = await teach(running, make_image(3), "cat", labels=LABELS)
        assert first.example == second.example and second.replaced
        assert [lesson.label for lesson in running.teaching.lessons("", "gate")] == ["cat"]


async def test_a_picture_has_one_lesson_for_each_way_to_reduce_it() -> None:
    async with harness() as running:
        halved = Reduction(Halved())
        await see(running, 1)
        await see(running, 1, reduction=halved)
        first = await teach(running, make_image(3), "dog", labels=LABELS)
        second = await teach(running, make_image(3), "dog", labels=LABELS, reduction=halved)
        assert first.example != second.example and not second.replaced
        assert first.learnt_by == second.learnt_by == ("parrot",)
        assert top(await see(running, 2)) == top(await see(running, 2, reduction=halved)) == "dog"
        third = await teach(running, make_image(3), "cat", labels=LABELS, reduction=halved)
        assert third.replaced and third.began_anew == ("parrot",)
        assert (top(await see(running, 4)), top(await see(running, 4, reduction=halved))) == ("dog", "cat")


async def test_a_recorded_lesson_of_another_reduction_takes_the_place_of_the_one_before() -> None:
    async with harness() as running:
        halved = Reduction(Halved())
        await see(running, 1)
        await see(running, 1, reduction=halved)
        known = await teach(running, FrameRef(1), "dog", labels=LABELS)  # of the frame that came last
        (lesson,) = running.teaching.lessons("", "gate")
        assert lesson.example.reduction == halved and known.learnt_by == ("parrot",)
        moved = await teach(running, replace(lesson.example, reduction=EXACT), "dog", labels=LABELS)
        assert moved.replaced and moved.began_anew == ("parrot",) and len(running.teaching.lessons("", "gate")) == 1
        assert top(await see(running, 2)) == "dog"


async def test_a_recorded_lesson_with_the_id_of_another_picture_takes_its_place() -> None:
    async with harness() as running:
        await see(running, 1)
        told = await teach(running, FrameRef(1), "dog")
        (known,) = running.teaching.lessons("", "gate")
        rounded = (known.example.views.float() * 1.002).half()  # as another batch would have it
        again = await teach(running, replace(known.example, views=rounded), "dog")
        assert again.replaced and not again.began_anew and running.teaching.lessons("", "gate") == [known]
        other = known.example.views.flip(1)
        moved = await teach(running, replace(known.example, views=other), "dog")
        (lesson,) = running.teaching.lessons("", "gate")
        assert moved.example == told.example and moved.replaced and moved.began_anew == ("parrot",)
        assert torch.equal(lesson.example.views, other)


async def test_a_refused_picture_opens_no_session_and_is_not_encoded() -> None:
    async with harness() as running:
        for about, label, labels in (
            (make_image(3), "fish", LABELS),
            (make_image(3), "dog", None),
            (Encoded(b"no picture"), "dog", LABELS),
        ):
            with pytest.raises((BadLabels, BadImage)):
                await teach(running, about, label, labels=labels)
            with pytest.raises(UnknownSession):
                running.sessions.get("", "gate")
        assert not running.of(Report)


async def test_a_word_that_is_repeated_after_a_reset_is_learnt_by_no_memory_until_one_begins() -> None:
    async with harness() as running:
        await see(running, 1)
        assert (await teach(running, FrameRef(1), "dog")).learnt_by == ("parrot",)
        await running.sessions.reset("", "gate")
        again = await teach(running, FrameRef(1), "dog")
        assert again.replaced and not again.learnt_by
        assert top(await see(running, 2)) == "dog"


@pytest.mark.parametrize("limit", ["session", "owner"])
async def test_a_lesson_without_room_is_refused_by_what_is_used(limit: str) -> None:
    async with harness(limits=MemoryLimits(**{limit: 400})) as running:
        sentence = ""
        for number in range(10):
            used = running.sessions.counters.bytes
            try:
                await teach(running, make_image(number), "dog", labels=LABELS)
            except MemoryFull as error:
                sentence = error.message
                break
        whose = {"session": "this session has", "owner": "your sessions and lesson groups have"}[limit]
        assert used and sentence.endswith(f"bytes more do not fit: {whose} {used} of 400")
        assert running.sessions.counters.bytes == used


@dataclass(frozen=True)
class Thorough(Parrot):
    """Each lesson takes a while."""

    name: ClassVar[str] = "thorough"

    def teach(self, seen: Evidence, label: int, memory: Heard) -> Heard:
        time.sleep(0.002)
        return super().teach(seen, label, memory)


async def test_others_are_answered_while_a_memory_learns_many_lessons() -> None:
    async with harness(adapt=1) as running:
        rows = torch.randn(100, running.clip.dimension)
        for row in rows:
            await teach(running, Features(row[None]), "dog", labels=LABELS)
        await see(running, 1, session="other")
        beginning = asyncio.create_task(
            running.engine.classify(
                make_request(0, Thorough(), image=Features(rows[:1]), session="gate", explain=True, frame_id=1)
            )
        )
        answered = 0
        while not beginning.done():
            await see(running, 1, session="other")
            answered += 1
        assert notes(await beginning)["taught"] == 100 and answered > 5


async def test_a_picture_can_be_taught_before_the_first_frame() -> None:
    async with harness() as running:
        told = await teach(running, make_image(3), "red car", labels=LABELS)
        assert told.learnt_by == ()
        assert top(await see(running, 1)) == "red car"


async def test_none_of_these_is_kept_and_takes_back_what_was_said_before() -> None:
    async with harness() as running:
        await see(running, 1)
        assert (await teach(running, FrameRef(1), "dog")).learnt_by == ("parrot",)
        told = await teach(running, FrameRef(1), None)
        assert told.replaced and told.began_anew == ("parrot",)
        assert notes(await see(running, 2)) == {"frames": 1, "taught": 0}
        assert [lesson.label for lesson in running.teaching.lessons("", "gate")] == [None]


async def test_several_views_are_remembered_by_the_mean_of_the_confident_ones() -> None:
    async with harness() as running:
        await see(running, 1, Parrot(views=16))
        await teach(running, FrameRef(1), "dog")
        (lesson,) = running.teaching.lessons("", "gate")
        assert len(lesson.example.views) == 2 and not torch.equal(*lesson.example.views)
        assert notes(await see(running, 2, Parrot(views=16)))["taught"] == 1


async def test_unlearning_begins_memories_anew_from_the_lessons_that_are_left() -> None:
    async with harness() as running:
        for seed in (1, 2):
            await see(running, seed)
        keep, drop = [await teach(running, FrameRef(seed), "dog") for seed in (1, 2)]
        assert await running.teaching.unlearn("", "gate", [drop.example, "unheard of"]) == ([drop.example], ["parrot"])
        answer = await see(running, 3)
        assert notes(answer) == {"frames": 1, "taught": 1} and answer.session.memory_reset
        assert [lesson.example.id for lesson in running.teaching.lessons("", "gate")] == [keep.example]


async def test_a_lesson_of_an_unknown_frame_label_or_session_is_refused_and_changes_nothing() -> None:
    async with harness() as running:
        await see(running, 1)
        for about in (FrameRef(99), RequestRef("b"), ExampleRef("c")):
            with pytest.raises(UnknownExample):
                await teach(running, about, "dog")
        with pytest.raises(BadLabels, match="'bird' is none of the 5 labels cat, dog"):
            await teach(running, FrameRef(1), "bird")
        with pytest.raises(BadLabels, match="needs them"):
            await teach(running, make_image(2), "dog")
        with pytest.raises(BadImage):
            await teach(running, Encoded(b"no picture"), "dog", labels=LABELS)
        with pytest.raises(UnknownSession):
            await running.teaching.unlearn("", "nobody", [])
        assert notes(await see(running, 2)) == {"frames": 2, "taught": 0}
        assert running.teaching.lessons("", "gate") == []


async def test_a_frame_may_be_taught_in_another_label_set() -> None:
    async with harness() as running:
        await see(running, 1, labels=OTHER_LABELS)
        await see(running, 2)
        told = await teach(running, FrameRef(2), "moon", labels=OTHER_LABELS)
        assert told.learnt_by == ("parrot",)
        assert top(await see(running, 3, labels=OTHER_LABELS)) == "moon"


async def test_only_the_last_frames_are_remembered() -> None:
    async with harness(limits=MemoryLimits(recent=3)) as running:
        for seed in range(1, 6):
            await see(running, seed)
        with pytest.raises(UnknownExample, match="frame 2 is not among the last 3 of this session"):
            await teach(running, FrameRef(2), "dog")
        await teach(running, FrameRef(3), "dog")


async def test_what_is_remembered_of_frames_makes_room_for_memories_first() -> None:
    async with harness(limits=MemoryLimits(total=3000)) as running:
        for seed in range(1, 30):
            await see(running, seed, session="other")
        accounting = running.sessions.registry.accounting
        full = accounting.recent
        assert full > 0 and full + accounting.total < 3000 + 256
        await see(running, 1)
        assert accounting.recent < full
        assert {session.id for session in running.sessions.list("")} == {"gate", "other"}


async def test_lessons_count_as_memory_and_are_given_back() -> None:
    async with harness(limits=MemoryLimits(session=2000, recent=64)) as running:
        with pytest.raises(MemoryFull):
            for seed in range(100):
                await teach(running, make_image(seed), "dog", labels=LABELS)
        counters = running.sessions.counters
        assert 0 < counters.bytes_by_strategy["lessons"] <= 2000
        running.sessions.close("", "gate")
        assert running.sessions.counters.bytes == 0


async def test_a_strategy_that_cannot_learn_a_lesson_answers_without_it() -> None:
    async with harness() as running:
        deaf = Parrot(deaf_to=frozenset({1}))
        await see(running, 1, deaf)
        with pytest.raises(Exception, match="parrot failed"):
            await teach(running, FrameRef(1), "dog")
        answer = await see(running, 2, deaf)
        assert notes(answer) == {"frames": 1, "taught": 0} and answer.session.memory_reset


async def test_strategies_without_lessons_are_left_alone() -> None:
    async with harness() as running:
        plain = replace(make_request(1), strategy=Diary(), session="gate", frame_id=1)
        await running.engine.classify(plain)
        told = await teach(running, FrameRef(1), "dog")
        assert told.learnt_by == () and not (await running.engine.classify(plain)).session.memory_reset
        await running.engine.classify(replace(plain, strategy=Diary(views=2)))  # begun after the lesson


async def test_a_teacher_who_leaves_does_not_stop_the_lesson() -> None:
    async with harness() as running:
        await see(running, 1)
        teaching = asyncio.create_task(teach(running, FrameRef(1), "tree"))
        await asyncio.sleep(0)
        teaching.cancel()
        await asyncio.gather(teaching, return_exceptions=True)
        answers = await asyncio.gather(*(see(running, seed) for seed in range(2, 6)))
        assert {top(answer) for answer in answers} == {"tree"}


async def test_lessons_and_frames_in_a_crowd_keep_their_order() -> None:
    async with harness() as running:
        await see(running, 1)
        counts: list[float] = []

        async def frame(seed: int) -> None:
            counts.append(notes(await see(running, seed))["taught"])

        async with asyncio.TaskGroup() as group:
            for seed in range(2, 22):
                group.create_task(frame(seed))
                if seed % 4 == 0:
                    group.create_task(teach(running, FrameRef(1), "dog" if seed % 8 else "cat"))
        assert notes(await see(running, 30))["taught"] == 1
        assert len(running.teaching.lessons("", "gate")) == 1


async def test_lessons_go_with_a_snapshot_and_are_learnt_where_it_is_restored() -> None:
    async with harness() as running:
        await see(running, 1, TDA(), request_id="a")
        await see(running, 2, ZERO)
        await teach(running, RequestRef("a"), "dog")
        await teach(running, FrameRef(2), "tree")
        await teach(running, FrameRef(2), None, labels=OTHER_LABELS)
        state = (await running.persistence.snapshot("", "gate")).state
        taught = running.teaching.lessons("", "gate")
        running.sessions.close("", "gate")
        await running.persistence.restore("", state)
        restored = running.teaching.lessons("", "gate")
        for before, after in zip(taught, restored, strict=True):
            assert torch.equal(before.example.views, after.example.views)
            assert (before.number, before.label) == (after.number, after.label)
            for field_of in ("id", "labels", "reduction", "seen", "frame_id", "request_id"):
                assert getattr(before.example, field_of) == getattr(after.example, field_of)
        assert [len(one.example.views) for one in restored] == [1, 2, 2]
        assert notes(await see(running, 3, Parrot(views=16))) == {"frames": 1, "taught": 2}
        told = await teach(running, ExampleRef(restored[0].example.id), "cat")
        assert told.replaced and [one.number for one in running.teaching.lessons("", "gate")] == [2, 3, 4]


class Fitted(NamedTuple):
    lessons: Tensor  # []
    frames: Tensor  # []
    known: Tensor  # [] lessons that the last fit knew


@dataclass(frozen=True)
class Slow(Strategy[Fitted]):
    """Answers the class whose place is the number of lessons that its last fit knew; `go` lets a fit end."""

    name: ClassVar[str] = "slow"
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0), compare=False)

    def needs(self) -> Needs:
        return Needs(memory=Scope.SESSION)

    def begin(self, text: TextSpace) -> Fitted:
        return Fitted(*torch.zeros(3).unbind())

    def adapt(self, seen: Evidence, memory: Fitted) -> tuple[Tensor, Fitted]:
        return torch.eye(len(seen.text.features))[int(memory.known)], memory._replace(frames=memory.frames + 1)

    def teach(self, seen: Evidence, label: int, memory: Fitted) -> Fitted:
        return memory._replace(lessons=memory.lessons + 1)

    def fit_is_due(self, memory: Fitted) -> bool:
        return bool(memory.lessons != memory.known)

    def fit(self, memory: Fitted, text: TextSpace) -> dict[str, Tensor]:
        assert threading.current_thread().name.startswith("tta-tune") or not memory.frames
        assert self.go.acquire(timeout=PATIENCE)
        return {"known": memory.lessons.clone()}

    def explain(self, seen: Evidence, memory: Fitted) -> dict[str, Tensor | float]:
        return {"frames": memory.frames, "known": memory.known, "lessons": memory.lessons}


async def test_frames_are_answered_while_a_memory_is_fitted_to_its_lessons() -> None:
    async with harness() as running:
        slow = Slow()
        await see(running, 1, slow)
        assert (await teach(running, FrameRef(1), "dog")).learnt_by == ("slow",)
        assert notes(await see(running, 2, slow)) == {"frames": 2, "known": 0, "lessons": 1}
        await teach(running, FrameRef(2), "dog")  # while the first fit runs
        slow.go.release(2)
        await running.fitter.wait()
        assert notes(await see(running, 3, slow)) == {"frames": 3, "known": 2, "lessons": 2}


async def test_a_fit_of_a_memory_that_was_reset_is_dropped() -> None:
    async with harness() as running:
        slow = Slow()
        await see(running, 1, slow)
        told = await teach(running, FrameRef(1), "dog")
        await running.teaching.unlearn("", "gate", [told.example])
        assert notes(await see(running, 2, slow)) == {"frames": 1, "known": 0, "lessons": 0}
        slow.go.release()
        await running.fitter.wait()
        assert notes(await see(running, 3, slow)) == {"frames": 2, "known": 0, "lessons": 0}


async def test_a_memory_that_begins_is_fitted_before_its_first_answer() -> None:
    async with harness() as running:
        slow = Slow()
        slow.go.release()
        await teach(running, make_image(3), "dog", labels=LABELS)
        assert notes(await see(running, 1, slow)) == {"frames": 1, "known": 1, "lessons": 1}


async def test_a_restored_memory_is_fitted_before_its_first_answer() -> None:
    """The server was killed between the lesson and the end of the fit."""
    async with harness() as running:
        parts = running.sessions, running.text_spaces, running.lanes, "model", b"secret"
        snapshots = Snapshots(*parts, start_fit=running.fitter.start_first)
        await see(running, 1, Taught())
        before, after = threading.Event(), threading.Event()
        running.lanes.tune.submit(before.wait, PATIENCE)  # fits run there
        await teach(running, FrameRef(1), "dog")
        state = (await snapshots.take("", "gate")).state
        running.sessions.close("", "gate")
        before.set()
        await running.fitter.wait()
        running.lanes.tune.submit(after.wait, PATIENCE)
        await snapshots.restore("", state)
        first = asyncio.create_task(see(running, 1, Taught()))
        await asyncio.sleep(0.05)
        assert not first.done()
        after.set()
        assert not torch.equal((await first).logits, (await first).zero_shot)


async def test_a_session_that_is_closed_ends_its_fit() -> None:
    async with harness() as running:
        slow = Slow()
        await see(running, 1, slow)
        await teach(running, FrameRef(1), "dog")
        running.sessions.close("", "gate")
        slow.go.release()
        await running.fitter.wait()
        assert running.sessions.counters.bytes == 0


@pytest.mark.parametrize("strategy", [TipAdapter(), GDA(), Taught()], ids=lambda strategy: strategy.name)
async def test_a_taught_session_answers_the_same_wherever_it_is_restored(strategy: Strategy[Any]) -> None:
    async with harness() as running:
        for seed in range(1, 9):
            await see(running, seed, strategy)
            await teach(running, FrameRef(seed), LABELS.names[seed % 3])
        await running.fitter.wait()
        state = (await running.persistence.snapshot("", "gate")).state
        here = await see(running, 20, strategy)
        running.sessions.close("", "gate")
        await running.persistence.restore("", state)
        there = await see(running, 20, strategy)
        assert torch.equal(here.logits, there.logits)
        assert not torch.equal(here.logits, here.zero_shot)


async def test_a_thousand_words_about_one_frame_are_as_good_as_the_last() -> None:
    async with harness() as running:
        await see(running, 1)
        for number in range(1000):
            await teach(running, FrameRef(1), "dog" if number % 2 else "cat")
        assert notes(await see(running, 2)) == {"frames": 1, "taught": 1}
        ahead = [asyncio.create_task(see(running, seed)) for seed in range(3, 6)]
        await asyncio.sleep(0)
        resets = [asyncio.create_task(running.sessions.reset("", "gate")) for _ in range(2000)]
        await asyncio.gather(*ahead, *resets)
        assert top(await see(running, 7)) == "dog"
        (session,) = running.sessions.registry.open_sessions
        assert session.evictable


async def test_a_word_about_a_frame_opens_no_session_and_a_name_of_two_classes_is_refused() -> None:
    async with harness() as running:
        with pytest.raises(UnknownSession):
            await teach(running, FrameRef(1), "dog", session="typo")
        assert running.sessions.list("") == ()
        twice = LabelSet(("crane", "crane", "dog"), allow_duplicates=True)
        with pytest.raises(BadLabels, match="several classes"):
            await teach(running, make_image(1), "crane", labels=twice)


async def test_the_texts_of_label_sets_count_once_with_what_is_remembered_of_them() -> None:
    async with harness() as running:
        accounting = running.sessions.registry.accounting
        large = [LabelSet(tuple(f"{place} {number}" for number in range(100))) for place in "abc"]
        for seed, labels in enumerate(large * 2, start=1):
            await see(running, seed, ZERO, labels=labels)
            await teach(running, FrameRef(seed), "a 1" if labels is large[0] else None)
        texts = sum(len(text) for labels in large for text in (*labels.names, *labels.templates))
        features = 6 * 2 * 64 * 2
        assert accounting.recent == texts + features
        assert accounting.by_strategy["lessons"] == texts + features
        for lesson in running.teaching.lessons("", "gate"):
            await running.teaching.unlearn("", "gate", [lesson.example.id])
        assert "lessons" not in accounting.by_strategy
        running.sessions.close("", "gate")
        assert accounting.recent == accounting.total == 0


async def test_none_of_these_taken_back_costs_no_memory() -> None:
    async with harness() as running:
        for seed in (1, 2):
            await see(running, seed)
        told = await teach(running, FrameRef(1), None)
        assert await running.teaching.unlearn("", "gate", [told.example]) == ([told.example], [])
        none = await teach(running, FrameRef(2), None)
        again = await teach(running, FrameRef(2), "dog")
        assert again == LessonResult(none.example, replaced=True, learnt_by=("parrot",))
        assert notes(await see(running, 3)) == {"frames": 3, "taught": 1}


async def test_a_memory_whose_fit_fails_begins_without_lessons() -> None:
    async with harness() as running:
        await teach(running, make_image(3), "dog", labels=LABELS)
        answer = await see(running, 1, Unfit())
        assert notes(answer) == {"frames": 1, "taught": 0}


@dataclass(frozen=True)
class Unfit(Parrot):
    """Learns, and cannot be fitted."""

    name: ClassVar[str] = "unfit"

    def fit(self, memory: Heard, text: TextSpace) -> dict[str, Tensor]:
        raise ZeroDivisionError


def picture(width: int, height: int) -> Encoded:
    file = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(file, "PNG")
    return Encoded(file.getvalue())


async def test_thumbnails_stay_with_recent_pictures_and_lessons_count_and_go_with_a_snapshot() -> None:
    async with harness(settings=Settings(sessions=Sessions(thumbnails=24))) as running:
        accounting = running.sessions.registry.accounting
        await see(running, 1, TipAdapter(), image=picture(96, 48))
        await see(running, 2, TipAdapter(), image=Features(torch.eye(64)[:1]))
        plain = accounting.recent
        told = [await teach(running, FrameRef(1), "dog"), await teach(running, FrameRef(2), "cat")]
        told.append(await teach(running, picture(20, 40), "tree", labels=LABELS))
        lessons = running.teaching.lessons("", "gate")
        thumbnails = [lesson.example.thumbnail for lesson in lessons]
        assert [Image.open(io.BytesIO(one)).size if one else None for one in thumbnails] == [(24, 12), None, (12, 24)]
        texts = sum(map(len, (*LABELS.names, *LABELS.templates)))
        assert plain == len(thumbnails[0]) + 2 * 2 * 64 + texts
        assert accounting.by_strategy["lessons"] == sum(map(len, thumbnails)) + 3 * 2 * 64 + texts
        state = (await running.persistence.snapshot("", "gate")).state
        running.sessions.close("", "gate")
        assert accounting.recent == accounting.total == 0
        await running.persistence.restore("", state)
        assert [lesson.example.thumbnail for lesson in running.teaching.lessons("", "gate")] == thumbnails


async def test_only_pictures_that_a_lesson_may_be_about_get_a_thumbnail() -> None:
    async with harness(settings=Settings(sessions=Sessions(thumbnails=24))) as running:
        for session, strategy, remember in product(("", "gate"), (Parrot(), ZERO), (False, True)):
            request = make_request(1, strategy, session=session, remember=remember)
            assert bool((await running.engine.classify(request)).thumbnail) is bool(session or remember)


@dataclass(frozen=True)
class Choosy(Parrot):
    """Remembers how many pictures were of none of the classes, in place of the plain view."""

    name: ClassVar[str] = "choosy"

    def teach_none(self, seen: Evidence, memory: Heard) -> Heard:
        return memory._replace(last=memory.last + 1)

    def explain(self, seen: Evidence, memory: Heard) -> dict[str, Tensor | float]:
        return {**super().explain(seen, memory), "none": float(memory.last[0])}


async def test_none_of_these_is_learnt_by_those_who_can() -> None:
    async with harness() as running:
        for seed in (1, 2):
            await see(running, seed)
            await see(running, seed, Choosy())
        first = await teach(running, FrameRef(1), None)
        assert first.learnt_by == ("choosy",)
        assert notes(await see(running, 3, Choosy()))["none"] == 1 and notes(await see(running, 3))["taught"] == 0
        told = await teach(running, FrameRef(1), "dog")
        assert told == LessonResult(first.example, replaced=True, learnt_by=("parrot",), began_anew=("choosy",))
        now = notes(await see(running, 4, Choosy()))
        assert (now["frames"], now["taught"]) == (1, 1)


async def test_lessons_are_learnt_anew_where_a_newer_version_of_the_strategy_remembers_other_things() -> None:
    async with harness() as running:
        for seed in (1, 2):
            await see(running, seed, TDA())
            await see(running, seed, TipAdapter())
        await teach(running, FrameRef(1), "dog")
        codec, subject = SignedCodec(b"secret"), Subject("snapshot", "")
        snapshots = Snapshots(running.sessions, running.text_spaces, running.lanes, "model", b"secret")
        header, tensors = codec.loads((await snapshots.take("", "gate")).state, subject)
        place = next(i for i, one in enumerate(header["memories"]) if one["strategy"][0] == "tip_adapter")
        tensors[f"{place}.memory.of_another_version"] = tensors.pop(f"{place}.memory.features")
        await snapshots.restore("", codec.dumps(header, tensors, subject, lessons=True))
        tip, tda = await see(running, 3, TipAdapter()), await see(running, 3, TDA())
        assert tip.session.memory_reset and notes(tip)["fill"] > 0
        assert not tda.session.memory_reset
