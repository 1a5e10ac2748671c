"""The guard through the engine: whose answers it replaces, and that it is part of a memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from tests.serving.harness import Harness, harness, make_request
from tests.serving.persistence.test_snapshots import snapshots
from tta_service import Evidence, Needs, Scope, Strategy, TextSpace
from tta_service.core.request import Report
from tta_service.strategies.tda import TDA


class Count(NamedTuple):
    frames: Tensor  # ()


@dataclass(frozen=True)
class Stubborn(Strategy[Count]):
    """Always answers class 0, and counts its frames."""

    name: ClassVar[str] = "stubborn"
    compat: bool = False

    def needs(self) -> Needs:
        return Needs(memory=Scope.SESSION)

    def begin(self, text: TextSpace) -> Count:
        return Count(torch.zeros(()))

    def adapt(self, seen: Evidence, memory: Count) -> tuple[Tensor, Count]:
        answer = torch.zeros(len(seen.text.features))
        answer[0] = 1 + memory.frames
        return answer, Count(memory.frames + 1)


async def classify(running: Harness, strategy: Strategy, count: int, first: int = 0, **given) -> list[Report]:
    frames = range(first, first + count)
    return [
        await running.engine.classify(make_request(i, strategy, session="cam", owner="ann", **given)) for i in frames
    ]


async def test_a_collapsed_memory_answers_no_longer_but_goes_on_learning():
    async with harness() as running:
        reports = await classify(running, Stubborn(), 150)
        assert all(torch.equal(one.logits, one.zero_shot) == one.guarded for one in reports)
        differing = [one for one in reports[120:] if int(one.zero_shot.argmax()) != 0]
        assert differing and all(one.guarded for one in differing)
        (last,) = await classify(running, Stubborn(), 1, first=150, guard=False)
        assert float(last.logits[0]) == 151, "frames that the guard answered have been learnt"


async def test_without_guard_and_under_compat_the_strategy_answers():
    async with harness() as running:
        for reports in (
            await classify(running, Stubborn(), 130, guard=False),
            await classify(running, Stubborn(compat=True), 130),
        ):
            assert not any(one.guarded for one in reports)
            assert all(int(one.logits.argmax()) == 0 for one in reports)


async def test_the_guard_is_part_of_the_snapshot():
    async with harness() as running:
        await classify(running, TDA(), 30)
        snapshot = await snapshots(running).take("ann", "cam")
        expected = await classify(running, TDA(), 20, first=30)
    async with harness() as running:
        await snapshots(running).restore("ann", snapshot.state)
        answers = await classify(running, TDA(), 20, first=30)
    assert [one.guarded for one in answers] == [one.guarded for one in expected]
    assert all(torch.equal(one.logits, other.logits) for one, other in zip(answers, expected, strict=True))
    assert replace(answers[0].session, origin="") == replace(expected[0].session, origin="")  # type: ignore[arg-type]
