"""The unmodified tritonclient from PyPI, in one process with our client and our service."""

from __future__ import annotations

import asyncio
import queue
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tta_client

from tta_service.wire.v1 import open_inference_pb2 as oip

from .conftest import Harness, busy, check_best, jpeg, open_harness, options, question

triton = pytest.importorskip("tritonclient.grpc", reason="tritonclient is not installed")
ROOT = Path(__file__).parents[2]
PRINTED = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "oip.md").read_text(encoding="utf-8"), re.DOTALL)
EXAMPLES = [code for code in PRINTED if "tritonclient.grpc" in code]
NAMES = {"labels": "cat,dog,car"}


def picture(seed: int = 0) -> Any:
    tensor = triton.InferInput("image", [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[jpeg(seed)]], dtype=object))
    return tensor


async def ask(harness: Harness, work: Callable[[Any], Any]) -> Any:
    """What `work` gives, which has a client of its own and a thread."""

    def run() -> Any:
        with triton.InferenceServerClient(f"127.0.0.1:{harness.port}") as client:
            return work(client)

    return await asyncio.to_thread(run)


def streamed(client: Any, send: Callable[[], None]) -> list[tuple[Any, Any]]:
    """All (result, error) of one stream, in their order."""
    answers = queue.Queue[tuple[Any, Any]]()
    client.start_stream(lambda result, error: answers.put((result, error)))
    send()
    client.stop_stream()
    return list(answers.queue)


async def test_its_answer_is_bit_for_bit_that_of_classify_and_of_our_client(harness):
    result = await ask(harness, lambda client: client.infer("tpt", [picture()], request_id="mine", parameters=NAMES))
    ours = await harness.stub.Classify(question(options=options("tpt")))
    async with tta_client.AsyncClient(f"127.0.0.1:{harness.port}") as client:
        theirs = await client.classify(jpeg(), ["cat", "dog", "car"], strategy="tpt")
    assert result.as_numpy("label")[0].tolist() == [score.label.encode() for score in ours.top]
    assert result.as_numpy("score")[0].tolist() == [score.score for score in ours.top]
    assert result.as_numpy("score")[0, 0] == theirs.score
    assert result.get_response().id == "mine"


async def test_its_messages_have_our_numbers_and_types():
    """So that a change of ours is seen, and one of theirs."""
    from tritonclient.grpc import model_config_pb2, service_pb2

    different = []
    for name, ours in oip.DESCRIPTOR.message_types_by_name.items():
        theirs = getattr(service_pb2, name, None) or getattr(model_config_pb2, name)
        known = {field.name: field for field in theirs.DESCRIPTOR.fields}
        for field in ours.fields:
            same = known.get(field.name)
            if same is None or (same.number, same.type) != (field.number, field.type):
                different.append(f"{name}.{field.name}")
    assert different == ["ModelMetadataResponse.properties"]  # KServe's alone


async def test_it_finds_the_server_and_its_models(harness):
    def work(client: Any) -> None:
        assert client.is_server_live() and client.is_server_ready()
        assert client.is_model_ready("tda", "1") and not client.is_model_ready("nothing")
        assert "sequence(string_id)" in client.get_server_metadata().extensions
        metadata = client.get_model_metadata("tta")
        assert list(metadata.versions) == ["1"]
        assert [(one.name, one.datatype, list(one.shape)) for one in metadata.inputs] == [
            ("image", "BYTES", [-1, 1]),
            ("pixels", "UINT8", [-1, -1, -1, 3]),
            ("labels", "BYTES", [-1, -1]),
        ]
        config = client.get_model_config("tda", as_json=True)["config"]
        assert config["max_batch_size"] == 64 and "sequence_batching" in config
        assert "tda" in {model.name for model in client.get_model_repository_index().models}
        client.unregister_system_shared_memory()
        client.unregister_cuda_shared_memory()
        with pytest.raises(triton.InferenceServerException, match="UNIMPLEMENTED"):
            client.load_model("tda")

    await ask(harness, work)


async def test_async_calls_of_one_sequence_are_answered_in_their_order(harness):
    def work(client: Any) -> list[int]:
        done, frames = threading.Semaphore(0), dict[str, int]()

        def answered(result: Any, error: Any) -> None:
            assert error is None, error
            frames[result.get_response().id] = result.get_response().parameters["session_frames"].int64_param
            done.release()

        for frame in range(8):
            more = {"sequence_start": frame == 0, "sequence_end": frame == 7}
            parameters = {**NAMES, "strategy.views": 1}
            call = {"callback": answered, "sequence_id": 5, "request_id": str(frame), "parameters": parameters}
            client.async_infer("tda", [picture(frame)], **call, **more)
            assert done.acquire(timeout=60)  # calls under way at the same time may arrive in another order
        return [frames[str(frame)] for frame in range(8)]

    assert await ask(harness, work) == list(range(1, 9))


async def test_two_sequences_take_turns_on_one_stream(harness):
    def work(client: Any) -> list[tuple[Any, Any]]:
        def send() -> None:
            for frame in range(3):
                for camera in (7, "door"):
                    more = {"sequence_id": camera, "sequence_start": frame == 0, "sequence_end": frame == 2}
                    client.async_stream_infer("tda", [picture(frame)], parameters=NAMES, **more)
            client.async_stream_infer("tda", [picture()], parameters=NAMES, sequence_id=7, request_id="ended")
            client.async_stream_infer("zero_shot", [picture()], parameters=NAMES)

        return streamed(client, send)

    answers = await ask(harness, work)
    parameters = [result.get_response().parameters for result, error in answers if error is None]
    assert [one["session_frames"].int64_param for one in parameters] == [1, 1, 2, 2, 3, 3, 1]
    assert ["START" in str(error) for _, error in answers] == [False] * 6 + [True, False]


async def test_classes_and_batches(harness):
    def work(client: Any) -> tuple[Any, Any]:
        tensor = triton.InferInput("pixels", [2, 40, 30, 3], "UINT8")
        pixels = np.random.default_rng(0).integers(0, 255, (2, 40, 30, 3), dtype=np.uint8)
        tensor.set_data_from_numpy(pixels)
        labels = triton.InferInput("labels", [1, 3], "BYTES")
        labels.set_data_from_numpy(np.array([["cat", "dog", "car"]], dtype=object))
        asked = [triton.InferRequestedOutput("scores"), triton.InferRequestedOutput("score", class_count=1)]
        result = client.infer("zero_shot", [tensor, labels], outputs=asked)
        return result.as_numpy("scores"), result.as_numpy("score")

    scores, classes = await ask(harness, work)
    assert scores.shape == (2, 3) and classes.shape == (2, 1)
    check_best(scores, classes)


async def test_statistics_count_what_it_asked(harness):
    def work(client: Any) -> Any:
        for _ in range(3):
            client.infer("mta", [picture()], parameters=NAMES)
        return client.get_inference_statistics("mta").model_stats[0]

    numbers = await ask(harness, work)
    assert (numbers.inference_count, numbers.inference_stats.queue.count, numbers.inference_stats.fail.count) == (
        3,
        3,
        0,
    )


async def test_errors_have_their_status(harness):
    def work(client: Any) -> list[str]:
        said = list[str]()
        for model, parameters in (("nothing", NAMES), ("tda", {}), ("tda", {**NAMES, "strategy.views": 0})):
            with pytest.raises(triton.InferenceServerException) as caught:
                client.infer(model, [picture()], parameters=parameters)
            said.append(f"{caught.value.status()} {caught.value.message()}")
        return said

    unknown, unlabelled, low = await ask(harness, work)
    assert unknown.startswith("StatusCode.NOT_FOUND model_name: no model is called 'nothing'")
    assert unlabelled.startswith("StatusCode.INVALID_ARGUMENT inputs.labels: there are no labels")
    assert low.startswith("StatusCode.INVALID_ARGUMENT parameters.strategy.views: ")


async def test_the_earlier_of_both_deadlines_counts(harness):
    def work(client: Any) -> list[str]:
        said = list[str]()
        for more in ({"timeout": 50_000, "client_timeout": 30}, {"timeout": 30_000_000, "client_timeout": 0.1}):
            with pytest.raises(triton.InferenceServerException) as caught:
                client.infer("zero_shot", [picture()], parameters={**NAMES, "on_deadline": "fail"}, **more)
            said.append(caught.value.status())
        return said

    async with busy(harness):
        assert await ask(harness, work) == ["StatusCode.DEADLINE_EXCEEDED"] * 2


async def test_what_is_cancelled_ends_and_leaves_nothing(harness):
    def work(client: Any) -> Any:
        said = queue.Queue[Any]()
        call = client.async_infer("zero_shot", [picture()], lambda result, error: said.put(error), parameters=NAMES)
        call.cancel()
        client.start_stream(lambda result, error: None)
        client.async_stream_infer("zero_shot", [picture()], parameters=NAMES)
        client.stop_stream(cancel_requests=True)
        return said.get(timeout=60)

    async with busy(harness):
        assert "cancel" in str(await ask(harness, work)).lower()
    assert await ask(harness, lambda client: client.infer("zero_shot", [picture()], parameters=NAMES)) is not None


@pytest.mark.parametrize("place", range(len(EXAMPLES)))
async def test_the_examples_of_the_page_run(place: int, tmp_path: Path, monkeypatch, capsys):
    (tmp_path / "photo.jpg").write_bytes(jpeg())
    monkeypatch.chdir(tmp_path)
    async with open_harness() as harness:
        code = EXAMPLES[place].replace("localhost:50051", f"127.0.0.1:{harness.port}")
        await asyncio.to_thread(exec, compile(code, "oip.md", "exec"), {})
    assert capsys.readouterr().out and len(EXAMPLES) == 3
