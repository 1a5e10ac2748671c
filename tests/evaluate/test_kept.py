"""What an evaluation keeps in its cache: what is damaged there is made anew, what cannot be read is left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tta_service.evaluate.cells import Cell
from tta_service.evaluate.features import FeatureExtractor, FeatureFiles
from tta_service.evaluate.pictures import of_files
from tta_service.evaluate.runs import Run
from tta_service.testing import FakeCLIP

DAMAGES = {"empty": 0, "cut": 100}


@pytest.mark.parametrize("left", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("suffix", [".json", ".npy"])
def test_damaged_features_are_as_good_as_none(suffix: str, left: int, tmp_path: Path):
    FeatureFiles(tmp_path, str).add([1, 2], np.ones((2, 1, 512), np.float32))
    assert 1 in FeatureFiles(tmp_path, str)
    (file,) = tmp_path.glob(f"*{suffix}")
    file.write_bytes(file.read_bytes()[: min(left, file.stat().st_size - 1)])
    again = FeatureFiles(tmp_path, str)
    assert 1 not in again
    again.add([1, 2], np.ones((2, 1, 512), np.float32))
    assert 2 in FeatureFiles(tmp_path, str)


@pytest.mark.parametrize("left", DAMAGES.values(), ids=DAMAGES)
def test_damaged_answers_are_as_good_as_none(left: int, tmp_path: Path):
    whole, few = np.zeros(3, np.int64), np.zeros(3, np.float32)
    file = tmp_path / "run.npz"
    assert not Run.is_kept(file, 3)
    Run(whole, whole, np.zeros((3, 2), np.float32), whole, few, whole).save(file)
    assert Run.is_kept(file, 3) and not Run.is_kept(file, 4)
    file.write_bytes(file.read_bytes()[:left])
    assert not Run.is_kept(file, 3)


def test_a_file_that_cannot_be_opened_is_left_out(tmp_path: Path):
    there, dangling = tmp_path / "0.png", tmp_path / "1.png"
    Image.new("RGB", (8, 8)).save(there)
    dangling.symlink_to(tmp_path / "nowhere")
    made = of_files("two", [there, dangling], [0, 1], ["a", "b"])
    extractor = FeatureExtractor(FakeCLIP(), {"two": made}, tmp_path / "features")  # type: ignore[arg-type]
    with torch.inference_mode():
        features = extractor.rows(Cell("two"), "crop", 1, np.arange(2), lambda rows: None)
    assert 0 in features and extractor.unreadable == {("two", 1): "No such file or directory"}
