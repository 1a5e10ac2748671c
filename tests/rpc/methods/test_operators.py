"""What operators do to a running server."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from tests.rpc.conftest import Harness, open_harness, options, question
from tests.rpc.test_owners import DENIED, Keyed, code_of, two_keys
from tests.wire.test_keys import add
from tta_service.app.server_info import make_counts
from tta_service.methods.uploads import UploadBudget
from tta_service.settings import Settings
from tta_service.wire.keys import Role
from tta_service.wire.v1 import tta_pb2 as pb

TDA = options("tda", views=1)


async def disabled(harness: Harness) -> set[str]:
    """As callers and scrapers see it."""
    listed = (await harness.stub.ListStrategies(pb.ListStrategiesRequest())).strategies
    uploads = UploadBudget(1, 1)
    counts = make_counts(Settings(), harness.parts, harness.service.buffered, uploads)
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
        request = pb.SetStrategyStateRequest(name="tda")
        assert await code_of(ann.SetStrategyState(request)) is DENIED
        assert await code_of(admin.SetStrategyState(request)) is grpc.StatusCode.OK
