"""Every layout that the table reads, tiny and fake."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.accuracy import fake
from benchmarks.accuracy.layouts import FINE_GRAINED, IMAGENETS, LAYOUTS, standard
from benchmarks.accuracy.sets import distinct, folders, packed
from benchmarks.accuracy.sources import source


@pytest.mark.parametrize("name", LAYOUTS)
def test_each_of_the_papers_sets_is_read_from_its_layout(name: str, tmp_path: Path):
    fake.write(name, tmp_path)
    made = standard(name, tmp_path)
    assert len(made) == fake.CLASSES * fake.EACH
    assert made.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert made.picture(3).shape == (3, 72, 96)
    assert made.templates == ("a photo of a {}.",)
    assert all(template.count("{}") == 1 for template in LAYOUTS[name].templates)


def test_the_papers_sets_are_all_there():
    assert len(IMAGENETS) == 5 and len(FINE_GRAINED) == 10
    assert len(LAYOUTS["imagenet_r"].templates) == len(LAYOUTS["imagenet_sketch"].templates) == 80
    assert len(LAYOUTS["imagenet"].templates) == 7 and "itap of a {}." in LAYOUTS["imagenet"].templates


def test_class_names_come_with_the_data(tmp_path: Path):
    for name in ("imagenet_v2", "imagenet_a", "dtd", "fgvc_aircraft"):
        fake.write(name, tmp_path)
    assert standard("imagenet_v2", tmp_path).names == ("name number 0", "name number 2", "name number 10")
    assert standard("imagenet_a", tmp_path).names == ("tench", "goldfish", "great white shark")
    assert standard("dtd", tmp_path).names == ("dog", "school bus", "flower")
    assert standard("fgvc_aircraft", tmp_path).names == ("Spitfire", "Tornado", "Hawk T1")
    (tmp_path / "imagenet-adversarial" / "classnames.txt").write_text("n01440764 a fish\nn01443537 another fish\n")
    assert standard("imagenet_a", tmp_path).names == ("a fish", "another fish")


def test_what_is_missing_is_named(tmp_path: Path):
    with pytest.raises(ValueError, match=r"dtd: .*split_zhou_DescribableTextures.json"):
        standard("dtd", tmp_path)
    with pytest.raises(ValueError, match="KIND"):
        source("nonsense", "single")
    with pytest.raises(ValueError, match="no 'cats'"):
        source("cats:/there", "single")


def test_templates_of_the_papers_or_a_single_one(tmp_path: Path):
    fake.write("food101", tmp_path)
    assert source(f"food101:{tmp_path}", "papers").templates == ("a photo of {}, a type of food.",)
    assert source(f"food101:{tmp_path}", "single").templates == ("a photo of a {}.",)


def test_a_name_that_comes_twice_is_told_apart_by_a_blank():
    assert distinct(["missile", "sun_glasses", "missile"]) == ("missile", "sun glasses", "missile ")


def jpeg(value: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 40), (value, 0, 0)).save(file, "JPEG")
    return file.getvalue()


def test_folders_of_classes(tmp_path: Path):
    for name, count in (("dog", 2), ("cat", 1), ("empty", 0)):
        (tmp_path / name).mkdir()
        for n in range(count):
            (tmp_path / name / f"{n}.jpg").write_bytes(jpeg(200))
    made = folders(tmp_path)
    assert made.names == ("cat", "dog", "empty") and made.labels.tolist() == [0, 1, 1]
    with pytest.raises(ValueError, match="no pictures"):
        folders(tmp_path / "empty")


def test_packed_pictures_and_the_split_kept_at_their_end(tmp_path: Path):
    for part, labels in enumerate(([0, 1, 1, 0], [1, 0, 0, 1])):
        files = [jpeg(10 * (4 * part + place)) for place in range(4)]
        off = np.cumsum([0, *map(len, files)])
        blob = np.frombuffer(b"".join(files), np.uint8)
        np.savez(tmp_path / f"train-{part}.npz", blob=blob, off=off, label=labels, names=["cat", "dog"])
    parts = sorted(tmp_path.glob("train-*.npz"))
    whole, tail = packed(parts), packed(parts, last=2)
    assert whole.labels.tolist() == [0, 1, 1, 0, 1, 0, 0, 1]
    assert [int(whole.picture(i)[0].float().mean() / 10 + 0.5) for i in range(8)] == list(range(8))
    assert tail.labels.tolist() == [1, 0, 0, 1]
    assert tail.file(1) == whole.file(5)
    named = source(f"tail2:{tmp_path}/train-*.npz", "single")
    assert named.name == f"{tmp_path.name}/tune" and named.tag != whole.tag


def test_a_larger_choice_begins_with_a_smaller_one(tmp_path: Path):
    fake.write("dtd", tmp_path)
    made = standard("dtd", tmp_path)
    assert made.chosen(5).tolist()[:3] == made.chosen(3).tolist()
    assert sorted(made.chosen(6).tolist()) == list(range(6))
