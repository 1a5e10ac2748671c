"""The attack mode: pictures are changed within a radius, and strategies are measured on them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from benchmarks.accuracy.attack import differentiable, move, write
from benchmarks.accuracy.command import main
from tta_service.clip.load import load
from tta_service.core.labels import LabelSet

NAMES = ("temple", "flower")


@pytest.mark.slow
def test_the_attack_stays_within_its_radius_and_lowers_the_probability_of_the_label():
    clip = load("pocket", "", "", "cpu", "float32")
    encode, text = differentiable("pocket", "", clip), clip.text_space(LabelSet(NAMES, ("a photo of a {}.",)))
    side = clip.image_size
    pictures = torch.stack([torch.tensor(one)[:side, :side].permute(2, 0, 1) for one in load_sample_images().images])
    clean, truth = pictures.float() / 255, torch.tensor([0, 1]).numpy()
    with torch.no_grad():  # the same tower as the one that is served
        assert torch.allclose(encode(clean), clip.encode_image(pictures), atol=1e-3)

    def chance(pixels: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return (text.scale * encode(pixels) @ text.features.T).softmax(1)[torch.arange(2), truth]

    for crops in (1, 2):  # an attack through crops need not harm the whole picture
        moved = move(encode, clean, truth, text, 4 / 255, crops)
        assert (moved - clean).abs().max() <= 4 / 255 + 1e-6 and moved.min() >= 0 and moved.max() <= 1
        assert chance(moved)[1] < chance(clean)[1] - 0.1
        assert crops > 1 or chance(moved)[0] < chance(clean)[0] - 0.1


def test_a_name_is_written_on_the_lower_part():
    picture = torch.full((3, 64, 64), 0.5)
    written = write(picture, "cat")
    assert torch.allclose(written[:, :40], picture[:, :40], atol=0.01) and written[:, 48:].max() > 0.9


@pytest.mark.slow
def test_from_pictures_to_a_table(tmp_path: Path):
    for name, pixels in zip(NAMES, load_sample_images().images):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for n in range(4):
            Image.fromarray(pixels[30 * n : 30 * n + 64, :64]).save(tmp_path / "pictures" / name / f"{n}.png")
    asked = ["--data", f"folder:{tmp_path / 'pictures'}", "--device", "cpu", "--threads", "1", "--radii", "4"]
    asked += ["--strategies", "zero_shot;zero:views=8;taught", "--count", "4", "--each", "1"]
    for _ in range(2):  # the second time all features are there
        assert main(["attack", *asked, "--work", str(tmp_path), "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "accuracy_attack.json").read_text())["rows"]
    assert [row["attack"] for row in found[:4]] == ["none", "PGD 4/255, plain", "PGD 4/255, views", "name"]
    assert [row["strategy"] for row in found[::4]] == ["zero_shot", "zero:views=8", "taught"]
    top1 = {(row["strategy"], row["attack"]): row["top1"] for row in found}
    assert top1["zero_shot", "PGD 4/255, plain"] <= top1["zero_shot", "none"]
