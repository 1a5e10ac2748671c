"""The unmodified tritonclient[http] from PyPI, in one process with our client and our service."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tta_client

from tests.http.conftest import BothTransports
from tests.rpc.conftest import busy, check_best, jpeg, options, question

triton = pytest.importorskip("tritonclient.http", reason="tritonclient[http] is not installed")
ROOT = Path(__file__).parents[2]
PRINTED = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "oip.md").read_text(encoding="utf-8"), re.DOTALL)
NAMES = {"labels": "cat,dog,car"}


def picture(seed: int = 0, binary: bool = True) -> Any:
    """An input, in JSON as base64."""
    tensor, file = triton.InferInput("image", [1, 1], "BYTES"), jpeg(seed)
    tensor.set_data_from_numpy(np.array([[file if binary else base64.b64encode(file)]], dtype=object), binary)
    return tensor


async def ask(both: BothTransports, work: Callable[[Any], Any]) -> Any:
    """What `work` gives, which has a client of its own and a thread."""

    def run() -> Any:
        with triton.InferenceServerClient(f"127.0.0.1:{both.port}", concurrency=4) as client:
            return work(client)

    return await asyncio.to_thread(run)


async def test_its_answers_are_bit_for_bit_those_of_classify_and_of_our_client(both: BothTransports):
    def work(client: Any) -> list[Any]:
        asked = [triton.InferRequestedOutput(name, binary_data=False) for name in ("label", "score")]
        more: dict[str, Any] = {"parameters": NAMES, "request_id": "mine"}
        coded = {"request_compression_algorithm": "gzip", "response_compression_algorithm": "deflate"}
        return [
            client.infer("tpt", [picture()], **more),
            client.infer("tpt", [picture(binary=False)], outputs=asked, **more),
            client.infer("tpt", [picture()], outputs=asked, **more, **coded),
            client.async_infer("tpt", [picture(binary=False)], model_version="1", **more).get_result(),
        ]

    results = await ask(both, work)
    ours = await both.rpc.stub.Classify(question(options=options("tpt")))
    async with tta_client.AsyncClient(f"127.0.0.1:{both.rpc.port}") as client:
        theirs = await client.classify(jpeg(), ["cat", "dog", "car"], strategy="tpt")
    for result in results:
        assert result.get_response()["id"] == "mine"
        assert [str(one, "utf-8") if isinstance(one, bytes) else one for one in result.as_numpy("label")[0]] == [
            score.label for score in ours.top
        ]
        assert result.as_numpy("score").dtype == np.float32
        assert result.as_numpy("score")[0].tolist() == [score.score for score in ours.top]
        assert result.as_numpy("score")[0, 0] == theirs.score


async def test_it_finds_the_server_and_its_models(both: BothTransports):
    def work(client: Any) -> None:
        assert client.is_server_live() and client.is_server_ready()
        assert client.is_model_ready("tda", "1") and not client.is_model_ready("nothing")
        assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
        metadata = client.get_model_metadata("tta")
        assert metadata["versions"] == ["1"]
        assert metadata["inputs"][1] == {"name": "pixels", "datatype": "UINT8", "shape": [-1, -1, -1, 3]}
        config = client.get_model_config("tda", "1")
        assert config["max_batch_size"] == 64
        assert config["sequence_batching"]["max_sequence_idle_microseconds"] == 300_000_000
        assert "tda" in {model["name"] for model in client.get_model_repository_index()}
        client.unregister_system_shared_memory()
        client.unregister_cuda_shared_memory("region")

    await ask(both, work)


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.load_model("tda", config="{}"),
        lambda client: client.unload_model("tda"),
        lambda client: client.get_trace_settings(),
        lambda client: client.update_trace_settings("tda", {"trace_rate": "1"}),
        lambda client: client.get_log_settings(),
        lambda client: client.update_log_settings({"log_info": True}),
        lambda client: client.get_system_shared_memory_status(),
        lambda client: client.register_system_shared_memory("a", "/a", 8),
        lambda client: client.get_cuda_shared_memory_status("a"),
        lambda client: client.register_cuda_shared_memory("a", b"x", 0, 8),
    ],
)
async def test_what_is_not_served_says_so(both: BothTransports, call: Callable[[Any], Any]):
    def work(client: Any) -> Any:
        with pytest.raises(triton.InferenceServerException) as caught:
            call(client)
        return caught.value

    error = await ask(both, work)
    assert error.status() == "501" and "decoding" not in error.message()


async def test_sequences_are_sessions_and_take_turns(both: BothTransports):
    def work(client: Any) -> tuple[list[int], str]:
        frames = list[int]()
        for frame in range(3):
            for camera in (7, "door"):
                more = {"sequence_id": camera, "sequence_start": frame == 0, "sequence_end": frame == 2}
                result = client.infer("tda", [picture(frame)], parameters=NAMES, **more)
                frames.append(result.get_response()["parameters"]["session_frames"])
        with pytest.raises(triton.InferenceServerException) as caught:
            client.infer("tda", [picture()], parameters=NAMES, sequence_id=7)
        return frames, caught.value.message()

    frames, ended = await ask(both, work)
    assert frames == [1, 1, 2, 2, 3, 3] and "START" in ended


async def test_classes_and_batches(both: BothTransports):
    def work(client: Any) -> tuple[Any, Any]:
        pixels = np.random.default_rng(0).integers(0, 255, (2, 40, 30, 3), dtype=np.uint8)
        tensor, labels = triton.InferInput("pixels", [2, 40, 30, 3], "UINT8"), triton.InferInput("labels", [3], "BYTES")
        tensor.set_data_from_numpy(pixels, binary_data=False)
        labels.set_data_from_numpy(np.array(["cat", "dog", "car"], dtype=object))  # JSON and bytes in one request
        asked = [triton.InferRequestedOutput("scores"), triton.InferRequestedOutput("score", class_count=2)]
        result = client.infer("zero_shot", [tensor, labels], outputs=asked)
        return result.as_numpy("scores"), result.as_numpy("score")

    scores, classes = await ask(both, work)
    assert scores.shape == (2, 3) and classes.shape == (2, 2)
    check_best(scores, classes)


async def test_statistics_count_what_it_asked(both: BothTransports):
    def work(client: Any) -> Any:
        before = client.get_inference_statistics("mta")["model_stats"][0]["inference_count"]
        pending = [client.async_infer("mta", [picture(seed)], parameters=NAMES) for seed in range(3)]
        assert all(one.get_result(timeout=60) for one in pending)
        return before, client.get_inference_statistics()["model_stats"]

    before, all_models = await ask(both, work)
    numbers = next(one for one in all_models if one["name"] == "mta")
    assert (before, numbers["inference_count"], numbers["inference_stats"]["queue"]["count"]) == (0, 3, 3)


async def test_errors_have_their_sentence_and_status(both: BothTransports):
    def work(client: Any) -> list[str]:
        said = list[str]()
        more = {"timeout": 50_000}
        for model, parameters in (("nothing", NAMES), ("tda", {}), ("zero_shot", {**NAMES, "on_deadline": "fail"})):
            with pytest.raises(triton.InferenceServerException) as caught:
                client.infer(model, [picture()], parameters=parameters, **more)
            said.append(f"{caught.value.status()} {caught.value.message()}")
        return said

    async with busy(both.rpc):
        unknown, unlabelled, late = await ask(both, work)
    assert unknown.startswith("404 model_name: no model is called 'nothing'")
    assert unlabelled.startswith("400 inputs.labels: there are no labels")
    assert late.startswith("504 ")


async def test_the_example_of_the_page_runs(both: BothTransports, tmp_path: Path, monkeypatch, capsys):
    (tmp_path / "photo.jpg").write_bytes(jpeg())
    monkeypatch.chdir(tmp_path)
    (code,) = (code for code in PRINTED if "tritonclient.http" in code)
    code = code.replace("localhost:8080", f"127.0.0.1:{both.port}")
    await asyncio.to_thread(exec, compile(code, "oip.md", "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) == 3
