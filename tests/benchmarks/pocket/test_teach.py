"""The words, phrases and captions that the teacher encodes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from teach import names_of


def test_names_come_out_of_the_training_files(tmp_path: Path):
    (tmp_path / "tiny_imagenet").mkdir()
    with pytest.raises(FileNotFoundError, match="the folder with the packed sets"):
        names_of(tmp_path, "tiny_imagenet")
    listed = np.array(["goldfish, Carassius auratus", "brown bear, bruin"])
    np.savez(tmp_path / "tiny_imagenet" / "train-0.npz", names=np.array(["goldfish", "brown bear"]), synonyms=listed)
    names, taught = names_of(tmp_path, "tiny_imagenet")
    assert names == ["goldfish", "brown bear"]
    assert taught == [["goldfish"], ["brown bear", "bruin"]]  # no Latin
