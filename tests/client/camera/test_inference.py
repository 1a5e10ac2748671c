"""tta-camera and servers of the Open Inference Protocol: this service, and one whose model takes pixels."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tta_client.camera.cli import main
from tta_client.camera.command import parse_arguments
from tta_client.v1 import open_inference_pb2 as oip

from tests.rpc.conftest import Harness, jpeg, open_harness

OIP = "--protocol", "oip", "--json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(1, 5):
        (tmp_path / f"{number}.jpg").write_bytes(jpeg(number))
    return tmp_path


def outcome(capsys: pytest.CaptureFixture[str]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    *results, last = map(json.loads, capsys.readouterr().out.splitlines())
    return sorted(results, key=lambda one: one["frame"]), last["summary"]


@pytest.fixture
def harness() -> Iterator[Harness]:
    """It runs in a thread: tta-camera takes signals, so it wants the main one."""
    loop, stack = asyncio.new_event_loop(), AsyncExitStack()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield asyncio.run_coroutine_threadsafe(stack.enter_async_context(open_harness()), loop).result(60)
    asyncio.run_coroutine_threadsafe(stack.aclose(), loop).result(60)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def run(harness: Harness, *words: str) -> int:
    return main([*words, *OIP, "--server", f"127.0.0.1:{harness.port}"])


def test_the_models_of_this_service_answer_each_frame(harness: Harness, folder: Path, capsys: Any):
    words = "--model", "tta", "--labels", "cat,dog,car", "--strategy", "mta", "--param", "strategy.views=4"
    assert run(harness, str(folder), *words) == 0
    results, summary = outcome(capsys)
    assert {one["label"] for one in results} <= {"cat", "dog", "car"} and all(one["zero_shot"] for one in results)
    assert [(one["strategy"], one["views"], one["age"] > 0) for one in results] == [("mta", 4, True)] * 4
    assert (summary["answers"], summary["failures"], summary["age_p95"] > 0) == (4, 0, True)
    assert run(harness, str(folder), "--model", "tda", "--labels", "cat,dog", "--session", "door") == 0
    assert {one["strategy"] for one in outcome(capsys)[0]} == {"tda"}
    assert harness.parts.sessions.get("", "door").frames == 4  # one sequence, of which no frame overtook another


def test_frames_that_fail_are_told_and_the_camera_goes_on(harness: Harness, folder: Path, capsys: Any):
    (folder / "2.jpg").write_bytes(b"no picture")
    assert run(harness, str(folder), "--model", "zero_shot", "--labels", "cat,dog") == 1
    results, summary = outcome(capsys)
    assert [one["error"]["code"] if "error" in one else "" for one in results][1] == "INVALID_ARGUMENT"
    assert (summary["answers"], summary["failures"]) == (3, 1)
    assert run(harness, str(folder), "--model", "nothing") == 1
    assert "no model is called 'nothing'" in capsys.readouterr().err


class Foreign(grpc.GenericRpcHandler):
    """A server with one model of pixels and scores without names; `seen` has what it was asked."""

    def __init__(self, datatype: str, shape: list[int]) -> None:
        self.datatype, self.shape, self.seen = datatype, shape, list[oip.ModelInferRequest]()

    def service(self, handler_call_details: Any) -> Any:
        name = handler_call_details.method.rpartition("/")[2]
        request = getattr(oip, f"{name}Request")
        answer: Callable[..., Any] = getattr(self, name)
        return grpc.unary_unary_rpc_method_handler(answer, request.FromString, lambda reply: reply.SerializeToString())

    def ModelMetadata(self, request: Any, context: Any) -> oip.ModelMetadataResponse:
        reply = oip.ModelMetadataResponse(name=request.name)
        reply.inputs.add(name="INPUT", datatype=self.datatype, shape=self.shape)
        reply.outputs.add(name="PROBABILITIES", datatype="FP32", shape=[-1, 3])
        return reply

    def ModelInfer(self, request: oip.ModelInferRequest, context: Any) -> oip.ModelInferResponse:
        self.seen.append(request)
        reply = oip.ModelInferResponse(model_name=request.model_name, id=request.id)
        if request.outputs:
            reply.outputs.add(name="PROBABILITIES", datatype="BYTES", shape=[1, 2])
            texts = b"0.75:1:tabby", b"0.25:0"
            reply.raw_output_contents.append(b"".join(len(one).to_bytes(4, "little") + one for one in texts))
        else:
            reply.outputs.add(name="PROBABILITIES", datatype="FP32", shape=[1, 3])
            reply.raw_output_contents.append(np.zeros(3, "<f4").tobytes())
        return reply


@pytest.fixture
def serve() -> Iterator[Callable[[Foreign], str]]:
    servers = list[grpc.Server]()

    def start(foreign: Foreign) -> str:
        server = grpc.server(futures.ThreadPoolExecutor(2))
        server.add_generic_rpc_handlers((foreign,))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        servers.append(server)
        return f"127.0.0.1:{port}"

    yield start
    for server in servers:
        server.stop(0)


@pytest.mark.parametrize(
    ("datatype", "shape", "sent", "size"),
    [
        ("FP32", [-1, 3, 20, 24], [1, 3, 20, 24], 4),
        ("FP32", [20, 24, 3], [20, 24, 3], 4),
        ("UINT8", [-1, -1, -1, 3], [1, 48, 48, 3], 1),
        ("FP16", [-1, 3, -1, -1], [1, 3, 48, 48], 2),
    ],
)
def test_a_model_of_pixels_gets_them_in_its_shape(
    serve: Callable[[Foreign], str],
    folder: Path,
    capsys: Any,
    datatype: str,
    shape: list[int],
    sent: list[int],
    size: int,
):
    address = serve(foreign := Foreign(datatype, shape))
    assert main([str(folder), *OIP, "--server", address, "--model", "resnet", "--param", "mode=fast"]) == 0
    results, _ = outcome(capsys)
    assert results[0]["label"] == "PROBABILITIES FP32 [1, 3]"
    (tensor,), (raw,) = foreign.seen[0].inputs, foreign.seen[0].raw_input_contents
    assert (list(tensor.shape), len(raw)) == (sent, int(np.prod(sent)) * size)
    assert foreign.seen[0].parameters["mode"].string_param == "fast"
    if datatype != "UINT8":
        values = np.frombuffer(raw, {"FP32": "<f4", "FP16": "<f2"}[datatype])
        assert 0.1 < values.max() <= 1 and len(set(values[:50])) > 1


def test_classes_are_asked_for_by_top_k(serve: Callable[[Foreign], str], folder: Path, capsys: Any):
    address = serve(foreign := Foreign("BYTES", [-1, 1]))
    assert main([str(folder), *OIP, "--server", address, "--model", "cats", "--top-k", "2"]) == 0
    assert [(one["label"], one["index"]) for one in outcome(capsys)[0][0]["top"]] == [("tabby", 1), ("0", 0)]
    assert foreign.seen[0].outputs[0].parameters["classification"].int64_param == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--protocol", "oip"), "--protocol oip needs a --model"),
        (("--protocol", "oip", "--model", "a", "--reducer", "tome"), "--protocol oip takes no --reducer"),
        (("--protocol", "oip", "--model", "a", "--policy", "latest"), "--protocol oip takes no --policy"),
        (("--input", "a", "--labels", "cat,dog"), "--input needs --protocol oip"),
    ],
)
def test_options_that_do_not_go_together_are_refused(words: tuple[str, ...], sentence: str, capsys: Any):
    with pytest.raises(SystemExit):
        parse_arguments(["virtual", *words])
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("words", [("--input", "nosuch"), ()], ids=["another input", "no pictures"])
def test_an_input_of_no_pictures_is_refused(serve: Callable[[Foreign], str], folder: Path, capsys: Any, words: Any):
    address = serve(Foreign("FP32", [-1, 128]))
    assert main([str(folder), *OIP, "--server", address, "--model", "text", *words]) == 1
    assert "INPUT" in capsys.readouterr().err
