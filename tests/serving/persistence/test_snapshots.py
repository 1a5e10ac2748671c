from __future__ import annotations

import asyncio
import threading

import pytest
import torch

from tests.patience import PATIENCE
from tests.serving.harness import Harness, harness, request, settle
from tests.serving.toys import Halved
from tta_service import LabelSet
from tta_service.core.errors import (
    BadRequest,
    MemoryFull,
    SessionInUse,
    UnknownReducer,
    UnknownSession,
    UnknownStrategy,
)
from tta_service.core.events import Closed
from tta_service.core.reducer import Reduction
from tta_service.core.request import Report, Request
from tta_service.serving.persistence.signing import SignedCodec
from tta_service.serving.persistence.snapshots import Snapshot, Snapshots
from tta_service.serving.sessions.accounting import MemoryLimits
from tta_service.strategies.tda import TDA

SECRET = b"a secret for tests"
FIRST, SECOND = TDA(), TDA(alpha=1.0)


def snapshots(home: Harness, fingerprint: str = "model", secret: bytes = SECRET) -> Snapshots:
    return Snapshots(home.sessions, home.text_spaces, home.lanes, fingerprint, secret)


async def watch(home: Harness, *numbers: int) -> list[Report]:
    asked = [request(n, s, session="cam", frame_id=n, owner="ann") for n in numbers for s in (FIRST, SECOND)]
    return [await home.engine.classify(frame) for frame in asked]


async def taken(home: Harness) -> Snapshot:
    return await snapshots(home).take("ann", "cam")


async def test_a_restored_session_goes_on_bit_for_bit():
    async with harness() as home:
        await watch(home, 1, 2, 3, 4)
        kept = await taken(home)
        expected = await watch(home, 5, 6, 7)
    async with harness() as home:
        info = await snapshots(home).restore("ann", kept.state)
        assert (info.id, info.frames, info.last_frame_id, info.epoch) == ("cam", 8, 4, kept.epoch + 1)
        answers = await watch(home, 5, 6, 7)
    for mine, theirs in zip(answers, expected):
        assert torch.equal(mine.logits, theirs.logits)
        assert mine.session.memory_bytes == theirs.session.memory_bytes
    assert [answer.session.origin for answer in answers[:2]] == ["restored", "continued"]


async def test_a_session_about_two_classes_of_one_name_is_restored():
    twins = LabelSet(("crane", "cat", "crane"), allow_duplicates=True)

    def asked(n: int) -> Request:
        return request(n, FIRST, session="cam", frame_id=n, owner="ann", labels=twins)

    async with harness() as home:
        await home.engine.classify(asked(1))
        state = (await taken(home)).state
        expected = await home.engine.classify(asked(2))
    async with harness() as home:
        await snapshots(home).restore("ann", state)
        again = await home.engine.classify(asked(2))
    assert torch.equal(again.logits, expected.logits) and again.session.origin == "restored"


async def test_a_snapshot_takes_a_turn_like_a_frame():
    async with harness() as home:
        await watch(home, 1)
        expected = SignedCodec(SECRET).loads((await taken(home)).state)[1]
    async with harness(adapt=1) as home:
        go = threading.Event()
        gate = home.lanes.adapt.submit(go.wait, PATIENCE)
        before = asyncio.create_task(watch(home, 1))
        await settle()  # it has its place: that is taken on arrival
        taking = asyncio.create_task(taken(home))
        await settle()
        after = asyncio.create_task(home.engine.classify(request(2, FIRST, session="cam", frame_id=2, owner="ann")))
        await settle()
        go.set()
        assert gate.result(PATIENCE)
        said, tensors = SignedCodec(SECRET).loads((await taking).state)
        await asyncio.gather(before, after)
    assert said["last_frame_id"] == 1
    assert set(tensors) < set(expected) and all(torch.equal(tensors[name], expected[name]) for name in tensors)


async def test_the_copy_is_not_touched_by_later_frames():
    async with harness() as home:
        await watch(home, 1)
        first = (await taken(home)).state
        await watch(home, 2)
        assert first != (await taken(home)).state
        await snapshots(home).restore("ann", first)
        assert (await taken(home)).state[32:] != first[32:]  # another epoch, the same tensors
        _, mine = SignedCodec(SECRET).loads((await taken(home)).state)
        _, theirs = SignedCodec(SECRET).loads(first)
    assert mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


@pytest.mark.parametrize("owner, fingerprint, secret, said", [
    ("bob", "model", SECRET, "owner"),
    ("ann", "other", SECRET, "model"),
    ("ann", "model", b"else", "changed"),
])  # fmt: skip
async def test_a_stranger_is_refused(owner: str, fingerprint: str, secret: bytes, said: str):
    async with harness() as home:
        await watch(home, 1)
        state = (await taken(home)).state
        with pytest.raises(BadRequest, match=said) as refused:
            await snapshots(home, fingerprint, secret).restore(owner, state)
        assert refused.value.field == "state"


@pytest.mark.parametrize("change", [lambda s: s[:-1], lambda s: b"", lambda s: s[:40] + b"x" + s[41:], lambda s: s * 2])
async def test_a_changed_state_is_refused(change):
    async with harness() as home:
        await watch(home, 1)
        with pytest.raises(BadRequest, match="changed"):
            await snapshots(home).restore("ann", change((await taken(home)).state))


async def test_a_state_that_does_not_fit_is_refused_naming_the_tensor():
    async with harness() as home:
        await watch(home, 1)
        said, tensors = SignedCodec(SECRET).loads((await taken(home)).state)
        name = next(iter(tensors))
        for wrong in ({**tensors, name: tensors[name][..., None]}, {k: v for k, v in tensors.items() if k != name}):
            with pytest.raises(BadRequest, match=name.partition(".")[2]):
                await snapshots(home).restore("ann", SignedCodec(SECRET).dumps(said, wrong))
        said["memories"][0]["strategy"][0] = "gone"
        with pytest.raises(UnknownStrategy):
            await snapshots(home).restore("ann", SignedCodec(SECRET).dumps(said, tensors))
        assert home.sessions.counters.sessions == 1  # nothing was replaced


async def test_a_session_in_use_is_not_replaced_and_a_resting_one_is():
    async with harness() as home:
        await watch(home, 1)
        state = (await taken(home)).state
        with home.sessions.lease("ann", "cam"), pytest.raises(SessionInUse, match="in use") as caught:
            await snapshots(home).restore("ann", state)
        assert caught.value.field == "session_id" and home.of(Closed) == []
        await snapshots(home).restore("ann", state)
        assert home.of(Closed) == [Closed("client", 2)]


async def test_a_restore_without_room_leaves_nothing_behind():
    async with harness() as home:
        await watch(home, 1)
        state = (await taken(home)).state
        size = home.sessions.get("ann", "cam").memory_bytes
    async with harness(limits=MemoryLimits(total=size - 1)) as home:
        with pytest.raises(MemoryFull):
            await snapshots(home).restore("ann", state)
        assert home.sessions.counters.sessions == home.sessions.counters.bytes == 0


async def test_a_session_without_memories_has_a_snapshot_too():
    async with harness() as home:
        await home.engine.classify(request(0, session="cam", owner="ann", frame_id=3))
        state = (await taken(home)).state
        home.sessions.close("ann", "cam")
        with pytest.raises(UnknownSession):
            await taken(home)
        assert (await snapshots(home).restore("ann", state)).last_frame_id == 3


async def test_reductions_are_part_of_a_memory():
    async with harness() as home:
        await home.engine.classify(
            request(1, FIRST, session="cam", owner="ann", reduction=Reduction(Halved(), "augmented"))
        )
        state = (await taken(home)).state
        said, _ = SignedCodec(SECRET).loads(state)
        assert said["memories"][0]["reduction"] == ["halved", {}, "augmented"]
        with pytest.raises(UnknownReducer):  # this toy is in no catalogue
            await snapshots(home).restore("ann", state)
