"""Health over gRPC tells the truth about the device: wedged, full of NaN, well again."""

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

from .conftest import a_harness, busy, question

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


async def becomes(harness, status: int) -> None:
    """Returns when the server as a whole and the service say so."""
    for name in ("", SERVICE):
        watching = HealthStub(harness.channel).Watch(health_pb2.HealthCheckRequest(service=name), timeout=PATIENCE)
        while (await watching.read()).status != status:
            pass
        watching.cancel()


async def test_a_wedged_device_is_not_serving_until_it_moves_again():
    async with a_harness(canary=True) as harness:
        await becomes(harness, SERVING)
        async with busy(harness):  # nobody asks anything: the canary finds out
            await becomes(harness, NOT_SERVING)
        await becomes(harness, SERVING)
        assert (await harness.stub.Classify(question())).top


class Mad(FakeCLIP):
    """Its weights can be spoilt."""

    mad = False

    def encode_image(self, *asked: object) -> torch.Tensor:
        features = super().encode_image(*asked)  # type: ignore[arg-type]
        return features * torch.nan if self.mad else features


async def test_features_of_nan_are_no_answer_and_no_health():
    clip = Mad()
    async with a_harness(clip) as harness:
        await becomes(harness, SERVING)
        clip.mad = True
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await harness.stub.Classify(question())
        assert caught.value.code() is grpc.StatusCode.INTERNAL
        await becomes(harness, NOT_SERVING)
        assert (await harness.stub.GetServerInfo(pb.GetServerInfoRequest())).model  # what needs no device still answers
        clip.mad = False
        assert (await harness.stub.Classify(question())).top
        await becomes(harness, SERVING)
