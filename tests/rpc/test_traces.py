"""The span of a caller reaches the reports and refusals of its calls."""

from __future__ import annotations

import grpc
import pytest

from tta_service.core.events import Refused
from tta_service.core.request import Report
from tta_service.wire.v1 import tta_pb2 as pb

from .conftest import LABELS, jpeg, question

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_a_call_carries_the_span_of_its_caller(harness):
    await harness.stub.Classify(question(), metadata=(("traceparent", CALLER),))
    with pytest.raises(grpc.aio.AioRpcError):
        await harness.stub.Classify(pb.ClassifyRequest(), metadata=(("traceparent", CALLER),))
    assert [report.request.trace for report in harness.of(Report)] == [CALLER]
    assert [refused.trace for refused in harness.of(Refused)] == [CALLER]


async def test_each_frame_of_a_stream_carries_the_span_of_its_caller(harness):
    frames = [pb.Image(encoded=jpeg()), pb.Image(encoded=b"no picture")]
    messages = [pb.ClassifyStreamRequest(open=pb.OpenStream(labels=LABELS, policy=pb.OpenStream.POLICY_BLOCK))]
    messages += [pb.ClassifyStreamRequest(frame=pb.Frame(frame_id=i, image=image)) for i, image in enumerate(frames)]
    call = harness.stub.ClassifyStream(iter(messages), metadata=(("traceparent", CALLER),))
    assert {reply.WhichOneof("kind") async for reply in call} >= {"answer", "error"}
    assert [report.request.trace for report in harness.of(Report)] == [CALLER]
    assert [refused.trace for refused in harness.of(Refused)] == [CALLER]


@pytest.mark.parametrize("header", ["", "someone", CALLER.upper(), CALLER + "\u0022"])
async def test_a_malformed_traceparent_is_ignored(harness, header: str):
    await harness.stub.Classify(question(), metadata=(("traceparent", header),))
    assert [report.request.trace for report in harness.of(Report)] == [""]
