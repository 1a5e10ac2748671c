"""Sums of other sites and the state store: a group's servers share them, and stored memories know which they learnt."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.serving.harness import EXACT, LABELS, make_request
from tests.serving.persistence.test_group_sync import Server, server
from tta_service.core.lesson_sums import LessonSums
from tta_service.core.request import Report
from tta_service.maths import unit
from tta_service.strategies.gda import GDA
from tta_service.sums import sum_up


async def sums(one: Server, seed: int = 0) -> LessonSums:
    """Of lessons that somebody else was taught."""
    text = await one.running.text_spaces.get(LABELS)
    draw = torch.Generator().manual_seed(seed)
    label = torch.arange(len(LABELS.names)).repeat(4)
    rows = torch.randn(len(label), text.features.shape[1], generator=draw)
    return sum_up(unit(rows), label, LABELS, EXACT)


async def see(one: Server, session: str = "cam", frame_id: int = 1) -> Report:
    await one.persistence.load("ann", session, group="belt")
    asked = {"session": session, "group": "belt", "owner": "ann", "frame_id": frame_id}
    return await one.running.engine.classify(make_request(1, GDA(), **asked))


async def put(one: Server, *told: LessonSums, site: str = "north") -> tuple[str, ...]:
    await one.persistence.load("ann", "", opening=True, group="belt")
    anew = await one.running.teaching.sums.take("ann", "belt", site, told)
    assert await one.persistence.save_lessons("ann", "", "belt")
    return anew


async def test_the_groups_servers_share_what_sites_tell_and_take_back(where: str) -> None:
    async with server(where) as one, server(where) as two:
        plain = (await see(two)).logits
        told = await sums(one)
        await put(one, told)
        await two.look()
        heard = await see(two, frame_id=2)
        assert heard.session.memory_reset and not torch.equal(heard.logits, plain)
        assert torch.equal(heard.logits, (await see(one, "here")).logits)
        await two.look()
        assert not (await see(two, frame_id=3)).session.memory_reset
        assert await put(two) == ("gda",)
        await one.look()
        assert torch.equal((await see(one, "here", 2)).logits, plain)
    async with server(where) as three:
        assert torch.equal((await see(three, "new")).logits, plain)
        await put(three, told)
    async with server(where) as four:
        assert torch.equal((await see(four, "new", 2)).logits, heard.logits)


async def test_a_stored_memory_goes_on_unless_its_sums_have_changed(where: str) -> None:
    async with server(where) as one:
        told = await sums(one)
        await put(one, told)
        first = await see(one)
        await one.persistence.save_all()
    async with server(where) as two:
        again = await see(two, frame_id=2)
        assert again.session.origin == "restored" and not again.session.memory_reset
        assert torch.equal(again.logits, first.logits)
        await two.persistence.save_all()
    async with server(where) as three:
        await put(three, await sums(three, seed=1))
        changed = await see(three, frame_id=3)
        assert changed.session.memory_reset and not torch.equal(changed.logits, first.logits)
        assert torch.equal(changed.logits, (await see(three, "new")).logits)


async def test_a_server_with_another_model_leaves_sums_alone(tmp_path: Path) -> None:
    async with server(str(tmp_path)) as one:
        plain = (await see(one)).logits
        await put(one, await sums(one))
        heard = (await see(one, frame_id=2)).logits
    async with server(str(tmp_path), model="another") as two:
        assert torch.equal((await see(two, "new")).logits, plain)
    async with server(str(tmp_path)) as three:
        assert torch.equal((await see(three, "newer")).logits, heard)
