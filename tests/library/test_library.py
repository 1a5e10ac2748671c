"""The engine without a server."""

from __future__ import annotations

import asyncio
import gc
import io
import multiprocessing
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

import tta_service as tta
from tta_service.core.errors import BadImage, BadLabels, BadParameters, BadRequest, TTAError, UnknownSession
from tta_service.settings import BadSettings

FLOWER = Path(load_sample_images.__code__.co_filename).parent / "images" / "flower.jpg"
NAMES = ["flower", "temple", "cat"]
QUICK = {"batch.max_rows": 16, "lanes.cores": 1}  # as `run_service`


@pytest.fixture(scope="module")
def model() -> Iterator[tta.Model]:
    with tta.load(settings=QUICK) as model:
        yield model


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    with Image.open(FLOWER) as image:
        return np.asarray(image.convert("RGB").resize((96, 64)))


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_every_form_of_a_picture_has_the_same_answer(model: tta.Model, pixels: np.ndarray, tmp_path: Path):
    (tmp_path / "flower.png").write_bytes(png(pixels))
    alpha = np.dstack([pixels, np.full(pixels.shape[:2], 7, np.uint8)])
    tensor = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
    forms: list[Any] = [pixels, png(pixels), tmp_path / "flower.png", str(tmp_path / "flower.png"), alpha]
    forms += [Image.fromarray(pixels), tensor, tensor / 255]
    session = model.session(NAMES)
    first, *others = [session(form).scores for form in forms]
    assert all((one == first).all() for one in others)
    gray = pixels[..., 1]
    same: list[Any] = [gray, gray[..., None], Image.fromarray(gray), np.dstack([gray] * 3)]
    first, *others = [session(form).scores for form in same]
    assert all((one == first).all() for one in others)


def test_together_equals_one_by_one(model: tta.Model, pixels: np.ndarray):
    pictures = [np.roll(pixels, shift, 1) for shift in range(6)]
    session = model.session(NAMES, "mean", views=3)
    together = model.classify(pictures, NAMES, "mean", views=3)
    alone = [session(one) for one in pictures]
    assert [one.label for one in together] == [one.label for one in alone]
    assert all(np.allclose(one.scores, other.scores, atol=1e-4) for one, other in zip(together, alone, strict=True))


def test_an_answer_says_what_the_report_says(model: tta.Model, pixels: np.ndarray):
    answer = model.session(NAMES, "mta", views=4, options={"explain": True})(pixels)
    assert answer.label == answer.top[0].label == NAMES[answer.index] and answer.views == 4
    assert [one.score for one in answer.top] == sorted(answer.scores.tolist(), reverse=True)
    assert answer.flipped == (answer.zero_shot[0].index != answer.index)
    assert answer.explanation and answer.explanation.kept.shape == (4,) and answer.seconds["total"] > 0
    assert answer.label in repr(answer) and answer.decision == "answer"


def test_a_lesson_is_kept_in_a_file(model: tta.Model, pixels: np.ndarray, tmp_path: Path):
    session = model.session(NAMES, "tip_adapter")
    before = session(pixels)
    other = before.top[-1]
    taught = session.teach(before, other.label)
    learnt = session(pixels).scores
    assert taught.learnt_by == ("tip_adapter",) and learnt[other.index] > 1.01 * other.score
    session.save(tmp_path / "gate.tta")
    goes_on = model.restore(tmp_path / "gate.tta")  # beside the first, under another name
    assert goes_on.labels == tuple(NAMES) and goes_on.name != session.name
    assert (goes_on(pixels).scores == learnt).all()
    assert session.unlearn([taught]) == [taught.example] and (session(pixels).scores == before.scores).all()
    assert (goes_on(pixels).scores == learnt).all()
    session.close()
    assert model.restore(tmp_path / "gate.tta").name == session.name


def test_a_picture_that_was_not_answered_can_be_taught(model: tta.Model, pixels: np.ndarray):
    session = model.session(NAMES, "gda")
    for shift, label in enumerate(NAMES * 2):
        session.teach(np.roll(pixels, 9 * shift, 0), label)
    session.teach(pixels[::-1], None)
    assert session(np.roll(pixels, 9, 0)).label == NAMES[1]


def test_sessions_of_a_group_share_lessons(model: tta.Model, pixels: np.ndarray):
    one, two = (model.session(NAMES, "tip_adapter", group="belt") for _ in range(2))
    apart = model.session(NAMES, "tip_adapter")
    plain = two(pixels)
    one.teach(one(pixels), plain.top[-1].label)
    assert two(pixels).scores[plain.top[-1].index] > 1.01 * plain.top[-1].score
    assert (apart(pixels).scores == plain.scores).all()


def test_features_have_unit_norm_and_are_those_of_answers(model: tta.Model, pixels: np.ndarray):
    image, text = model.features([pixels]), model.text_features(NAMES, ["a photo of a {}."])
    assert image.shape == (1, model.dimension) and np.allclose(np.linalg.norm(text, axis=1), 1, atol=1e-5)
    scores = model.classify([pixels], NAMES)[0].scores
    logits = (image @ text.T)[0].astype(np.float64)
    ratio = np.log(scores[0] / scores[1]) / (logits[0] - logits[1])  # the model's scale
    assert np.log(scores[1] / scores[2]) == pytest.approx(ratio * (logits[1] - logits[2]), rel=1e-3, abs=1e-3)
    assert model.features([]).shape == (0, model.dimension)


def test_a_picture_that_is_not_there_is_named_as_by_python(model: tta.Model, pixels: np.ndarray):
    for ask in (lambda: model.session(NAMES)("nowhere.jpg"), lambda: model.classify([pixels, "nowhere.jpg"], NAMES)):
        with pytest.raises(FileNotFoundError) as raised:
            ask()
        assert raised.value.filename == "nowhere.jpg"


MISTAKES: list[tuple[Callable[[tta.Model], object], type[TTAError], str]] = [
    (lambda model: model.session("cat"), BadLabels, "names"),  # type: ignore[arg-type]
    (lambda model: model.session(["cat", "cat"]), BadLabels, "names[1]"),
    (lambda model: model.session(NAMES, "mta", vews=3), BadParameters, "options.strategy.parameters.vews"),
    (lambda model: model.session(NAMES, options={"sed": 1}), BadRequest, "sed"),
    (lambda model: model.session(NAMES, options={"coverage": 2}), BadRequest, "options.coverage"),
    (lambda model: model.session(NAMES, name="a b"), BadRequest, "session_id"),
    (lambda model: model.session(NAMES)(7), BadImage, "image"),  # type: ignore[arg-type]
    (lambda model: model.session(NAMES)(np.zeros((4, 4), np.float32)), BadImage, "image"),
    (lambda model: model.session(NAMES)(torch.full((3, 4, 4), 2.0)), BadImage, "image"),
    (lambda model: model.session(NAMES)(torch.zeros(4, 4)), BadImage, "image"),
    (lambda model: model.classify([np.zeros((9, 9), np.uint8), b"no picture"], NAMES), BadImage, "pictures[1]"),
    (lambda model: model.session(NAMES).teach(np.zeros((9, 9), np.uint8), "dog"), BadLabels, "label"),
    (lambda model: model.restore(FLOWER), BadRequest, "file"),
    (lambda model: model.text_features("cat"), BadLabels, "texts"),
    (lambda model: model.text_features(["cat"], "a {}"), BadLabels, "templates"),
    (lambda model: model.session(NAMES, templates="openai"), BadLabels, "templates"),
    (lambda model: model.session(7), BadLabels, "names"),  # type: ignore[arg-type]
    (lambda model: model.session(NAMES, options="seed"), BadRequest, "options"),  # type: ignore[arg-type]
    (lambda model: model.session(NAMES).unlearn("picture-1"), BadRequest, "lessons"),
]
PIXELS = np.zeros((9, 9, 3), np.uint8)
SINGLE: list[Any] = ["photo.jpg", Path("photo.jpg"), png(PIXELS), Image.fromarray(PIXELS), PIXELS, PIXELS[..., 0]]
SINGLE += [torch.zeros(3, 9, 9), 7]


@pytest.mark.parametrize("mistake, error, field", MISTAKES, ids=[f"{number}" for number in range(len(MISTAKES))])
def test_mistakes_name_the_field(model: tta.Model, mistake: Callable[[Any], object], error: type[TTAError], field: str):
    with pytest.raises(error) as raised:
        mistake(model)
    assert raised.value.field == field


@pytest.mark.parametrize("picture", SINGLE, ids=lambda one: type(one).__name__)
def test_a_single_picture_in_place_of_several_is_refused(model: tta.Model, picture: Any):
    for ask in (lambda: model.classify(picture, NAMES), lambda: model.features(picture)):
        with pytest.raises(BadImage, match=r"give several|are several") as raised:
            ask()
        assert raised.value.field == "pictures"


def test_an_array_of_several_pictures_is_taken_apart(model: tta.Model, pixels: np.ndarray):
    several = np.stack([pixels, pixels[::-1]])
    assert np.allclose(model.features(several), model.features(list(several)), atol=1e-5)
    assert model.features(torch.from_numpy(several).permute(0, 3, 1, 2)).shape == (2, model.dimension)


def test_settings_are_the_callers_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    with pytest.raises(BadSettings, match="there is no such setting"):
        tta.load(settings={"batch.rows": 1})
    with pytest.raises(BadSettings, match="at least 16 characters"):
        tta.load(secret="short")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tta.toml").write_text("[model]\nname = 'none'\n")
    monkeypatch.setenv("TTA_MODEL__NAME", "none")
    with tta.load(settings=QUICK) as model:
        assert model.name == "pocket"


def test_in_a_running_loop_in_threads_and_for_asyncio(model: tta.Model, pixels: np.ndarray):
    expected = model.session(NAMES)(pixels).scores

    async def cell() -> np.ndarray:
        return model.session(NAMES)(pixels).scores  # a notebook's cell runs in a loop

    assert (asyncio.run(cell()) == expected).all()
    answers: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: answers.append(model.session(NAMES)(pixels).scores)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 4 and all(np.allclose(one, expected, atol=1e-4) for one in answers)

    async def twin() -> np.ndarray:
        async with tta.load_async(settings=QUICK) as own:
            session = own.session(NAMES)
            return (await session(pixels)).scores

    assert (asyncio.run(twin()) == expected).all()


@pytest.mark.slow
def test_after_its_end_a_model_says_so(pixels: np.ndarray):
    before = threading.active_count()
    model = tta.load(settings=QUICK)
    session = model.session(NAMES)
    session.close()
    session.close()
    with pytest.raises(UnknownSession, match="is closed"):
        session(pixels)
    model.close()
    with pytest.raises(RuntimeError, match="the model is closed"):
        model.features([pixels])
    forgotten = tta.load(settings=QUICK)
    del forgotten
    gc.collect()
    assert threading.active_count() <= before


def fork(model: tta.Model, answer: Any) -> None:
    try:
        answer.put(str(model.features([])))
    except RuntimeError as error:
        answer.put(str(error))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of a fork beside threads
def test_a_forked_worker_is_told_what_to_do(model: tta.Model):
    context = multiprocessing.get_context("fork")
    answer = context.Queue()
    worker = context.Process(target=fork, args=(model, answer))
    worker.start()
    assert "load it in each worker" in answer.get(timeout=60)
    worker.join()


@pytest.mark.slow
def test_answers_are_bit_equal_to_a_services(model: tta.Model, pixels: np.ndarray):
    from tta_client import Choice, Client

    from tests.client.services import run_service

    with run_service() as address, Client(address) as client:
        for strategy, parameters in (("zero_shot", {}), ("mta", {"views": 8}), ("tda", {}), ("rtpt", {"views": 8})):
            session = model.session(NAMES, strategy, **parameters)
            for shift in range(3):
                picture = np.roll(pixels, shift, 1)
                there = client.classify(picture, NAMES, Choice(strategy, parameters), session=f"s-{strategy}")
                here = session(picture).top
                assert [(one.label, one.score) for one in there.top] == [
                    (one.label, float(np.float32(one.score)))
                    for one in here  # as the wire has it
                ]


@pytest.mark.slow
def test_the_page_runs_as_printed(pixels: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    page = (Path(__file__).parents[2] / "docs" / "library.md").read_text()
    code = page.partition("```python\n")[2].partition("```")[0]
    monkeypatch.chdir(tmp_path)
    Image.fromarray(pixels).save("photo.jpg")
    exec(code, {})
    first, second = capsys.readouterr().out.splitlines()
    assert first.split()[0] in NAMES and second in NAMES and (tmp_path / "gate.tta").exists()
