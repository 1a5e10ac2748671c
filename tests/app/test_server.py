"""Settings to a running server to a drained one: really started, several times in one process."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import grpc
import pytest
import torch
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_sample_images

from tests.patience import PATIENCE
from tta_service.app import Application
from tta_service.core.errors import ModelFault, UnknownReducer, UnknownStrategy
from tta_service.rpc.v1.tta_pb2_grpc import AdaptationServiceStub
from tta_service.settings import Settings, load
from tta_service.wire.v1 import tta_pb2 as pb

FLOWER = (Path(load_sample_images.__code__.co_filename).parent / "images" / "flower.jpg").read_bytes()
LABELS = pb.Labels(label_set=pb.LabelSet(names=["flower", "temple", "cat"]))
QUICK = {"server.port": 0, "metrics.port": 0, "batch.max_rows": 16, "lanes.cores": 1, "server.drain": 20.0}


@pytest.fixture(autouse=True)
def in_an_empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def settings(**more: Any) -> Settings:
    return load(QUICK | {name.replace("__", "."): value for name, value in more.items()})


def question(views: int) -> pb.ClassifyRequest:
    asked = pb.ClassifyRequest(image=pb.Image(encoded=FLOWER), labels=LABELS)
    asked.options.strategy.name = "zero"
    asked.options.strategy.parameters["views"] = views
    return asked


def numbers(metrics: str, label: str = "") -> dict[Any, float]:
    """Sums by series name, or by name and the value of one label."""
    with urllib.request.urlopen(metrics, timeout=PATIENCE) as reply:
        text = reply.read().decode()
    found: dict[Any, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, sample.labels.get(label)) if label else sample.name
            found[key] = found.get(key, 0) + sample.value
    return found


async def test_start_answer_measure_and_stop_twice(tmp_path: Path):
    (tmp_path / "peaks").write_text('{"strategy": "zero", "device": "cpu", "bytes": 57000000}')
    for _ in range(2):
        chosen = settings(metrics__peaks=str(tmp_path / "peaks"))
        async with Application(chosen) as service, grpc.aio.insecure_channel(service.address) as channel:
            health = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
            assert health.status == health_pb2.HealthCheckResponse.SERVING
            stub, metrics = AdaptationServiceStub(channel), f"http://{service.metrics_address}/metrics"
            answer = await stub.Classify(question(views=4))
            assert {score.label for score in answer.top} == {"flower", "temple", "cat"}
            assert sum(score.score for score in answer.top) == pytest.approx(1, abs=1e-5)
            with pytest.raises(grpc.aio.AioRpcError, match="INVALID_ARGUMENT"):
                await stub.Classify(question(views=0))
            about = await stub.GetServerInfo(pb.GetServerInfoRequest())
            assert (about.model, about.image_size) == (service.runtime.clip.name, service.runtime.clip.image_size)
            seen = await asyncio.to_thread(numbers, metrics)
            assert (seen["tta_serving"], seen["tta_build_info"], seen["tta_text_cache_misses_total"]) == (1, 1, 1)
            assert seen["tta_strategy_rss_delta_bytes"] == 57000000
            assert seen["tta_canary_duration_seconds_count"] >= 1 and seen["tta_canary_failures_total"] == 0
            beats = await asyncio.to_thread(numbers, metrics, "worker")
            for worker in ("loop", "device"):
                assert abs(time.time() - beats["tta_worker_heartbeat_timestamp_seconds", worker]) < 60
            by_code = await asyncio.to_thread(numbers, metrics, "code")
            assert (
                by_code["tta_requests_total", "OK"] == by_code["tta_requests_total", "INVALID_ARGUMENT"] == 1
            )  # in each round
        assert not [t.name for t in threading.enumerate() if t.name.startswith("tta-") or "serve_forever" in t.name]
        async with asyncio.timeout(PATIENCE):
            while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110 - grpc ends its own
                await asyncio.sleep(0.01)


async def test_a_taken_port_is_reported_and_a_broken_part_ends_the_service(monkeypatch: pytest.MonkeyPatch):
    async with Application(settings(server__drain=0)) as service, grpc.aio.insecure_channel(service.address) as channel:
        for setting, address in (("server__port", service.address), ("metrics__port", service.metrics_address)):
            with pytest.raises(OSError, match=f"cannot listen on {address}: Address already in use"):
                await Application(settings(**{setting: int(address.rpartition(":")[2])})).__aenter__()
        assert not service.stopping
        service.runtime.background_tasks[0].cancel()
        with pytest.raises(RuntimeError, match="ended by itself"):
            await service.wait()
        codes: list[int] = []
        monkeypatch.setattr(os, "_exit", codes.append)
        service.runtime.health.batch_failed(RuntimeError("CUDA error: device-side assert triggered"))
        assert codes == [70]
        health = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        async for reply in health:  # first what it was, when the change has not been passed on yet
            if reply.status == health_pb2.HealthCheckResponse.NOT_SERVING:
                break


async def test_a_default_that_does_not_exist_is_refused():
    with pytest.raises(UnknownStrategy, match="magic"):
        await Application(settings(defaults__strategy="magic")).__aenter__()
    with pytest.raises(UnknownReducer, match="magic"):
        await Application(settings(defaults__reducer="magic")).__aenter__()


async def test_a_model_of_nan_never_serves(tmp_path: Path):
    pocket = files("tta_service.clip.pocket")
    weights = load_file(str(pocket / "pocket.safetensors"))
    broken = {name: torch.full_like(value, torch.nan) if "visual" in name and value.is_floating_point() else value
              for name, value in weights.items()}  # fmt: skip
    save_file(broken, tmp_path / "broken.safetensors")
    (tmp_path / "open_clip_config.json").write_text((pocket / "open_clip_config.json").read_text())
    with pytest.raises(ModelFault, match=r"the model broken does not work: .* not finite"):
        await Application(settings(model__checkpoint=str(tmp_path / "broken.safetensors"))).__aenter__()


@contextmanager
def running(*flags: str) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """`serve` in a process of its own: it, its gRPC address, its metrics."""
    flags = ("--port=0", "--metrics-port=0", "--set=batch.max_rows=16", "--set=lanes.cores=1", *flags)
    command = [sys.executable, "-m", "tta_service", "serve", *flags]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout
            found = re.match(r"SERVING grpc=(\S+) metrics=(\S+) http=off model=pocket", process.stdout.readline())
            assert found
            yield process, *found.groups()
        finally:
            process.kill()


@pytest.mark.slow
def test_sigterm_drains_running_requests_and_exits_0():
    drain = f"--set=server.drain={PATIENCE}"
    with running(drain) as (process, address, metrics), grpc.insecure_channel(address) as channel:
        ask = AdaptationServiceStub(channel).Classify.future
        answer = ask(question(views=512))
        while numbers(metrics)["tta_inflight_rows"] < 512:
            if answer.done():  # before anybody looked: another one
                answer = ask(question(views=512))
        process.send_signal(signal.SIGTERM)
        assert answer.result(PATIENCE).views == 512
        assert process.wait(PATIENCE) == 0


@pytest.mark.slow
def test_a_second_signal_ends_the_process_at_once():
    with running("--set=server.drain=600") as (process, address, _), grpc.insecure_channel(address) as channel:
        held = threading.Event()

        def frames() -> Iterator[pb.ClassifyStreamRequest]:
            yield pb.ClassifyStreamRequest(open=pb.OpenStream(labels=LABELS))
            held.wait()

        replies = AdaptationServiceStub(channel).ClassifyStream(frames())
        assert next(replies).HasField("status")
        process.send_signal(signal.SIGINT)
        assert next(replies).HasField("draining")
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 128 + signal.SIGTERM
        held.set()


@pytest.mark.slow
def test_all_that_is_printed_is_json_if_wanted():
    flags = ("--port=0", "--metrics-port=0", "--set=batch.max_rows=16", "--set=lanes.cores=1", "--log-format=json")
    command = [sys.executable, "-m", "tta_service", "serve", *flags]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment) as process:
        assert process.stdout
        serving = json.loads(process.stdout.readline())
        with grpc.insecure_channel(serving["grpc"]) as channel:
            AdaptationServiceStub(channel).Classify(question(views=2), timeout=PATIENCE)
        process.send_signal(signal.SIGTERM)
        out, error = process.communicate(timeout=PATIENCE)
    assert serving["event"] == "serving" and serving["model"] == "pocket" and out == ""
    assert process.returncode == 0 and all(json.loads(line)["event"] for line in error.splitlines())
