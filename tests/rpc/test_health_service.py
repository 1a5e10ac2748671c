"""Health over gRPC follows the device: stuck, features of NaN, working again."""

from __future__ import annotations

import grpc
import pytest
import torch
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub

from tests.patience import PATIENCE
from tta_service.rpc.server import SERVICE
from tta_service.testing import FakeCLIP
from tta_service.wire.v1 import tta_pb2 as pb

from .conftest import busy, open_harness, question

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


async def wait_for_status(harness, status: int) -> None:
    """Return when the server as a whole and the service have this status."""
    for name in ("", SERVICE):
        watching = HealthStub(harness.channel).Watch(health_pb2.HealthCheckRequest(service=name), timeout=PATIENCE)
        while (await watching.read()).status != status:
            pass
        watching.cancel()


async def test_a_stuck_device_is_not_serving_until_it_moves_again():
    async with open_harness(canary=True) as harness:
        await wait_for_status(harness, SERVING)
        async with busy(harness):  # no requests come: the canary finds out
            await wait_for_status(harness, NOT_SERVING)
        await wait_for_status(harness, SERVING)
        assert (await harness.stub.Classify(question())).top


class Faulty(FakeCLIP):
    """Its features can be made NaN."""

    faulty = False

    def encode_image(self, *arguments: object) -> torch.Tensor:
        features = super().encode_image(*arguments)  # type: ignore[arg-type]
        return features * torch.nan if self.faulty else features


async def test_features_of_nan_fail_the_request_and_the_health():
    clip = Faulty()
    async with open_harness(clip) as harness:
        await wait_for_status(harness, SERVING)
        clip.faulty = True
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await harness.stub.Classify(question())
        assert caught.value.code() is grpc.StatusCode.INTERNAL
        await wait_for_status(harness, NOT_SERVING)
        assert (await harness.stub.GetServerInfo(pb.GetServerInfoRequest())).model  # what needs no device still answers
        clip.faulty = False
        assert (await harness.stub.Classify(question())).top
        await wait_for_status(harness, SERVING)
