"""Settings change what a running service does, down from the name by which an operator sets them."""

from __future__ import annotations

import asyncio
import io
import logging
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image

from tests.patience import PATIENCE
from tta_service.app import Application, build_runtime
from tta_service.app.server_info import make_server_info
from tta_service.clip import CannotLoad
from tta_service.core.errors import UnknownLabels
from tta_service.core.labels import LabelSet
from tta_service.core.request import Encoded
from tta_service.rpc.v1.tta_pb2_grpc import AdaptationServiceStub
from tta_service.serving.concurrency import run
from tta_service.settings import Settings, load
from tta_service.testing import FakeCLIP
from tta_service.wire.v1 import tta_pb2 as pb

QUICK = {"server.port": 0, "metrics.enabled": False, "batch.max_rows": 1, "lanes.cores": 1, "server.drain": 1.0}
LABELS = pb.Labels(label_set=pb.LabelSet(names=["cat", "dog"]))


def settings(**knobs: Any) -> Settings:
    return load(QUICK | {name.replace("__", "."): value for name, value in knobs.items()})


@asynccontextmanager
async def served(**knobs: Any) -> AsyncIterator[tuple[grpc.aio.Channel, AdaptationServiceStub]]:
    """A channel and a stub to a service with these settings around a small CLIP."""
    async with (
        Application(settings(**knobs), FakeCLIP()) as service,  # type: ignore[arg-type]
        grpc.aio.insecure_channel(service.address) as channel,
    ):
        yield channel, AdaptationServiceStub(channel)


def question(labels: pb.Labels = LABELS) -> pb.ClassifyRequest:
    file = io.BytesIO()
    Image.new("RGB", (32, 32), "teal").save(file, "PNG")
    return pb.ClassifyRequest(image=pb.Image(encoded=file.getvalue()), labels=labels)


async def test_a_name_has_at_most_limits_characters():
    async with served(limits__characters=3) as (_, stub):
        await stub.Classify(question())
        with pytest.raises(grpc.aio.AioRpcError, match=r"names\[1\]: 5 characters; this server takes at most 3"):
            await stub.Classify(question(pb.Labels(label_set=pb.LabelSet(names=["cat", "horse"]))))


async def test_a_stream_opens_with_at_most_limits_buffer_within_limits_first_message():
    async with served(limits__buffer=2, limits__first_message=0.05) as (_, stub):
        for buffer, refusal in ((2, ""), (3, "open.buffer: 3 frames; a buffer holds 1 to 2")):
            opening = pb.OpenStream(labels=LABELS, policy=pb.OpenStream.POLICY_DROP_OLDEST, buffer=buffer)
            call = stub.ClassifyStream(iter([pb.ClassifyStreamRequest(open=opening)]))
            if not refusal:
                assert [reply async for reply in call]
                continue
            with pytest.raises(grpc.aio.AioRpcError, match=refusal):
                await call.read()
        silent = stub.ClassifyStream()
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(grpc.aio.AioRpcError, match=r"nothing came for 0\.05 s"):
                await silent.read()


@pytest.mark.parametrize("threads", [1, 3])
async def test_as_many_pictures_are_prepared_at_once_as_lanes_prepare(threads: int):
    lock, now, most = threading.Lock(), 0, 0

    def prepare() -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.05)
        with lock:
            now -= 1

    async with build_runtime(settings(lanes__prepare=threads), FakeCLIP()) as runtime:  # type: ignore[arg-type]
        await asyncio.gather(*(run(runtime.lanes.prepare, prepare) for _ in range(9)))
    assert most == threads


@pytest.mark.parametrize(
    ("knobs", "side"), [({}, 128), ({"sessions__thumbnails": 200}, 200), ({"images__exact": True}, 0)]
)
async def test_large_jpegs_are_decoded_at_the_scale_that_the_server_says_unless_images_exact(knobs, side):
    """Stripes of one pixel are grey at any smaller scale."""
    file = io.BytesIO()
    Image.fromarray(np.tile(np.array([[0], [255]], np.uint8), (400, 800))).save(file, "JPEG", quality=100)
    async with build_runtime(settings(**knobs), FakeCLIP()) as runtime:  # type: ignore[arg-type]
        assert make_server_info(settings(**knobs), runtime.clip).jpeg_side == side
        pixels = runtime.decode(Encoded(file.getvalue()))
    assert pixels.shape[1:] == ((800, 800) if not side else (200, 200))
    assert bool((pixels.float() - 127.5).abs().max() < 3) == bool(side)


async def test_text_definitions_is_the_number_of_label_sets_that_have_a_name():
    async with build_runtime(settings(text__definitions=1), FakeCLIP()) as runtime:  # type: ignore[arg-type]
        first, second = LabelSet(("cat", "dog")), LabelSet(("tree", "house"))
        for labels in (first, second):
            await runtime.label_sets.put("", labels)
        assert runtime.label_sets.labels("", second.id) == second
        with pytest.raises(UnknownLabels):
            runtime.label_sets.labels("", first.id)


async def test_a_connection_ends_after_server_connection_age():
    async with served(server__connection_age=0.2) as (channel, stub):
        await stub.Classify(question())
        assert channel.get_state() is grpc.ChannelConnectivity.READY
        async with asyncio.timeout(PATIENCE):
            await channel.wait_for_state_change(grpc.ChannelConnectivity.READY)
        await stub.Classify(question())  # over a new connection


@pytest.mark.parametrize(("share", "spans"), [(0.0, 0), (1.0, 1)])
async def test_tracing_share_of_the_answers_become_spans(share: float, spans: int):
    pytest.importorskip("opentelemetry.exporter.otlp.proto.grpc", reason="opentelemetry (extra tracing)")
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_pb
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as trace_grpc

    found: list[str] = []

    class Collector(trace_grpc.TraceServiceServicer):
        def Export(self, request: Any, context: Any) -> trace_pb.ExportTraceServiceResponse:
            found.extend(
                span.name for one in request.resource_spans for scope in one.scope_spans for span in scope.spans
            )
            return trace_pb.ExportTraceServiceResponse()

    with ThreadPoolExecutor(1) as threads:
        collector = grpc.server(threads)
        trace_grpc.add_TraceServiceServicer_to_server(Collector(), collector)
        endpoint = f"http://127.0.0.1:{collector.add_insecure_port('127.0.0.1:0')}"
        collector.start()
        async with served(tracing__endpoint=endpoint, tracing__share=share) as (_, stub):
            await stub.Classify(question())
        await asyncio.to_thread(collector.stop(None).wait)
    assert found.count("Classify") == spans


async def test_a_tag_beside_a_file_of_weights_is_named_as_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    named = settings(model__checkpoint=str(tmp_path / "none.safetensors"), model__pretrained="openai")
    with caplog.at_level(logging.WARNING), pytest.raises(CannotLoad):
        async with build_runtime(named):
            pass
    assert caplog.messages == ["model.pretrained: not used: model.checkpoint has the weights"]


@pytest.mark.slow
async def test_images_decoders_decode_within_images_decode_seconds_and_are_counted():
    pytest.importorskip("resource", reason="not on Windows")
    chosen = settings(images__decoders=1, images__decode_seconds=0.01)
    ask, file = question(), io.BytesIO()
    Image.effect_noise((1500, 1500), 100).save(file, "WEBP", lossless=True, method=0)
    ask.image.encoded = file.getvalue()
    async with (
        Application(chosen, FakeCLIP()) as service,  # type: ignore[arg-type]
        grpc.aio.insecure_channel(service.address) as channel,
    ):
        stub = AdaptationServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError, match=r"took more than 0\.01 s of processor time") as caught:
            await stub.Classify(ask)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        ended = [
            service.metrics.registry.get_sample_value("tta_decoders_ended_total", {"reason": why})
            for why in ("time", "broken")
        ]
        assert ended == [1, 0]
