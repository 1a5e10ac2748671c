"""What holds of a fleet whatever happens to its servers, its Redis and its clocks."""

from __future__ import annotations

import asyncio
import io
import subprocess
import tarfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from tta_client import TTAClientError
from tta_client.aio.client import AsyncClient

from tests.deploy.camera import NAMES as LABELS
from tests.deploy.camera import picture
from tests.deploy.fleet import AT_MOST, BETWEEN, Own, fleet
from tests.deploy.relay import relay
from tests.deploy.sessions import SESSIONS, TDA, Traffic
from tests.deploy.tools import DEPLOY
from tests.redis_server import redis_server, watched_redis
from tta_service.rpc.v1.tta_pb2_grpc import AdaptationServiceStub

SHIFTED = 300  # seconds
OLDER = "803fce51"  # the first version whose records are of today's format


@asynccontextmanager
async def traffic_in(
    folder: Path, names: str, own: Mapping[str, Own] | None = None, store: str = ""
) -> AsyncIterator[Traffic]:
    async with (
        fleet(folder, names, own, store) as servers,
        AsyncClient(servers.proxy, timeout=AT_MOST) as client,
        grpc.aio.insecure_channel(servers.proxy) as channel,
    ):
        yield Traffic(servers, client, AdaptationServiceStub(channel))


async def until_answered(client: AsyncClient, session: str) -> None:
    """Returns when a session that nobody knows gets an answer; until then it is refused for want of the store."""
    async with asyncio.timeout(AT_MOST):
        while True:
            try:
                await client.classify(picture(1), LABELS, TDA, session=session)
                return
            except TTAClientError as error:
                assert error.code is grpc.StatusCode.UNAVAILABLE and "state store" in error.sentence, error
            await asyncio.sleep(BETWEEN)


async def test_a_rolling_restart_under_load_loses_no_acknowledged_call_and_no_promised_frame(tmp_path: Path):
    own = Own({"server.pre_stop": 4, "sessions.write_seconds": 3600})  # written when one leaves, and when one is asked
    async with traffic_in(tmp_path, "abc", dict.fromkeys("abc", own)) as traffic:
        async with traffic.keep_going(SESSIONS[:4], SESSIONS[4:6]):
            for name in "abc":
                await traffic.until_all_go_on()
                await traffic.fleet.leave(name)
                await traffic.until_all_go_on()
                await traffic.fleet.come_back(name)
            await traffic.until_all_go_on()
        await traffic.together()
        assert all((await traffic.takeovers()).values())


async def test_a_failover_of_redis_by_sentinel_loses_nothing_that_was_replicated(tmp_path: Path):
    with watched_redis(tmp_path) as redis:
        async with traffic_in(tmp_path, "ab", store=redis.url) as traffic:
            for name in SESSIONS:
                assert await traffic.step(name) == "fresh"
            await traffic.fleet.until_stored(traffic.frames)
            redis.until_replicated()
            redis.master.kill()
            for name in SESSIONS:
                assert await traffic.step(name) == "continued"
            await until_answered(traffic.client, "new")
            await traffic.fleet.until_stored(traffic.frames)
            of_a = await traffic.fleet.sessions_of("a")
            await traffic.fleet.leave("a")
            for name in SESSIONS:
                assert await traffic.step(name) == ("restored" if name in of_a else "continued")
            await traffic.together()


async def test_a_server_cut_off_from_redis_answers_known_sessions_refuses_unknown_ones_and_heals(tmp_path: Path):
    with redis_server() as store:
        target = store.removeprefix("redis://").partition("/")[0]
        async with relay(target) as line:
            own = {"a": Own({"sessions.store": f"redis://{line.address}/0"})}
            async with traffic_in(tmp_path, "ab", own, store) as traffic:
                await cut_off(traffic, line.cut, line.mend)


async def cut_off(traffic: Traffic, cut: Callable[[], None], mend: Callable[[], Awaitable[None]]) -> None:
    for name in SESSIONS:
        await traffic.step(name)
    await traffic.fleet.until_stored(traffic.frames)
    moved, *stay = sorted(await traffic.fleet.sessions_of("a"))
    cut()
    for name in stay:
        assert await traffic.step(name) == "continued"
    async with (
        AsyncClient(traffic.fleet.addresses["a"], timeout=AT_MOST) as a,
        AsyncClient(traffic.fleet.addresses["b"], timeout=AT_MOST) as b,
    ):
        with pytest.raises(TTAClientError, match="the state store does not answer") as refused:
            await a.classify(picture(1), LABELS, TDA, session="unknown")
        assert refused.value.code is grpc.StatusCode.UNAVAILABLE
        await a.classify(picture(2), LABELS, TDA, session=moved)  # which nobody will remember:
        assert await traffic.step(moved, b) == "restored"
        await mend()
        await until_answered(a, "unknown")
    async with asyncio.timeout(AT_MOST):
        while moved in await traffic.fleet.sessions_of("a"):  # noqa: ASYNC110 - until it learns that b has it
            await asyncio.sleep(BETWEEN)
    assert await traffic.step(moved) == "restored"
    await traffic.fleet.until_stored(traffic.frames)
    await traffic.together()


async def test_clocks_five_minutes_apart_change_nothing(tmp_path: Path):
    own = {name: Own(environment=shift_clock(by)) for name, by in (("b", SHIFTED), ("c", -SHIFTED))}
    async with traffic_in(tmp_path, "abc", own) as traffic:
        assert all([await traffic.step(name) == "fresh" for name in SESSIONS])
        of_b = await traffic.fleet.sessions_of("b")
        for move in (traffic.fleet.leave, traffic.fleet.come_back):
            await move("b")
            for name in SESSIONS:
                assert await traffic.step(name) == ("restored" if name in of_b else "continued")
        await traffic.together()
        addresses = traffic.fleet.addresses
        async with AsyncClient(addresses["b"], timeout=AT_MOST) as ahead, AsyncClient(addresses["c"]) as behind:
            taught = await ahead.teach(group="belt", label=LABELS[0], image=picture(1), labels=LABELS)
            await until_known(addresses, [LABELS[0]])
            await behind.teach(group="belt", label=LABELS[1], example=taught.example_id)
            await until_known(addresses, [LABELS[1]])  # the later word counts, though its clock says that it is earlier
            await behind.unlearn("", taught.example_id, group="belt")
            await until_known(addresses, [])


def shift_clock(by: int) -> dict[str, str]:
    """Variables with which a process sees a clock that is so many seconds ahead. Skips the test without libfaketime."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        pytest.skip("no libfaketime here (Debian: apt-get install faketime)")
    return {"LD_PRELOAD": str(found[0]), "FAKETIME": f"{by:+}", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


async def until_known(addresses: Mapping[str, str], labels: list[str]) -> None:
    """Returns when all servers know these lessons of the group."""
    async with asyncio.timeout(AT_MOST):
        for address in addresses.values():
            async with AsyncClient(address, timeout=AT_MOST) as client:
                while [one.label for one in await client.lessons(group="belt")] != labels:  # noqa: ASYNC110
                    await asyncio.sleep(BETWEEN)


async def test_an_older_and_a_newer_version_hand_sessions_to_and_fro(tmp_path: Path):
    own = {"a": Own(environment={"PYTHONPATH": str(unpack_older(tmp_path / "older"))})}
    async with traffic_in(tmp_path, "ab", own) as traffic:
        assert all([await traffic.step(name) == "fresh" for name in SESSIONS])
        of_a = set(await traffic.fleet.sessions_of("a"))
        for name in SESSIONS:
            await traffic.client.teach(name, label=LABELS[0], image=picture(0), labels=LABELS)
        for leaving, moving in (("a", of_a), ("b", set(SESSIONS) - of_a)):
            await traffic.fleet.leave(leaving)
            for name in SESSIONS:
                assert await traffic.step(name) == ("restored" if name in moving else "continued")
            await traffic.fleet.until_stored(traffic.frames)  # the older one does not ask for what is not written yet
            await traffic.fleet.come_back(leaving)
            for name in SESSIONS:
                assert await traffic.step(name) == ("restored" if name in moving else "continued")
            await traffic.fleet.until_stored(traffic.frames)
        await traffic.together()
        for name in SESSIONS:
            assert [one.label for one in await traffic.client.lessons(name)] == [LABELS[0]]


def unpack_older(folder: Path) -> Path:
    """That version's source in a folder. Skips the test in a checkout without it."""
    command = ["git", "-C", str(DEPLOY.parent), "archive", OLDER, "tta_service"]
    archive = subprocess.run(command, capture_output=True, check=False)
    if archive.returncode:
        pytest.skip(f"this checkout has no history as far back as {OLDER}")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as packed:
        packed.extractall(folder, filter="data")
    return folder


async def test_a_fleet_of_mixed_models_refuses_foreign_memories_by_name(tmp_path: Path):
    own = {"b": Own({"model.compress": "prune:0.3"})}
    async with traffic_in(tmp_path, "ab", own) as traffic:
        for name in SESSIONS:
            await traffic.step(name)
        taught, *others = sorted(await traffic.fleet.sessions_of("a"))
        await traffic.client.teach(taught, label=LABELS[0], image=picture(0), labels=LABELS)
        async with AsyncClient(traffic.fleet.addresses["a"], timeout=AT_MOST) as a:
            ours, saved = (await a.info()).model_fingerprint, await a.snapshot(others[0])
        async with AsyncClient(traffic.fleet.addresses["b"], timeout=AT_MOST) as b:
            theirs = (await b.info()).model_fingerprint
            sentence = f"this snapshot was made with another model, {ours}; this server's is {theirs}"
            with pytest.raises(TTAClientError, match=sentence) as refused:
                await b.restore(saved)
            assert (refused.value.code, refused.value.field) == (grpc.StatusCode.INVALID_ARGUMENT, "snapshot.state")
        await traffic.fleet.leave("a")
        for name in others:
            assert (await traffic.client.classify(picture(2), LABELS, TDA, session=name)).session.frames == 1
            assert f"session {name} begins anew, its stored state cannot be used: {sentence}" in traffic.fleet.log("b")
        there = (await traffic.client.classify(picture(2), LABELS, TDA, session=taught)).session
        assert (there.frames, there.memory_reset, there.lessons_set_apart) == (2, True, 1)
        await traffic.fleet.come_back("a")
        back = (await traffic.client.classify(picture(3), LABELS, TDA, session=taught)).session
        assert (back.frames, back.origin, back.lessons_set_apart) == (3, "restored", 0)
