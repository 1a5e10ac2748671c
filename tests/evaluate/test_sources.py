"""Every layout that the table reads, tiny and fake."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tta_service.core.errors import BadRequest
from tta_service.evaluate import stand_ins
from tta_service.evaluate.layouts import FINE_GRAINED, IMAGENET_C, IMAGENETS, LAYOUTS, read_standard
from tta_service.evaluate.npz import read_npz
from tta_service.evaluate.pictures import make_distinct
from tta_service.evaluate.sources import read_data, read_folders, read_source


@pytest.mark.parametrize("name", [*IMAGENETS, *FINE_GRAINED, "imagenet_c/fog/3"])
def test_each_of_the_papers_sets_is_read_from_its_layout(name: str, tmp_path: Path):
    stand_ins.write_stand_in(name, tmp_path)
    made = read_standard(name, tmp_path)
    assert len(made) == stand_ins.CLASSES * stand_ins.EACH
    assert made.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert made.picture(3).shape == (3, 72, 96)
    assert made.templates == ("a photo of a {}.",)
    assert all(template.count("{}") == 1 for template in LAYOUTS[name].templates)


def test_the_papers_sets_are_all_there():
    assert len(IMAGENETS) == 5 and len(FINE_GRAINED) == 10 and len(IMAGENET_C) == 75
    assert len(LAYOUTS["imagenet_r"].templates) == len(LAYOUTS["imagenet_sketch"].templates) == 80
    assert len(LAYOUTS["imagenet"].templates) == 7 and "itap of a {}." in LAYOUTS["imagenet"].templates


def test_class_names_come_with_the_data(tmp_path: Path):
    for name in ("imagenet_v2", "imagenet_a", "dtd", "fgvc_aircraft"):
        stand_ins.write_stand_in(name, tmp_path)
    assert read_standard("imagenet_v2", tmp_path).names == ("name number 0", "name number 2", "name number 10")
    assert read_standard("imagenet_a", tmp_path).names == ("tench", "goldfish", "great white shark")
    assert read_standard("dtd", tmp_path).names == ("dog", "school bus", "flower")
    assert read_standard("fgvc_aircraft", tmp_path).names == ("Spitfire", "Tornado", "Hawk T1")
    (tmp_path / "imagenet-adversarial" / "classnames.txt").write_text("n01440764 a fish\nn01443537 another fish\n")
    assert read_standard("imagenet_a", tmp_path).names == ("a fish", "another fish")


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(ValueError, match=r"dtd: .*split_zhou_DescribableTextures.json"):
        read_standard("dtd", tmp_path)
    with pytest.raises(ValueError, match="KIND"):
        read_source("nonsense", "single")
    with pytest.raises(ValueError, match="no 'cats'"):
        read_source("cats:/there", "single")


def test_templates_of_the_papers_or_a_single_one(tmp_path: Path):
    stand_ins.write_stand_in("food101", tmp_path)
    assert read_source(f"food101:{tmp_path}", "papers").templates == ("a photo of {}, a type of food.",)
    assert read_source(f"food101:{tmp_path}", "single").templates == ("a photo of a {}.",)


def test_the_second_class_of_one_name_gets_a_blank():
    assert make_distinct(["missile", "sun_glasses", "missile"]) == ("missile", "sun glasses", "missile ")


def jpeg(value: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 40), (value, 0, 0)).save(file, "JPEG")
    return file.getvalue()


def test_folders_of_classes(tmp_path: Path):
    for name, count in (("dog", 2), ("cat", 1), ("empty", 0)):
        (tmp_path / name).mkdir()
        for n in range(count):
            (tmp_path / name / f"{n}.jpg").write_bytes(jpeg(200))
    made = read_folders(tmp_path)
    assert made.names == ("cat", "dog", "empty") and made.labels.tolist() == [0, 1, 1]
    with pytest.raises(ValueError, match="no pictures"):
        read_folders(tmp_path / "empty")


def placed(root: Path, *files: str) -> Path:
    for place, file in enumerate(files):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(jpeg(20 * place))
    return root


def told(root: Path) -> list[tuple[str, str]]:
    """Place of each picture's file in the order of the set, and its label."""
    made = read_folders(root)
    return [
        (str(int(made.picture(i)[0].float().mean() / 20 + 0.5)), made.names[made.labels[i]]) for i in range(len(made))
    ]


METADATA = {
    "metadata.csv": "file_name,label\n0.jpg,cat\nmore/1.jpg,dog\n2.jpg,cat\n",
    "metadata.tsv": "label\tfile_name\ncat\t0.jpg\ndog\tmore/1.jpg\ncat\t2.jpg\n",
    "labels.csv": "\ufeffFilename;Class\r\n0.jpg;cat\r\nmore/1.jpg;dog\r\n2.jpg;cat\r\n",
    "metadata.jsonl": "".join(
        f'{{"file_name": "{file}", "label": "{label}"}}\n'
        for file, label in (("0.jpg", "cat"), ("more/1.jpg", "dog"), ("2.jpg", "cat"))
    ),
}


@pytest.mark.parametrize("part", ["", "train", "test"])
@pytest.mark.parametrize("name", METADATA)
def test_a_metadata_file_names_the_classes(tmp_path: Path, name: str, part: str, caplog: pytest.LogCaptureFixture):
    placed(tmp_path / part, "0.jpg", "more/1.jpg", "2.jpg")
    (tmp_path / part / name).write_text(METADATA[name], "utf-8")
    assert told(tmp_path) == [("0", "cat"), ("1", "dog"), ("2", "cat")]
    assert not caplog.messages


def test_a_metadata_file_above_the_parts(tmp_path: Path):
    placed(tmp_path, "train/0.jpg", "test/1.jpg", "test/2.jpg")
    (tmp_path / "metadata.csv").write_text("file_name,label\ntrain/0.jpg,cat\ntest/1.jpg,dog\ntest/2.jpg,cat\n")
    assert told(tmp_path) == [("1", "dog"), ("2", "cat")]


def test_gaps_in_a_metadata_file_are_warned_about(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    table = placed(tmp_path / "train", "0.jpg", "1.jpg", "2.jpg") / "metadata.csv"
    table.write_text("file_name,text\n0.jpg,a cat on a mat\n")
    with pytest.raises(ValueError, match=r"metadata\.csv has no column of labels .*only file_name, text"):
        read_folders(tmp_path)
    table.write_text("file_name,label\n0.jpg,cat\n1.jpg,dog\n7.jpg,dog\n")
    assert told(tmp_path) == [("0", "cat"), ("1", "dog")]
    assert "1 of 3 pictures are not there" in caplog.text and "1 pictures are not listed" in caplog.text
    table.unlink()
    with pytest.raises(ValueError, match="neither class folders nor a file with labels in train"):
        read_folders(tmp_path)
    placed(tmp_path / "train", "cat/0.jpg", "dog/1.jpg")
    table.write_text("file_name,text\n0.jpg,a cat on a mat\n")
    assert read_folders(tmp_path).names == ("cat", "dog") and "the folders' names are taken" in caplog.text


def test_of_parts_with_class_folders_the_test_pictures_are_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    placed(tmp_path, "train/cat/0.jpg", "train/dog/1.jpg", "val/cat/2.jpg", "val/dog/3.jpg", ".cache/x/4.jpg")
    assert told(tmp_path) == [("2", "cat"), ("3", "dog")]
    assert "only the pictures in val are taken, of 2 parts" in caplog.text
    placed(tmp_path, "test/images/5.jpg")  # without a label
    assert told(tmp_path) == [("2", "cat"), ("3", "dog")]


def test_files_of_other_formats_are_named_and_folders_are_no_pictures(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    placed(tmp_path, "cat/0.jpg", "dog/1.jpg", "dog/2.BMP", "dog/folder.jpg/2.png")
    assert told(tmp_path) == [("0", "cat"), ("1", "dog"), ("3", "dog")]
    (message,) = caplog.messages
    assert "1 files such as" in message and "2.BMP are no JPEG, PNG or WebP and left out" in message


def test_a_train_may_be_a_class(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    placed(tmp_path, "train/0.jpg", "ship/1.jpg", "2.jpg", "ship/._1.jpg", "__MACOSX/ship/1.jpg")
    assert told(tmp_path) == [("1", "ship"), ("0", "train")]
    assert "train may be no class" in caplog.text and "1 pictures outside" in caplog.text


@pytest.mark.parametrize("part", ["", "train"])
def test_folders_called_by_wordnet_ids_get_words(tmp_path: Path, part: str, caplog: pytest.LogCaptureFixture):
    placed(tmp_path / part, "n01440764/0.jpg", "n02084071/1.jpg", "n04208210/2.jpg")
    assert [name for _, name in told(tmp_path)] == ["tench", "dog", "shovel"] and not caplog.messages
    (tmp_path / "words.txt").write_text("n01440764\ta fish, tench\n")
    assert read_folders(tmp_path).names == ("a fish", "dog", "shovel")
    (tmp_path / part / "n99999999").mkdir()
    assert "n99999999" in read_folders(tmp_path).names and "n99999999 say nothing" in caplog.text


def test_class_folders_called_by_numbers_are_warned_about(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    placed(tmp_path, "0/0.jpg", "1/1.jpg")
    assert read_folders(tmp_path).names == ("0", "1") and "0, 1 say nothing to a model" in caplog.text


def test_packed_pictures_and_the_split_kept_at_their_end(tmp_path: Path):
    for part, labels in enumerate(([0, 1, 1, 0], [1, 0, 0, 1])):
        files = [jpeg(10 * (4 * part + place)) for place in range(4)]
        off = np.cumsum([0, *map(len, files)])
        blob = np.frombuffer(b"".join(files), np.uint8)
        np.savez(tmp_path / f"train-{part}.npz", blob=blob, off=off, label=labels, names=["cat", "dog"])
    parts = sorted(tmp_path.glob("train-*.npz"))
    whole, tail = read_npz(parts), read_npz(parts, last=2)
    assert whole.labels.tolist() == [0, 1, 1, 0, 1, 0, 0, 1]
    assert [int(whole.picture(i)[0].float().mean() / 10 + 0.5) for i in range(8)] == list(range(8))
    assert tail.labels.tolist() == [1, 0, 0, 1]
    assert tail.file(1) == whole.file(5)
    named = read_source(f"tail2:{tmp_path}/train-*.npz", "single")
    assert named.name == f"{tmp_path.name}/tune" and named.tag != whole.tag


def test_a_larger_choice_begins_with_a_smaller_one(tmp_path: Path):
    stand_ins.write_stand_in("dtd", tmp_path)
    made = read_standard("dtd", tmp_path)
    assert made.choose(5).tolist()[:3] == made.choose(3).tolist()
    assert sorted(made.choose(6).tolist()) == list(range(6))


def test_a_table_of_paths_and_labels_is_a_data_set(tmp_path: Path):
    placed(tmp_path, "pictures/0.jpg", "pictures/1.jpg", "pictures/2.jpg")
    table = tmp_path / "mine.csv"
    table.write_text("path,label\npictures/0.jpg,cat\npictures/2.jpg,dog\npictures/9.jpg,dog\n")
    made = read_data(str(table), tmp_path)
    assert made.name == "mine" and made.names == ("cat", "dog") and made.labels.tolist() == [0, 1]
    assert made.where(1).endswith("2.jpg")
    for text, message in (
        ("kind,label\n0.jpg,cat\n", "no column of pictures"),
        ("path,x\npictures/0.jpg,1\n", "no column of labels"),
        ("path,label\n", "there is no row below the heads"),
        ("path,label\n9.jpg,cat\n", "none of the pictures that it lists is there"),
        ("path,label\npictures/0.jpg\n", "a label is a word, not None"),
        (f"path,label\n0.jpg,{'x' * 200_000}\n", "field larger than field limit"),
    ):
        table.write_text(text)
        with pytest.raises(BadRequest, match=message):
            read_data(str(table), tmp_path)
    table.write_text("path,label\npictures/0.jpg,dog\n", "utf-16")
    assert read_data(str(table), tmp_path).names == ("dog",)
    table.write_text("path,label\npictures/0.jpg,café\n", "latin-1")
    with pytest.raises(BadRequest, match=r"mine\.csv: byte 29 is no UTF-8"):
        read_data(str(table), tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("5", r"a line is to be an object such as .*, not 5"),
        ('["a"]', "a line is to be an object"),
        ('{"path": "0.jpg"}', "a label is a word, not None"),
    ],
)
def test_a_line_of_json_that_is_no_row_is_named(line: str, message: str, tmp_path: Path):
    table = placed(tmp_path, "0.jpg") / "mine.jsonl"
    table.write_text('{"path": "0.jpg", "label": "cat"}\n' + line)
    with pytest.raises(BadRequest, match=rf"mine\.jsonl: {message}"):
        read_data(str(table), tmp_path)


def test_arrays_of_pixels_are_a_data_set(tmp_path: Path):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 40, 36, 3), dtype=np.uint8)
    np.savez(tmp_path / "set.npz", test_images=pixels, test_labels=[[1], [0], [1], [0]], names=["cat", "dog"])
    made = read_data(str(tmp_path / "set.npz"), tmp_path)
    assert made.names == ("cat", "dog") and made.labels.tolist() == [1, 0, 1, 0]
    assert made.picture(2).permute(1, 2, 0).numpy().tolist() == pixels[2].tolist()
    assert made.digest(0) != made.digest(1)
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"images": pixels.astype(float), "labels": [0] * 4}, "is to be uint8"),
        ({"images": pixels, "labels": [0, 1]}, "4 images and 2 labels"),
        ({"images": pixels, "labels": [0, 1, 2, 3], "names": ["cat"]}, "labels go from 0 to 3, and there are 1 names"),
        ({"images": pixels}, "arrays of pictures"),
        ({"blob": pixels.reshape(-1)}, "there is no array label, names, off"),
        ({"images": pixels, "labels": np.array([0, 1, 0, None])}, "labels is damaged, or holds Python objects"),
        ({"images": pixels, "labels": [0, 0.5, 1, 1]}, "labels is to hold whole numbers, not 0.5"),
        ({"images": pixels, "labels": [0, np.nan, 1, 1]}, "labels is to hold whole numbers, not nan"),
        ({"images": pixels, "labels": np.eye(4)}, r"labels is to be \[n\], whole numbers or names, not float64"),
        ({"images": pixels, "labels": ["a", "b", "a", "c"], "names": ["a", "b"]}, "labels has 'c', .* not in names"),
        ({"blob": pixels[0, 0, :, 0], "off": [0, 36], "label": [0, 1, 1], "names": ["a", "b"]}, "off is to be 4 "),
        ({"blob": pixels[0, 0, :, 0], "off": [0, 99], "label": [0], "names": ["a", "b"]}, "off is to be 2 rising"),
    )
    for held, message in cases:
        np.savez(tmp_path / "bad.npz", **held)
        with pytest.raises(BadRequest, match=message):
            read_data(str(tmp_path / "bad.npz"), tmp_path)


def test_labels_in_an_npz_may_be_words(tmp_path: Path):
    np.savez(tmp_path / "set.npz", images=np.zeros((3, 8, 8), np.uint8), labels=["dog", "cat", "dog"])
    made = read_data(str(tmp_path / "set.npz"), tmp_path)
    assert made.names == ("cat", "dog") and made.labels.tolist() == [1, 0, 1]


@pytest.mark.parametrize("content", [b"", b"text\n", b"PK\x03\x04 and no more"])
def test_a_damaged_npz_is_named_without_advice_to_trust_it(content: bytes, tmp_path: Path):
    (tmp_path / "set.npz").write_bytes(content)
    with pytest.raises(BadRequest, match=r"set\.npz: this is no npz file, or a damaged one$"):
        read_data(str(tmp_path / "set.npz"), tmp_path)


def test_torchvision_sets_by_name_where_their_files_are(tmp_path: Path):
    for place, name in enumerate(("Forest", "River")):
        (tmp_path / "eurosat" / "2750" / name).mkdir(parents=True)
        (tmp_path / "eurosat" / "2750" / name / "0.jpg").write_bytes(jpeg(200 * place))
    made = read_data(f"torchvision:EuroSAT:{tmp_path}", tmp_path)
    assert made.names == ("Forest", "River") and made.labels.tolist() == [0, 1] and made.picture(1).shape == (3, 40, 40)
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, count in (("t10k", 3), ("train", 5)):
        digits = np.arange(count, dtype=np.uint8)
        whole = np.repeat(digits, 28 * 28)
        sizes = b"".join(one.to_bytes(4, "big") for one in (count, 28, 28))
        (raw / f"{part}-images-idx3-ubyte").write_bytes(bytes([0, 0, 8, 3]) + sizes + whole.tobytes())
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1]) + sizes[:4] + digits.tobytes())
    made = read_data(f"torchvision:MNIST:{tmp_path}", tmp_path)
    assert made.labels.tolist() == [0, 1, 2] and len(made.names) == 10 and int(made.picture(2).max()) == 2
    for name, message in (("Cats", "no data set of that name"), ("CocoDetection", "torchvision:CocoDetection in")):
        with pytest.raises(BadRequest, match=message):
            read_data(f"torchvision:{name}:{tmp_path}", tmp_path)


def test_classes_get_other_names_or_more(tmp_path: Path):
    placed(tmp_path, "school_bus/0.jpg", "dog/1.jpg")
    made = read_data(str(tmp_path), tmp_path, ["cat", "School Bus", "dog"])
    assert made.names == ("cat", "School Bus", "dog") and made.labels.tolist() == [2, 1]
    assert read_data(str(tmp_path), tmp_path, ["hound", "coach"]).names == ("hound", "coach")
    with pytest.raises(BadRequest, match="--labels: 'cat' is there more than once"):
        read_data(str(tmp_path), tmp_path, ["cat", "dog", "cat"])
    with pytest.raises(BadRequest, match="no name for 1 of the pictures' 2 classes, such as 'school bus'"):
        read_data(str(tmp_path), tmp_path, ["dog", "cat"])


@pytest.mark.parametrize("text", ["nowhere", "notes.txt", "imagenet_q:there", "dtd:nowhere", "tailor:there"])
def test_what_is_no_data_set_is_told_what_is_one(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("no pictures")
    with pytest.raises(BadRequest, match=r"DATA is a folder of class folders|layout is that of CoOp"):
        read_data(text, tmp_path)


@pytest.mark.parametrize("kind", ["imagenet_c/fog/9", "imagenet_c/rain/3", "imagenet_c/fog"])
def test_a_wrong_part_of_imagenet_c_is_told_the_right_ones(kind: str, tmp_path: Path):
    with pytest.raises(BadRequest, match=f"{kind}: write imagenet_c/KIND/SEVERITY, a KIND of .*fog.*, SEVERITY 1 to 5"):
        read_data(f"{kind}:{tmp_path}", tmp_path)


@pytest.mark.parametrize("content", ["", "[]", '{"test": 5}', '{"test": [["a.jpg", 0]]}', "[" * 100_000])
def test_a_damaged_split_is_named(content: str, tmp_path: Path):
    stand_ins.write_stand_in("dtd", tmp_path)
    file = tmp_path / "dtd" / "split_zhou_DescribableTextures.json"
    file.write_text(content)
    with pytest.raises(BadRequest, match=rf"{file.name}: it is no JSON of parts with \[path, label, name\] triples"):
        read_data(f"dtd:{tmp_path}", tmp_path)


@pytest.mark.parametrize("content", [b"1000001 Spitfire\n1000002", b"1000001 Concorde\n", b"1000001 Caf\xe9\n"])
def test_a_damaged_list_of_aircraft_is_named(content: bytes, tmp_path: Path):
    stand_ins.write_stand_in("fgvc_aircraft", tmp_path)
    (tmp_path / "fgvc_aircraft" / "images_variant_test.txt").write_bytes(content)
    with pytest.raises(BadRequest, match=r"images_variant_test\.txt: ('.*' is no variant|byte 11 is no UTF-8)"):
        read_data(f"fgvc_aircraft:{tmp_path}", tmp_path)


def test_class_names_in_another_encoding_are_named(tmp_path: Path):
    for name, folder in (("imagenet_a", "imagenet-adversarial"), ("imagenet_v2", "imagenetv2")):
        stand_ins.write_stand_in(name, tmp_path)
        (tmp_path / folder / "classnames.txt").write_text("n01440764 caf\u00e9\n", "latin-1")
        with pytest.raises(BadRequest, match=r"classnames\.txt: byte 13 is no UTF-8"):
            read_data(f"{name}:{tmp_path}", tmp_path)


def test_a_class_folder_beyond_the_names_is_named(tmp_path: Path):
    stand_ins.write_stand_in("imagenet_v2", tmp_path)
    (tmp_path / "imagenetv2" / "classnames.txt").write_text("n01440764 tench\nn01443537 goldfish\n")
    with pytest.raises(BadRequest, match=r"/10: there are 2 names of classes"):
        read_data(f"imagenet_v2:{tmp_path}", tmp_path)
