from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
import torch

from tests.patience import PATIENCE
from tests.serving.harness import Harness, harness, make_request, settle
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
from tta_service.serving.persistence.encryption import Subject
from tta_service.serving.persistence.signing import SignedCodec
from tta_service.serving.persistence.snapshots import Snapshot, Snapshots
from tta_service.serving.sessions.memory import MemoryLimits
from tta_service.strategies.tda import TDA

SECRET = b"a secret for tests"
SUBJECT = Subject("snapshot", "ann")
FIRST, SECOND = TDA(), TDA(alpha=1.0)


def snapshots(running: Harness, fingerprint: str = "model", secret: bytes = SECRET) -> Snapshots:
    return Snapshots(running.sessions, running.text_spaces, running.lanes, fingerprint, secret)


async def classify(running: Harness, *numbers: int) -> list[Report]:
    frames = [make_request(n, s, session="cam", frame_id=n, owner="ann") for n in numbers for s in (FIRST, SECOND)]
    return [await running.engine.classify(frame) for frame in frames]


async def take(running: Harness) -> Snapshot:
    return await snapshots(running).take("ann", "cam")


async def test_sentences_of_a_label_set_are_part_of_a_snapshot():
    labels = LabelSet(("cat", "dog"), sentences={"dog": ["it barks", "a loud pet"]})
    async with harness() as running:
        await running.engine.classify(make_request(1, FIRST, session="cam", owner="ann", labels=labels))
        snapshot = await take(running)
    async with harness() as running:
        await snapshots(running).restore("ann", snapshot.state)
        answer = await running.engine.classify(make_request(2, FIRST, session="cam", owner="ann", labels=labels))
    assert (answer.session.origin, answer.session.memory_reset) == ("restored", False)


async def test_a_restored_session_goes_on_bit_for_bit():
    async with harness() as running:
        await classify(running, 1, 2, 3, 4)
        snapshot = await take(running)
        expected = await classify(running, 5, 6, 7)
    async with harness() as running:
        info = await snapshots(running).restore("ann", snapshot.state)
        assert (info.id, info.frames, info.last_frame_id, info.epoch) == ("cam", 8, 4, snapshot.epoch + 1)
        answers = await classify(running, 5, 6, 7)
    for answer, original in zip(answers, expected):
        assert torch.equal(answer.logits, original.logits)
        assert answer.session.memory_bytes == original.session.memory_bytes
    assert [answer.session.origin for answer in answers[:2]] == ["restored", "continued"]


async def test_a_session_about_two_classes_of_one_name_is_restored():
    twins = LabelSet(("crane", "cat", "crane"), allow_duplicates=True)

    def frame(n: int) -> Request:
        return make_request(n, FIRST, session="cam", frame_id=n, owner="ann", labels=twins)

    async with harness() as running:
        await running.engine.classify(frame(1))
        state = (await take(running)).state
        expected = await running.engine.classify(frame(2))
    async with harness() as running:
        await snapshots(running).restore("ann", state)
        again = await running.engine.classify(frame(2))
    assert torch.equal(again.logits, expected.logits) and again.session.origin == "restored"


async def test_a_snapshot_takes_a_turn_like_a_frame():
    async with harness() as running:
        await classify(running, 1)
        expected = SignedCodec(SECRET).loads((await take(running)).state, SUBJECT)[1]
    async with harness(adapt=1) as running:
        go = threading.Event()
        gate = running.lanes.adapt.submit(go.wait, PATIENCE)
        before = asyncio.create_task(classify(running, 1))
        await settle()  # its turn is taken on arrival
        taking = asyncio.create_task(take(running))
        await settle()
        after = asyncio.create_task(
            running.engine.classify(make_request(2, FIRST, session="cam", frame_id=2, owner="ann"))
        )
        await settle()
        go.set()
        assert gate.result(PATIENCE)
        header, tensors = SignedCodec(SECRET).loads((await taking).state, SUBJECT)
        await asyncio.gather(before, after)
    assert header["last_frame_id"] == 1
    assert set(tensors) < set(expected) and all(torch.equal(tensors[name], expected[name]) for name in tensors)


async def test_the_copy_is_not_touched_by_later_frames():
    async with harness() as running:
        await classify(running, 1)
        first = (await take(running)).state
        await classify(running, 2)
        assert first != (await take(running)).state
        await snapshots(running).restore("ann", first)
        assert (await take(running)).state[32:] != first[32:]  # another epoch, the same tensors
        _, now = SignedCodec(SECRET).loads((await take(running)).state, SUBJECT)
        _, then = SignedCodec(SECRET).loads(first, SUBJECT)
    assert now.keys() == then.keys() and all(torch.equal(now[name], then[name]) for name in now)


@pytest.mark.parametrize("owner, fingerprint, secret, sentence", [
    ("bob", "model", SECRET, "owner"),
    ("ann", "other", SECRET, "model"),
    ("ann", "model", b"else", "changed"),
])  # fmt: skip
async def test_a_snapshot_of_another_owner_model_or_secret_is_refused(
    owner: str, fingerprint: str, secret: bytes, sentence: str
):
    async with harness() as running:
        await classify(running, 1)
        state = (await take(running)).state
        with pytest.raises(BadRequest, match=sentence) as refused:
            await snapshots(running, fingerprint, secret).restore(owner, state)
        assert refused.value.field == "state"


@pytest.mark.parametrize("change", [lambda s: s[:-1], lambda s: b"", lambda s: s[:40] + b"x" + s[41:], lambda s: s * 2])
async def test_a_changed_state_is_refused(change):
    async with harness() as running:
        await classify(running, 1)
        with pytest.raises(BadRequest, match="changed"):
            await snapshots(running).restore("ann", change((await take(running)).state))


async def test_a_state_that_does_not_fit_is_refused_naming_the_tensor():
    async with harness() as running:
        await classify(running, 1)
        header, tensors = SignedCodec(SECRET).loads((await take(running)).state, SUBJECT)
        name = next(iter(tensors))
        for wrong in ({**tensors, name: tensors[name][..., None]}, {k: v for k, v in tensors.items() if k != name}):
            with pytest.raises(BadRequest, match=name.partition(".")[2]):
                await snapshots(running).restore("ann", SignedCodec(SECRET).dumps(header, wrong, SUBJECT))
        header["memories"][0]["strategy"][0] = "gone"
        with pytest.raises(UnknownStrategy):
            await snapshots(running).restore("ann", SignedCodec(SECRET).dumps(header, tensors, SUBJECT))
        assert running.sessions.counters.sessions == 1  # nothing was replaced


async def test_an_idle_session_is_replaced_and_one_in_use_is_not():
    async with harness() as running:
        await classify(running, 1)
        state = (await take(running)).state
        with running.sessions.lease("ann", "cam"), pytest.raises(SessionInUse, match="in use") as caught:
            await snapshots(running).restore("ann", state)
        assert caught.value.field == "session_id" and running.of(Closed) == []
        await snapshots(running).restore("ann", state)
        assert running.of(Closed) == [Closed("client", 2)]


async def test_a_restore_without_room_leaves_nothing_behind():
    async with harness() as running:
        await classify(running, 1)
        state = (await take(running)).state
        size = running.sessions.get("ann", "cam").memory_bytes
    async with harness(limits=MemoryLimits(total=size - 1)) as running:
        with pytest.raises(MemoryFull):
            await snapshots(running).restore("ann", state)
        assert running.sessions.counters.sessions == running.sessions.counters.bytes == 0


@pytest.mark.parametrize("limit", ["session", "owner", "total"])
async def test_a_restore_without_room_leaves_the_session_that_it_would_replace(limit: str):
    async with harness() as running:
        await classify(running, 1)
        state = (await take(running)).state
        size = running.sessions.get("ann", "cam").memory_bytes
    async with harness(limits=MemoryLimits(**{limit: size - 1})) as running:
        await running.engine.classify(make_request(1, FIRST, session="cam", frame_id=1, owner="ann"))
        before = running.sessions.counters
        with pytest.raises(MemoryFull):
            await snapshots(running).restore("ann", state)
        assert running.sessions.counters == before and running.sessions.get("ann", "cam").frames == 1
        assert running.of(Closed) == []
    async with harness(limits=MemoryLimits(**{limit: size})) as running:  # without the old one there is room
        await running.engine.classify(make_request(1, FIRST, session="cam", frame_id=1, owner="ann"))
        await snapshots(running).restore("ann", state)
        assert running.sessions.get("ann", "cam").memory_bytes == size and running.of(Closed) == [Closed("client", 1)]


async def test_a_session_without_memories_has_a_snapshot_too():
    async with harness() as running:
        await running.engine.classify(make_request(0, session="cam", owner="ann", frame_id=3))
        state = (await take(running)).state
        running.sessions.close("ann", "cam")
        with pytest.raises(UnknownSession):
            await take(running)
        assert (await snapshots(running).restore("ann", state)).last_frame_id == 3


async def test_reductions_are_part_of_a_memory():
    async with harness() as running:
        await running.engine.classify(
            make_request(1, FIRST, session="cam", owner="ann", reduction=Reduction(Halved(), "augmented"))
        )
        state = (await take(running)).state
        header, _ = SignedCodec(SECRET).loads(state, SUBJECT)
        assert header["memories"][0]["reduction"] == ["halved", {}, "augmented"]
        with pytest.raises(UnknownReducer):  # this toy is in no catalogue
            await snapshots(running).restore("ann", state)


WRONG: dict[str, Any] = {
    "epoch": "one",
    "frames": None,
    "last_frame_id": [3],
    "memories": [None],
    "trust": [1],
    "calibrations": 7,
    "fingerprint": None,
    "group": 3,
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_is_signed_and_no_session_is_refused(name: str):
    codec = SignedCodec(SECRET)
    async with harness() as running:
        await classify(running, 1)
        header, values = codec.loads((await take(running)).state, SUBJECT)
        forged = codec.dumps(header | {name: WRONG[name]}, values, SUBJECT)
        with pytest.raises(BadRequest, match="this snapshot"):
            await snapshots(running).restore("ann", forged)
        (answer, _) = await classify(running, 2)
        assert answer.logits.isfinite().all() and not running.sessions.registry.find("ann", "cam").holds


@pytest.mark.parametrize(
    "content", [{"resume": "cam"}, {"resume": 3, "named": True}, {"resume": "a", "named": 1}, [], 3]
)
async def test_a_signed_token_of_another_shape_resumes_nothing(content: Any):
    async with harness() as running:
        whole = {"owner": "ann", **content} if isinstance(content, dict) else content
        token = SignedCodec(SECRET).dumps(whole, {}, Subject("token", "ann"))
        with pytest.raises(BadRequest, match="resumes no stream"):
            snapshots(running).tokens.read("ann", token)
