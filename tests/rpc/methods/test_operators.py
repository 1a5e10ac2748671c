"""What operators do to a running server."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from tests.rpc.conftest import LABELS, Harness, open_harness, opening, options, question
from tests.rpc.test_owners import DENIED, Keyed, code_of, next_reply, two_keys
from tests.wire.test_keys import add
from tta_service.app.server_info import make_counts
from tta_service.core.events import Audited
from tta_service.methods.uploads import UploadBudget
from tta_service.serving.persistence.stores.folder import FolderStore
from tta_service.settings import Settings
from tta_service.wire.identity import Identity
from tta_service.wire.keys import KeyFile, Role
from tta_service.wire.v1 import tta_pb2 as pb

TDA = options("tda", views=1)
ASKING = pb.Options(strategy=TDA.strategy, ask=True)


async def disabled(harness: Harness) -> set[str]:
    """As callers and scrapers see it."""
    listed = (await harness.stub.ListStrategies(pb.ListStrategiesRequest())).strategies
    uploads = UploadBudget(1, 1)
    counts = make_counts(Settings(), harness.parts, harness.service.buffered, uploads, harness.service.permits)
    names = {one.name for one in listed if one.disabled}
    assert counts.strategies_disabled == dict.fromkeys(names, 1)
    return names


async def test_a_strategy_is_switched_off_and_on():
    async with open_harness() as harness:
        assert not await disabled(harness)
        reply = await harness.stub.SetStrategyState(pb.SetStrategyStateRequest(name="tda"))
        assert list(reply.disabled) == ["tda"] and await disabled(harness) == {"tda"}
        answer = await harness.stub.Classify(question(options=TDA))
        assert answer.strategy.name == "zero_shot"
        assert (answer.degraded.reason, answer.degraded.zero_shot) == (pb.Degraded.REASON_DISABLED, True)
        await harness.stub.SetStrategyState(pb.SetStrategyStateRequest(name="tda", enabled=True))
        answer = await harness.stub.Classify(question(options=TDA))
        assert answer.strategy.name == "tda" and not answer.HasField("degraded") and not await disabled(harness)


@pytest.mark.parametrize("name", ["magic", "zero_shot", ""])
async def test_what_cannot_be_switched_off_is_named(name: str):
    async with open_harness() as harness:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await harness.stub.SetStrategyState(pb.SetStrategyStateRequest(name=name))
        assert refused.value.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT)
        assert (refused.value.details() or "").startswith("name: ")


async def test_only_an_admin_may(tmp_path: Path):
    async with two_keys(tmp_path, Role.TEACH) as (harness, ann, _):
        admin = Keyed(harness.channel, add(tmp_path / "keys", "eve", Role.ADMIN))
        for method, request in (
            ("SetStrategyState", pb.SetStrategyStateRequest(name="tda")),
            ("DeleteOwner", pb.DeleteOwnerRequest(owner="ann")),
        ):
            assert await code_of(getattr(ann, method)(request)) is DENIED
            assert await code_of(getattr(admin, method)(request)) is grpc.StatusCode.OK


class Kept:
    """What an owner has on a server: a session with a question and a stored one, a lesson group, a label set."""

    def __init__(self, caller: Keyed) -> None:
        self.caller = caller

    async def make(self, harness: Harness) -> None:
        for session in ("cam", "gate"):
            await self.caller.Classify(question(session_id=session, options=ASKING))
        teach = pb.TeachSessionRequest(lesson_group="belt")
        teach.lessons.add(image=question().image, label="cat", labels=question().labels)
        await self.caller.TeachSession(teach)
        self.label_set = (await self.caller.PutLabelSet(pb.PutLabelSetRequest(label_set=LABELS.label_set))).info.id
        await harness.parts.persistence.save_all()

    async def outcomes(self) -> dict[str, str]:
        call, belt = self.caller, pb.ListLessonsRequest(lesson_group="belt")
        return {
            "session": (await code_of(call.GetSession(pb.GetSessionRequest(session_id="cam")))).name,
            "stored": (await code_of(call.SnapshotSession(pb.SnapshotSessionRequest(session_id="gate")))).name,
            "questions": (await code_of(call.ListQuestions(pb.ListQuestionsRequest(session_id="cam")))).name,
            "labels": (await code_of(call.GetLabelSet(pb.GetLabelSetRequest(id=self.label_set)))).name,
            "lessons": (await code_of(call.ListLessons(belt))).name,
        }


async def test_all_of_an_owner_is_deleted_and_nothing_of_another(tmp_path: Path):
    tokens = [add(tmp_path / "keys", name, Role.TEACH) for name in ("ann", "bob")]
    tokens.append(add(tmp_path / "keys", "eve", Role.ADMIN))
    folder = tmp_path / "store"
    identity = Identity(KeyFile(tmp_path / "keys", recheck=0.0))
    async with open_harness(identity=identity, store=FolderStore(folder, 3600.0)) as harness:
        ann, bob, admin = (Keyed(harness.channel, token) for token in tokens)
        for kept in (hers := Kept(ann), his := Kept(bob)):
            await kept.make(harness)
        before = await his.outcomes()
        assert set(before.values()) == {"OK"} == set((await hers.outcomes()).values())
        files = len(list(folder.rglob("owned-*")))  # two sessions of each, one of them open, and a group
        assert files == 2 * 3
        harness.parts.sessions.registry.close(harness.parts.sessions.registry.find("ann", "gate"), "capacity")
        stream = ann.ClassifyStream()
        await stream.write(opening(session_id="cam"))
        await next_reply(stream, "status")
        request = pb.DeleteOwnerRequest(owner="ann")
        gone = await admin.DeleteOwner(request)
        assert (gone.sessions, gone.lesson_groups, gone.label_sets, gone.stored) == (1, 1, 1, 3)
        assert await code_of(stream.read()) is grpc.StatusCode.NOT_FOUND
        assert len(list(folder.rglob("owned-*"))) == files / 2
        assert await admin.DeleteOwner(request) == pb.DeleteOwnerResponse()  # again, and nothing is left
        assert await his.outcomes() == before
        assert await hers.outcomes() == dict.fromkeys(before, "NOT_FOUND")
    changed = [(event.action, event.owner, event.about) for event in harness.of(Audited)]
    counts = {"sessions": 1, "lesson_groups": 1, "label_sets": 1}
    assert changed[-4:-2] == [
        ("owner_deleted", "eve", {"deleted": "ann"} | counts),
        ("owner_deleted_from_store", "eve", {"deleted": "ann", "stored": 3}),
    ]


async def test_what_an_owner_has_adopted_is_deleted_with_it(tmp_path: Path):
    store = FolderStore(tmp_path / "store", 3600.0)
    async with open_harness(store=store) as harness:
        await harness.stub.Classify(question(session_id="cam", options=TDA))
        await harness.parts.persistence.save_all()
    for adopt_owner, left in (("bob", 1), ("ann", 0)):
        async with open_harness(store=store, sessions={"adopt_owner": adopt_owner}) as harness:
            await harness.stub.DeleteOwner(pb.DeleteOwnerRequest(owner="ann"))
            assert len(list((tmp_path / "store").glob("*.session"))) == left


@pytest.mark.parametrize("owner", ["", " ann", "a\nb", "a" * 129])
async def test_what_is_no_owner_is_named(owner: str):
    async with open_harness() as harness:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await harness.stub.DeleteOwner(pb.DeleteOwnerRequest(owner=owner))
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert (refused.value.details() or "").startswith("owner: ")
