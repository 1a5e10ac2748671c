"""From pictures to outcomes, results, a comparison and a report, with a fake model and the real engine."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tta_service.core.errors import BadImage, BadRequest
from tta_service.core.labels import LabelSet
from tta_service.core.reducer import Reduction
from tta_service.core.request import Encoded, Request
from tta_service.evaluate.compare import compare, comparison_lines
from tta_service.evaluate.contenders import Contender
from tta_service.evaluate.evaluation import Evaluation, Plan, evaluate
from tta_service.evaluate.replay import WIDE
from tta_service.evaluate.report import make_page
from tta_service.evaluate.results import to_csv, to_json
from tta_service.evaluate.sources import read_folders
from tta_service.evaluate.study import Player, open_player
from tta_service.reducers import catalogue as reducers
from tta_service.settings import make
from tta_service.strategies import catalogue as strategies
from tta_service.testing import FakeCLIP

pytestmark = pytest.mark.slow
EACH = 8
NAMES = ("blue & <b>", "green", "red")


@pytest.fixture(scope="module")
def player() -> Iterator[Player]:
    with open_player(make({**WIDE, "batch.max_rows": 16, "lanes.cores": 1}), 2, FakeCLIP()) as player:  # type: ignore[arg-type]
        yield player


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, draw = tmp_path_factory.mktemp("colours"), np.random.default_rng(0)
    for channel, name in enumerate(reversed(NAMES)):
        (root / name).mkdir()
        for n in range(EACH):
            pixels = draw.integers(0, 120, (40, 48, 3), dtype=np.uint8)
            pixels[..., channel] += 100
            Image.fromarray(pixels).save(root / name / f"{n}.png")
    (root / "green" / "broken.jpg").write_bytes(b"no picture")
    return root


def plan_of(folder: Path, *texts: str, **given: object) -> Plan:
    contenders = tuple(Contender.of(text) for text in ("zero_shot", *texts))
    return Plan(read_folders(folder), contenders, repetitions=2, **given)  # type: ignore[arg-type]


def test_views_that_a_settled_strategy_does_not_look_at_cost_nothing(player: Player, folder: Path, tmp_path: Path):
    plan = plan_of(folder, "zero:views=16", "zero:views=16,agreement=0.5")
    made = evaluate(player, plan, tmp_path, lambda *_: None)
    rows = {one.row.contender: one.row for one in made.outcomes}
    every, settled = rows["zero:views=16"], rows["zero:views=16,agreement=0.5"]
    assert every.views == 16 and 8 <= settled.views < 16
    assert settled.encode_seconds / every.encode_seconds == pytest.approx(settled.views / 16)


def ignore(what: str, more: int, of: int) -> None:
    pass


@pytest.fixture(scope="module")
def made(player: Player, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    plan = plan_of(folder, "mean:views=4", "tda", "taught", lessons=(0, 2), shifts=(("fog", 3),))
    return evaluate(player, plan, tmp_path_factory.mktemp("work"), ignore)


def test_every_strategy_has_a_row_for_each_shift_and_what_learns_for_each_number_of_lessons(made: Evaluation):
    rows = [(one.cell.shown, str(one.contender), one.lessons, len(one.runs)) for one in made.outcomes]
    for shown in ("clean", "fog 3"):
        assert [row[1:] for row in rows if row[0] == shown] == [
            ("zero_shot", 0, 1),
            ("mean:views=4", 0, 1),
            ("tda", 0, 2),
            ("taught", 0, 2),
            ("tda", 2, 2),
            ("taught", 2, 2),
        ]
    assert all(len(run) == len(made.measured) == 3 * EACH - 3 * 4 for one in made.outcomes for run in one.runs)
    (lost,) = made.left_out
    assert "broken.jpg" in lost and "neither a JPEG" in lost


def test_answers_are_those_of_the_service_to_the_same_pictures(made: Evaluation, player: Player):
    data, plain = made.plan.data, made.outcomes[1]
    strategy, exact = strategies.build("mean", {"views": 4}), Reduction(reducers.build("none"))
    run = plain.runs[0]
    for position in (0, 5):
        picture = int(run.picture[position])
        request = Request(Encoded(data.file(picture)), LabelSet(data.names), strategy, exact, seed=picture)
        np.testing.assert_allclose(player.classify(request).scores.values, run.scores[position], atol=1e-5)


def test_lessons_make_the_right_answers(made: Evaluation):
    taught = {one.lessons: one.row for one in made.outcomes if str(one.contender) == "taught"}
    assert taught[0].difference == 0 and taught[2].top1 > 90 > taught[0].top1


def test_nothing_is_made_twice(player: Player, folder: Path, tmp_path: Path):
    done: list[tuple[str, int, int]] = []
    plan = plan_of(folder, "tda")
    first = evaluate(player, plan, tmp_path, lambda *told: done.append(told))
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    again = evaluate(player, plan, tmp_path, ignore)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == files
    assert [one.row.top1 for one in again.outcomes] == [one.row.top1 for one in first.outcomes]
    for task in ("encoding views", "replaying"):
        assert sum(more for what, more, _ in done if what == task) == next(of for what, _, of in done if what == task)
    reseeded = evaluate(player, replace(plan, seed=1), tmp_path, ignore)
    assert reseeded.outcomes[1].runs[0].picture.tolist() != first.outcomes[1].runs[0].picture.tolist()


def test_pictures_that_do_not_suffice_get_a_sentence(player: Player, folder: Path, tmp_path: Path):
    with pytest.raises(ValueError, match="--lessons 8"):
        evaluate(player, plan_of(folder, "tda", lessons=(8,)), tmp_path, ignore)
    for name in ("cat", "dog"):
        (tmp_path / "bad" / name).mkdir(parents=True)
        (tmp_path / "bad" / name / "0.jpg").write_bytes(b"nothing")
    with pytest.raises(BadImage, match=r"no picture of bad can be read: .*0\.jpg"):
        evaluate(player, plan_of(tmp_path / "bad"), tmp_path, ignore)


def test_the_csv_has_a_line_for_every_prediction(made: Evaluation):
    rows = list(csv.DictReader(io.StringIO(to_csv(made))))
    assert len(rows) == sum(len(run) for one in made.outcomes for run in one.runs)
    for one in made.outcomes:
        own = [
            int(row["right"])
            for row in rows
            if (row["strategy"], row["shift"], row["lessons"]) == (str(one.contender), one.cell.shift, str(one.lessons))
        ]
        assert 100 * np.mean(own) == pytest.approx(one.row.top1)


def test_two_evaluations_are_compared_by_picture_whatever_their_order(made: Evaluation):
    first = to_json(made, "")
    second = to_json(made, "")
    turned = len(second["pictures"]) - 1 - np.arange(len(second["pictures"]))
    second["pictures"].reverse()
    for answer in second["answers"]:
        for stream in answer["streams"]:
            stream["picture"] = turned[stream["picture"]].tolist()
    same = compare(first, second)
    assert all((row.difference, row.error, row.verdict) == (0, 0, "") for row in same.rows) and not same.alone
    for held, off in ((first, 1), (second, 0)):  # of the first all answers of TDA are wrong, of the second none
        labels = [(one["label"] + off) % 3 for one in held["pictures"]]
        for stream in (one for answer in held["answers"] if answer["strategy"] == "tda" for one in answer["streams"]):
            stream["predicted"] = [labels[i] for i in stream["picture"]]
    second["answers"] = [one for one in second["answers"] if one["strategy"] != "taught"]
    second["about"]["model"] = "another"
    found = compare(first, second)
    improved = {row.strategy for row in found.rows if row.verdict == "better"}
    assert improved == {"tda"} and found.alone == ["taught (only in A)"] and found.changed["model"][1] == "another"
    assert any("better" in line and line.startswith("tda") for line in comparison_lines(found, ("A", "B")))


def test_evaluations_of_other_pictures_labels_or_classes_are_not_compared(made: Evaluation):
    first, second = to_json(made, ""), to_json(made, "")
    second["pictures"][0] = second["pictures"][0] | {"id": "0" * 16}
    with pytest.raises(BadRequest, match=r"different pictures or labels.*: 11 of 12 and 12"):
        compare(first, second)
    with pytest.raises(BadRequest, match="different classes apart, 3 and 2"):
        compare(first, to_json(made, "") | {"classes": ["a", "b"]})


def test_the_report_is_one_page_that_loads_nothing_and_shows_names_as_they_are(made: Evaluation):
    page = make_page(made, "tta-service evaluate 'some pictures'")
    assert "tta-service evaluate &#x27;some pictures&#x27;" in page and "blue &amp; &lt;b&gt;" in page
    assert "<b>&lt;" not in page.replace("<b>blue", "") and "blue & <b>" not in page
    assert not re.search(r"(?:src|href)=\"(?!data:)|@import|url\(|<script", page)
    assert page.count("<svg") > len({one.cell for one in made.outcomes})
    for words in ("What lessons are worth", "Mended", "Broken", "broken.jpg", made.extractor.clip.fingerprint):
        assert words in page
