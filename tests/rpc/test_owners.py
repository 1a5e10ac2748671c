"""Two callers with keys of their own: neither can see, change or push out what the other has."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.rpc.conftest import code_of
from tests.wire.test_keys import add
from tta_service.core.events import Called, Refused
from tta_service.rpc.v1.tta_pb2_grpc import AdaptationServiceStub
from tta_service.wire.identity import Identity
from tta_service.wire.keys import KeyFile, Role, edit_keys
from tta_service.wire.v1 import tta_pb2 as pb

from .conftest import Harness, frame, open_harness, opening, options, question, until

NOT_FOUND, FAILED_PRECONDITION = grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION
UNAUTHENTICATED, DENIED = grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED
TDA = options("tda", views=1)


class Keyed:
    """The methods of the service, called with one key. `metadata` comes with every call."""

    def __init__(self, channel: grpc.aio.Channel, token: str = "", *metadata: tuple[str, str]) -> None:
        self._stub = AdaptationServiceStub(channel)
        self._metadata = (*((("authorization", f"Bearer {token}"),) if token else ()), *metadata)

    def __getattr__(self, method: str) -> Any:
        def call(*arguments: Any, **more: Any) -> Any:
            return getattr(self._stub, method)(*arguments, metadata=self._metadata, **more)

        return call


async def next_reply(call: Any, kind: str) -> Any:
    """The next reply of that kind; the server may tell a stream's credits in between."""
    while True:
        reply = await call.read()
        if reply.WhichOneof("kind") == kind:
            return getattr(reply, kind)


@asynccontextmanager
async def two_keys(folder: Path, role: Role = Role.TEACH) -> AsyncIterator[tuple[Harness, Keyed, Keyed]]:
    """A server, and two callers that it knows."""
    tokens = [add(folder / "keys", name, role) for name in ("ann", "bob")]
    async with open_harness(identity=Identity(KeyFile(folder / "keys", recheck=0.0))) as harness:
        ann, bob = (Keyed(harness.channel, token) for token in tokens)
        yield harness, ann, bob


async def taught(caller: Keyed) -> pb.ClassifyResponse:
    """The session cam of a caller, with a memory of one picture."""
    return await caller.Classify(question(session_id="cam", request_id="first", options=TDA))


ATTACKS: dict[str, Any] = {  # on the session of that name of somebody else
    "read": lambda bob, id: bob.GetSession(pb.GetSessionRequest(session_id=id)),
    "snapshot": lambda bob, id: bob.SnapshotSession(pb.SnapshotSessionRequest(session_id=id)),
    "reset": lambda bob, id: bob.ResetSession(pb.ResetSessionRequest(session_id=id)),
    "close": lambda bob, id: bob.CloseSession(pb.CloseSessionRequest(session_id=id)),
    "list lessons": lambda bob, id: bob.ListLessons(pb.ListLessonsRequest(session_id=id)),
    "unlearn": lambda bob, id: bob.Unlearn(pb.UnlearnRequest(session_id=id, example_ids=["x"])),
}


async def test_the_session_of_another_does_not_exist(tmp_path: Path):
    async with two_keys(tmp_path) as (_, ann, bob):
        await taught(ann)
        for attack, call in ATTACKS.items():
            answers = []
            for id in ("cam", "nix"):  # ann's, and nobody's
                with pytest.raises(grpc.aio.AioRpcError) as unknown:
                    await call(bob, id)
                answers.append((unknown.value.code(), (unknown.value.details() or "").replace(id, "…")))
            assert answers[0] == answers[1] and answers[0][0] is NOT_FOUND, attack
        assert not (await bob.ListSessions(pb.ListSessionsRequest())).sessions
        info = (await ann.GetSession(pb.GetSessionRequest(session_id="cam"))).session
        assert (info.frames, list(info.strategies)) == (1, ["tda"])


async def test_only_admins_see_the_sessions_of_all_owners(tmp_path: Path):
    async with two_keys(tmp_path) as (harness, ann, bob):
        await taught(ann)
        await taught(bob)
        everyone = pb.ListSessionsRequest(all_owners=True, page_size=1)
        assert await code_of(ann.ListSessions(everyone)) is DENIED
        root, owners, token = Keyed(harness.channel, add(tmp_path / "keys", "root", Role.ADMIN)), [], ""
        while token or not owners:
            page = await root.ListSessions(pb.ListSessionsRequest(all_owners=True, page_size=1, page_token=token))
            owners += [one.owner for one in page.sessions]
            token = page.next_page_token
        assert len(owners) == 2 and len(set(owners)) == 2
        assert not (await root.ListSessions(pb.ListSessionsRequest())).sessions


async def test_a_session_is_not_rolled_back_by_the_snapshot_of_another(tmp_path: Path):
    async with two_keys(tmp_path) as (_, ann, bob):
        await taught(ann)
        saved = (await ann.SnapshotSession(pb.SnapshotSessionRequest(session_id="cam"))).snapshot
        await taught(ann)
        stolen = bob.RestoreSession(pb.RestoreSessionRequest(snapshot=saved))
        with pytest.raises(grpc.aio.AioRpcError, match="this snapshot is another owner's") as refused:
            await stolen
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert (await ann.GetSession(pb.GetSessionRequest(session_id="cam"))).session.frames == 2
        assert await code_of(ann.RestoreSession(pb.RestoreSessionRequest(snapshot=saved))) is FAILED_PRECONDITION
        assert (await ann.GetSession(pb.GetSessionRequest(session_id="cam"))).session.frames == 2
        await ann.RestoreSession(pb.RestoreSessionRequest(snapshot=saved, roll_back=True))
        assert (await ann.GetSession(pb.GetSessionRequest(session_id="cam"))).session.frames == 1


async def test_nobody_poisons_the_session_of_another(tmp_path: Path):
    """Two owners may use one name: what one teaches or shows there, the other never learns."""
    async with two_keys(tmp_path) as (_, ann, bob):
        before = await taught(ann)
        lesson = pb.Lesson(request_id="first", label="dog")
        (result,) = (await bob.TeachSession(pb.TeachSessionRequest(session_id="cam", lessons=[lesson]))).results
        assert result.status.code == NOT_FOUND.value[0]
        for _ in range(3):
            assert (await taught(bob)).session.session_id == "cam"
        await bob.TeachSession(pb.TeachSessionRequest(session_id="cam", lessons=[lesson]))
        assert not (await ann.ListLessons(pb.ListLessonsRequest(session_id="cam"))).lessons
        again = await taught(ann)
        assert (again.session.frames, again.session.memory_bytes) == (2, before.session.memory_bytes)


async def test_the_lesson_group_of_another_does_not_exist(tmp_path: Path):
    picture = pb.Lesson(image=question().image, label="dog", labels=question().labels)
    async with two_keys(tmp_path) as (_, ann, bob):
        await ann.TeachSession(pb.TeachSessionRequest(lesson_group="gates", lessons=[picture]))
        refusals = []
        for name in ("gates", "nix"):  # ann's, and nobody's
            with pytest.raises(grpc.aio.AioRpcError) as unknown:
                await bob.ListLessons(pb.ListLessonsRequest(lesson_group=name))
            refusals.append((unknown.value.code(), (unknown.value.details() or "").replace(name, "…")))
        assert refusals[0] == refusals[1] and refusals[0][0] is NOT_FOUND
        for caller in (ann, bob):
            await caller.Classify(question(session_id="cam", lesson_group="gates", options=options("tip_adapter")))
        lessons = [
            len((await caller.ListLessons(pb.ListLessonsRequest(lesson_group="gates"))).lessons)
            for caller in (ann, bob)
        ]
        assert lessons == [1, 0]


async def test_a_stream_is_not_taken_over_by_another(tmp_path: Path):
    async with two_keys(tmp_path) as (harness, ann, bob):
        hers = ann.ClassifyStream()
        await hers.write(opening(session_id="cam", options=TDA))
        await hers.read()
        theirs = bob.ClassifyStream()
        await theirs.write(opening(session_id="cam", options=TDA))
        assert (await next_reply(theirs, "status")).session.frames == 0
        await hers.write(frame(1))
        assert (await next_reply(hers, "answer")).response.session.frames == 1
        harness.service.drain(5.0)
        token = (await next_reply(hers, "draining")).resume_token
        stolen = bob.ClassifyStream()
        await stolen.write(opening(resume_token=token))
        with pytest.raises(grpc.aio.AioRpcError, match="this token resumes no stream of yours"):
            await stolen.read()
        await hers.done_writing()
        await theirs.done_writing()


async def test_label_sets_of_another_are_not_listed_read_used_or_deleted(tmp_path: Path):
    names = ["secret project", "other"]
    async with two_keys(tmp_path) as (_, ann, bob):
        id = (await ann.PutLabelSet(pb.PutLabelSetRequest(label_set=pb.LabelSet(names=names)))).info.id
        assert not (await bob.ListLabelSets(pb.ListLabelSetsRequest())).infos
        for call in (
            bob.GetLabelSet(pb.GetLabelSetRequest(id=id)),
            bob.DeleteLabelSet(pb.DeleteLabelSetRequest(id=id)),
            bob.Classify(question(labels=pb.Labels(id=id))),
        ):
            assert await code_of(call) is NOT_FOUND
        assert list((await ann.GetLabelSet(pb.GetLabelSetRequest(id=id))).label_set.names) == names
        await bob.PutLabelSet(pb.PutLabelSetRequest(label_set=pb.LabelSet(names=names)))
        await bob.DeleteLabelSet(pb.DeleteLabelSetRequest(id=id))
        assert (await ann.GetLabelSet(pb.GetLabelSetRequest(id=id))).info.cached


@pytest.mark.slow
async def test_label_sets_of_another_are_not_pushed_out_by_a_thousand(tmp_path: Path):
    async with two_keys(tmp_path) as (harness, ann, bob):
        id = (await ann.PutLabelSet(pb.PutLabelSetRequest(label_set=pb.LabelSet(names=["cat", "dog"])))).info.id
        for number in range(1000):
            sets = pb.PutLabelSetRequest(label_set=pb.LabelSet(names=[f"thing {number}"]))
            await bob.PutLabelSet(sets)
        assert list((await ann.GetLabelSet(pb.GetLabelSetRequest(id=id))).label_set.names) == ["cat", "dog"]
        assert len(harness.parts.label_sets) == 1001


def ended_calls(harness: Harness) -> Counter[Any]:
    return Counter((event.method, event.code) for event in harness.of(Called))


async def test_calls_without_a_key_or_with_a_wrong_one_are_told_from_those_that_a_role_forbids(tmp_path: Path):
    async with two_keys(tmp_path, Role.INFER) as (harness, ann, _):
        unknown, wrong = Keyed(harness.channel), Keyed(harness.channel, "0011223344556677.not-a-key")
        for caller in (unknown, wrong):
            assert await code_of(caller.Classify(question())) is UNAUTHENTICATED
            assert await code_of(caller.GetServerInfo(pb.GetServerInfoRequest())) is UNAUTHENTICATED
            assert await code_of(caller.ClassifyStream().read()) is UNAUTHENTICATED
        assert await code_of(ann.Classify(question())) is grpc.StatusCode.OK
        assert await code_of(ann.TeachSession(pb.TeachSessionRequest(session_id="cam"))) is DENIED
        await until(lambda: ended_calls(harness)["TeachSession", "PERMISSION_DENIED"] == 1)
        assert ended_calls(harness)["Classify", "UNAUTHENTICATED"] == 2
        owners = [(type(event.error).__name__, event.owner) for event in harness.of(Refused)]
        assert set(owners) == {("Unauthenticated", ""), ("PermissionDenied", "ann")}
        assert not [event for event in harness.of(Refused) if "not-a-key" in repr(event)]


async def test_a_lesson_in_a_stream_takes_the_role_too_and_the_stream_goes_on(tmp_path: Path):
    async with two_keys(tmp_path, Role.INFER) as (_, ann, _):
        call = ann.ClassifyStream()
        await call.write(opening(session_id="cam", options=options("tip_adapter")))
        await call.read()
        await call.write(frame(1))
        await call.read()
        await call.write(pb.ClassifyStreamRequest(lesson=pb.Lesson(frame_id=1, label="dog")))
        refused = (await next_reply(call, "lesson")).status
        assert (refused.code, refused.message) == (DENIED.value[0], "a lesson takes the role teach; yours is infer")
        await call.write(frame(2))
        assert (await next_reply(call, "answer")).frame_id == 2
        await call.done_writing()


async def test_a_stream_ends_when_its_key_is_revoked(tmp_path: Path):
    async with two_keys(tmp_path) as (_, ann, bob):
        calls = [caller.ClassifyStream() for caller in (ann, bob)]
        for call in calls:
            await call.write(opening(options=TDA))
            await call.read()
        with edit_keys(tmp_path / "keys") as keys:
            for key in [key for key in keys.values() if key.owner == "ann"]:
                del keys[key.id]
        for call in calls:
            await call.write(frame(1))
        with pytest.raises(grpc.aio.AioRpcError, match="this API key was revoked") as ended:
            while True:
                await calls[0].read()
        assert ended.value.code() is UNAUTHENTICATED
        assert (await next_reply(calls[1], "answer")).frame_id == 1


async def test_quotas_count_owners_and_not_addresses(tmp_path: Path):
    async with two_keys(tmp_path) as (harness, ann, bob):
        for caller in (ann, bob):
            await caller.Classify(question())
        clients = [report.request.client for report in harness.events if hasattr(report, "request")]
        assert clients == ["ann", "bob"]
