"""A service where the package of our client is not installed answers all the same, by each protocol and transport."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import grpc
import httpx
import pytest

from tests.http.test_open_inference import in_json, outputs_of
from tests.rpc.conftest import question
from tests.rpc.test_oip import Client, floats, infer
from tta_service.rpc.v1.tta_pb2_grpc import AdaptationServiceStub

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
WITHOUT = "import sys; sys.modules['tta_client'] = None; "
START = f"{WITHOUT}from tta_service.cli import main; main()"
FLAGS = "--host=127.0.0.1", "--port=0", "--set=http.port=0", "--set=http.enabled=true", "--set=metrics.enabled=false"


async def test_a_service_without_the_client_answers():
    command = [sys.executable, "-c", START, "serve", *FLAGS, "--log-level=error"]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout
        line = (await process.stdout.readline()).decode()
        found = re.match(r"SERVING grpc=(\S+) metrics=off http=(\S+) ", line)
        assert found, line
        async with (
            grpc.aio.insecure_channel(found[1]) as channel,
            httpx.AsyncClient(base_url=found[2], timeout=60, trust_env=False) as http,
        ):
            ours = await AdaptationServiceStub(channel).Classify(question())
            by_grpc = await Client(channel).ModelInfer(infer("zero_shot"))
            by_http = outputs_of(await http.post("/v2/models/zero_shot/infer", json=in_json()))
        assert floats(by_grpc, "score")[0].tolist() == by_http["score"] == [one.score for one in ours.top]
    finally:
        process.terminate()
        assert await process.wait() == 0


def test_the_client_is_really_out_of_reach():
    tried = subprocess.run([sys.executable, "-c", f"{WITHOUT}import tta_client"], cwd=ROOT, capture_output=True)
    assert tried.returncode and b"tta_client" in tried.stderr
