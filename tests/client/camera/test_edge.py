"""Devices without torch: the views are the service's own, and so are the features."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tta_client import Choice, Client
from tta_client.camera.cli import main
from tta_client.camera.edge import EdgeEncoder
from tta_client.camera.edge_views import Crops, cut_views
from tta_client.camera.on_device import Encoder, Model

from tta_service.images import random_crops, views

onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed (extra edge)")
CROPS = Crops(random_crops.AREA, random_crops.RATIO, random_crops.ATTEMPTS, views.LONGEST, views.SQUARES)


def smooth(height: int, width: int, seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


@pytest.mark.parametrize(
    ("height", "width"), [(240, 320), (64, 64), (333, 201), (40, 30), (5, 900), (1, 1), (480, 640), (721, 64)]
)
@pytest.mark.parametrize(("augment", "count"), [("crop", 1), ("crop", 12), ("named", 10)])
def test_views_are_those_of_the_service(height: int, width: int, augment: str, count: int) -> None:
    pixels = smooth(height, width)
    expected = views.look(torch.from_numpy(pixels.copy()).permute(2, 0, 1), 64, count, 7, augment).pixels.numpy()
    found = cut_views(Image.fromarray(pixels), 64, count, augment, 7, CROPS)
    assert found.shape == expected.shape and found.dtype == np.uint8
    differences = np.abs(found.astype(int) - expected).reshape(count, -1)
    assert differences.max() <= 2 and differences.mean() < 0.1


def test_augmix_is_left_to_the_service() -> None:
    with pytest.raises(ValueError, match="'augmix' are cut only where the package tta_service"):
        cut_views(Image.fromarray(smooth(64, 64)), 64, 4, "augmix", 0, CROPS)


def read_about(path: Path) -> Any:
    """What a service says that has the model of the file."""
    about = json.loads(onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map["tta-edge"])
    return SimpleNamespace(model=about["model"], model_fingerprint=about["fingerprint"])


@pytest.fixture(scope="module")
def tower(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnxscript", reason="onnxscript is not installed (extra runtime)")
    path = tmp_path_factory.mktemp("edge") / "tower.onnx"
    words = [sys.executable, "-m", "tta_service", "export-edge", str(path)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "100.0% of answers to 192 views" in done.stdout and "cosine 1.00000 at the least" in done.stdout
    return path


@pytest.mark.slow
def test_features_are_those_of_the_service(service: str, tower: Path, tmp_path: Path) -> None:
    with Client(service) as client:
        info = client.info()
        edge, whole = EdgeEncoder(str(tower), info), Encoder(Model(), info)
        strategies = [
            Choice("zero_shot"),
            Choice("mta", {"views": 20}),
            Choice("vb_weights"),
            Choice("scenes", {"of": "tda"}),
        ]
        edge.check(strategies)
        for seed in range(3):
            out = io.BytesIO()
            Image.fromarray(smooth(240, 320, seed)).save(out, "JPEG", quality=90)
            for strategy in strategies:
                ours, theirs = (one.features(out.getvalue(), strategy, seed) for one in (edge, whole))
                assert ours.rows.shape == theirs.rows.shape and ours.model == theirs.model
                assert (ours.rows * theirs.rows).sum(-1).min() > 0.999
        for wrong in (Choice("magic"), Choice("mta", {"views": "many"}), Choice("mta", {"views": 0})):
            with pytest.raises(ValueError, match=r"magic|views is a whole number"):
                edge.features(b"", wrong, 0)
        with pytest.raises(ValueError, match="it is no picture"):
            edge.features(b"none", Choice("zero_shot"), 0)
    (tmp_path / "no.onnx").write_bytes(b"none")
    with pytest.raises(OSError, match="cannot be read"):
        EdgeEncoder(str(tmp_path / "no.onnx"), info)


@pytest.mark.slow
def test_the_camera_sends_features_and_no_pixel(service: str, tower: Path, tmp_path: Path, capsys) -> None:
    for number in range(3):
        Image.fromarray(smooth(240, 320, number)).save(tmp_path / f"{number}.jpg")
    words = [str(tmp_path), "--server", service, "--labels", "cat,flower,temple", "--strategy", "tda", "--json"]
    assert main(words) == 0
    *pictures, _ = map(json.loads, capsys.readouterr().out.splitlines())
    assert main([*words, "--encode-on-device", "--checkpoint", str(tower)]) == 0
    *features, _ = map(json.loads, capsys.readouterr().out.splitlines())
    for one, two in zip(pictures, features, strict=True):
        assert one["label"] == two["label"] and one["score"] == pytest.approx(two["score"], abs=0.01)


@pytest.mark.slow
def test_a_tower_in_int8_is_small_and_answers_alike(tower: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "tta_service", "export-edge", str(tmp_path / "int8.onnx"), "--int8"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0 and "answer otherwise" not in done.stderr, done.stderr
    assert float(re.search(r"([\d.]+)% of answers", done.stdout)[1]) >= 99.5  # type: ignore[index]
    assert (tmp_path / "int8.onnx").stat().st_size < 0.45 * tower.stat().st_size
    whole, small = (EdgeEncoder(str(path), read_about(path)) for path in (tower, tmp_path / "int8.onnx"))
    for seed in range(20):
        rows = [one.features(smooth(64, 64, seed), Choice("zero_shot"), seed).rows for one in (whole, small)]
        assert (rows[0] * rows[1]).sum(-1).min() > 0.999


@pytest.mark.slow
def test_a_device_has_no_torch(tower: Path) -> None:
    script = """
import sys
from types import SimpleNamespace
import numpy as np
import onnxruntime
from tta_client import Choice
from tta_client.camera.edge import EdgeEncoder
about = onnxruntime.InferenceSession(sys.argv[1]).get_modelmeta().custom_metadata_map["tta-edge"]
import json
server = SimpleNamespace(model="pocket", model_fingerprint=json.loads(about)["fingerprint"])
rows = EdgeEncoder(sys.argv[1], server).features(np.zeros((48, 64, 3), np.uint8), Choice("mta", {"views": 4}), 0).rows
assert rows.shape[0] == 4 and not {"torch", "tta_service"} & set(sys.modules)
server.model_fingerprint = "another"
try:
    EdgeEncoder(sys.argv[1], server)
except OSError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script, str(tower)], capture_output=True, text=True)
    assert done.returncode == 0 and "their features cannot be compared" in done.stdout, done.stderr
