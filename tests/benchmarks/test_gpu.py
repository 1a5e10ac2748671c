"""benchmarks/gpu.py where there is no GPU: it refuses, understands its arguments, and measures what it is given."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest
import torch

import benchmarks
from tta_service.clip import pocket

RESULT = {"rates": {}, "best": 5000.0, "rows_per_second": 4600.0, "fraction": 0.92, "answer_ms": [90.0, 120.0, 130.0]}
LOOK = {"device": 0.8, "launch": 0.5, "core": 40.0, "levels_apart": 1, "mean_apart": 0.0001}


@pytest.fixture(scope="module")
def gpu() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(next(iter(benchmarks.__path__)))))  # where its siblings are
        return importlib.import_module("gpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_it_says_so(gpu, capsys):
    assert gpu.main([]) == 2
    assert capsys.readouterr().err == "gpu.py measures a CUDA device, and there is none here\n"


def test_wrong_arguments_are_refused(gpu, capsys):
    assert gpu.forms("float16:cudagraphs,float32:eager") == [("float16", "cudagraphs"), ("float32", "eager")]
    assert gpu.forms(gpu.FORMS)[0] == ("float16", "cudagraphs")
    for wrong, text in (
        (["--forms", "float16"], "'float16' is no form"),
        (["--forms", "float8:eager"], "no form"),
        (["--seconds", "2"], "five at least"),
    ):
        with pytest.raises(SystemExit) as ended:
            gpu.main(wrong)
        assert ended.value.code == 2
        assert text in capsys.readouterr().err


def test_the_tower_alone_is_measured(gpu, monkeypatch):
    """On the CPU here: the same code, a smaller model."""
    monkeypatch.setattr(gpu, "ROUNDS", 1)
    monkeypatch.setattr(gpu, "BATCHES", (1, 2))
    monkeypatch.setattr(gpu, "PICTURES", ((90, 70),))
    weights = Path(next(iter(pocket.__path__))) / "pocket.safetensors"
    result = gpu.alone(str(weights), ("float32", "eager"), 4, device="cpu")
    assert set(result["rates"]) == {1, 2} and result["best"] == max(result["rates"].values()) > 0
    assert result["look_ms"]["90x70"]["levels_apart"] <= 1
    assert result["look_ms"]["90x70"]["core"] > 0


def test_the_table_has_a_line_for_each_form(gpu):
    row = {"precision": "float16", "runtime": "cudagraphs", "batch_rows": 256, "look_ms": {"500x375": LOOK}, **RESULT}
    text = gpu.table({"model": "ViT-B-16", "views": 64, "streams": 16, "device": "a GPU", "rows": [row]})
    assert "| float16 cudagraphs | 5000 | 4600 | 0.920 | 90/120/130 | 256 |" in text
    assert "64 views of 500x375: 0.8 ms on the device (0.5 of them the host's), 40.0 ms on a core" in text
