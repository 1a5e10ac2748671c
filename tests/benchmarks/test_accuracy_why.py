"""The experiments that explain the table change what they claim to change, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from benchmarks.accuracy.command import main
from benchmarks.accuracy.why import clusters, geometry, length, readers, steps, views
from benchmarks.accuracy.why.finding import Finding, Gain
from benchmarks.accuracy.why.memory import writers
from benchmarks.accuracy.why.mode import EXPERIMENTS
from benchmarks.accuracy.why.streams import Played, Stream, play, published
from tta_service.core.catalogue import strategies
from tta_service.core.labels import TextSpace
from tta_service.maths import unit


def stream(classes: int = 6, frames: int = 40, width: int = 24, scale: float = 20.0, seen: int = 1) -> Stream:
    draw = torch.Generator().manual_seed(5)
    text = TextSpace.of(torch.randn(classes, width, generator=draw), scale)
    labels = torch.randint(classes, (frames,), generator=draw)
    noise = torch.randn(frames, seen, width, generator=draw) * 0.3
    return Stream("made up", unit(0.6 * text.features[labels][:, None] + noise), labels.numpy(), text)


@pytest.mark.parametrize("name", readers.READERS)
def test_a_memory_read_after_the_write_gives_the_published_answer(name: str):
    made, some = writers()[name], stream()
    memory = made.begin(some.text)
    for place in range(len(some)):
        seen = some.seen(place, 1)
        logits, memory = made.adapt(seen, memory)
        again = readers.READERS[name](made, seen, memory)
        torch.testing.assert_close(again.softmax(-1), logits.softmax(-1), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", readers.WRITERS)
def test_read_first_the_first_frame_finds_nothing_and_the_memory_ends_the_same(name: str):
    made, some = writers()[name], stream()
    usual, early = made.begin(some.text), made.begin(some.text)
    for place, label in enumerate(some.labels.tolist()):
        logits, early = readers.read_first(made, some.seen(place, 1), early, label)
        if not place:
            assert int(logits.argmax()) == int(some.plain()[0].argmax())
        usual = made.adapt(some.seen(place, 1), usual)[1]
    assert all(torch.equal(one, other) for one, other in zip(usual, early))


@pytest.mark.parametrize("name", readers.WRITERS)
def test_a_memory_of_true_labels_holds_each_frame_under_its_own(name: str):
    made, some = writers()[name], stream()
    memory: Any = made.begin(some.text)
    for place, label in enumerate(some.labels.tolist()):
        memory = readers.taught(made, some.seen(place, 1), memory, label)[1]
    held = memory.keys if name == "tda" else memory.features
    assert held.abs().sum() > 0
    for label, rows in enumerate(held):
        for row in rows[rows.norm(dim=-1) > 0.5]:
            assert some.labels[int((some.rows[:, 0] @ row).argmax())] == label


def test_a_stream_is_played_once_and_then_read(tmp_path: Path):
    made, some = strategies.build("tda"), stream()
    first = play(some, made, tmp_path)
    (file,) = tmp_path.iterdir()
    before = file.stat().st_mtime_ns
    again = play(some, made, tmp_path)
    assert file.stat().st_mtime_ns == before
    assert all(np.array_equal(getattr(first, name), getattr(again, name)) for name in Played.__dataclass_fields__)
    assert len({first.gain, play(some, made).gain}) == 1
    play(some, made, tmp_path, readers.read_first)
    assert len(list(tmp_path.iterdir())) == 2


def test_gains_and_sureness_by_hand():
    ones = np.ones(4, np.float32)
    one = Played(
        np.array([0, 0, 0, 0]), np.array([0, 1, 0, 1]), ones, np.array([1, 1, 0, 0]), np.full(4, 0.5, np.float32)
    )
    assert one.gains.tolist() == [100, 0, 0, -100]
    assert (one.gain.mean, one.changed, one.gain.sign) == (0, 50, 0)
    assert one.ece == pytest.approx(50)
    kept = one.unchanged()
    assert (len(kept.truth), kept.ece, kept.plain_ece) == (2, pytest.approx(50), pytest.approx(0))
    assert [part.mean for part in length.windows(one, 2)] == [50, -50]


def test_drawing_together_leaves_every_logit_and_moves_images_of_a_class():
    some = stream(frames=200)
    near = clusters.draw_together(some, 0.8, some)
    torch.testing.assert_close(near.plain(), some.plain(), atol=1e-4, rtol=0)
    torch.testing.assert_close(near.rows.norm(dim=-1), some.rows.norm(dim=-1))
    same, other = (float(np.median(cosines)) for cosines in geometry.pairs(near))
    was, was_other = (float(np.median(cosines)) for cosines in geometry.pairs(some))
    assert same - other > was - was_other + 0.1
    assert near.key != some.key
    torch.testing.assert_close(clusters.draw_together(some, 0.0, some).rows, some.rows)
    whole = clusters.draw_together(some, 1.0, some, whole=True)
    assert float(geometry.pairs(whole)[0].min()) == pytest.approx(1, abs=1e-5)


def test_the_nearest_mean_leaves_a_picture_out_of_its_own():
    some = stream(frames=6)
    alone = Stream("", some.rows, np.arange(6), some.text)  # one of each class: nothing is left of its own
    assert geometry.by_others(alone).sum() <= 1
    twice = Stream("", torch.cat([some.rows, some.rows]), np.tile(np.arange(6), 2), some.text)
    assert geometry.by_others(twice).mean() == 1


def test_stata_over_all_frames_answers_with_the_last_as_its_window_would():
    some, made = stream(frames=12), strategies.build("stata", {"window": 12})
    whole = length.at_once(some)
    assert whole.answer[-1] == play(some, made).answer[-1]
    assert whole.sure[-1] == pytest.approx(play(some, made).sure[-1], abs=1e-5)


def test_views_are_counted_surest_first():
    text = TextSpace.of(torch.eye(3), 10.0)
    rows = unit(torch.tensor([[[1.0, 0.9, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.2], [0.5, 0.4, 0.6]]]))
    looked = views.Looked.of(Stream("", rows, np.array([0]), text))
    assert looked.right.tolist() == [[1, 0, 1, 0]]
    assert looked.as_plain.tolist() == [[1, 0, 1, 0]]
    assert looked.order[0, 0] == 1
    assert looked.surest(0.5).tolist() == [[0, 1]]


def test_conclusions_follow_the_numbers():
    assert [Gain(mean, 1.0).word for mean in (2.1, -2.1, 1.9)] == ["gains", "loses", "neither gains nor loses"]
    assert str(Gain(2.5, 1.0)) == "**+2.50** ± 1.00"
    finding = Finding("Why?", "So.", [{"a": 1.234, "b": Gain(0.0, 1.0)}, {"a": float("nan"), "b": ""}], ["Thus."])
    assert "| 1.23 | +0.00 ± 1.00 |" in finding.lines() and "|  |  |" in finding.lines()
    assert finding.as_dict()["rows"] == [{"a": 1.234, "b": {"mean": 0.0, "error": 1.0}}, {"a": None, "b": ""}]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, draw = tmp_path_factory.mktemp("pictures"), torch.Generator().manual_seed(0)
    for name, pixels in zip(("temple", "flower"), load_sample_images().images):
        (root / name).mkdir()
        for n in range(8):
            left, top = (int(torch.randint(300, (), generator=draw)) for _ in range(2))
            Image.fromarray(pixels[top : top + 64, left : left + 64]).save(root / name / f"{n}.png")
    return root


def test_the_whole_mode_writes_every_experiment(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    asked = ["why", "--data", f"folder:{pictures}", "--device", "cpu", "--threads", "1", "--shifts", "noise"]
    asked += ["--count", "16", "--long", "0", "--count-views", "6", "--count-tuned", "2", "--views", "4"]
    asked += ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")]
    assert main([*asked, "--only", "magic"]) == 2 and "magic" in capsys.readouterr().err
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "accuracy_why.hand.md").write_text("## In short\n\nSomebody thought of it.\n")
    assert main(asked) == 0
    said = json.loads((tmp_path / "out" / "accuracy_why.json").read_text())
    assert len(said["findings"]) == sum(map(len, EXPERIMENTS.values()))
    assert all(one["rows"] and one["conclusions"] is not None for one in said["findings"])
    text = (tmp_path / "out" / "accuracy_why.md").read_text()
    assert all(f"## {one['question']}" in text for one in said["findings"])
    assert "Somebody thought of it." in text.partition(f"## {said['findings'][0]['question']}")[0]


def test_a_step_by_the_true_label_goes_towards_the_truth(pictures: Path):
    from tta_service.clip.load import load
    from tta_service.core.labels import LabelSet

    text = load(device="cpu").text_space(LabelSet(("flower", "temple", "boat")))
    some = Stream("", unit(torch.randn(4, 4, text.features.shape[1])), np.array([0, 1, 2, 0]), text)
    found = [steps.tune_once(some, place, None, 0.005) for place in range(4)]
    assert all(one.towards_truth > 0 and one.moved > 0 for one in found)
    assert published.__name__ == "published"
