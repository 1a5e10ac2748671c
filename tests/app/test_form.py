"""`auto`: the form is measured once, remembered, and good for what float32 has written."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.patience import PATIENCE
from tta_service.app import build_runtime, tune
from tta_service.app.form import find_form
from tta_service.clip.load import load
from tta_service.clip.tuning import Form
from tta_service.settings import Settings, make

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def settings(**model: str) -> Settings:
    return make({"lanes.cores": 1, "batch.max_rows": 1, **{f"model.{name}": value for name, value in model.items()}})


def damage(cache: Path) -> Iterator[str]:
    """Writes what `find_form` cannot have remembered, one after the other."""
    (file,) = cache.rglob("form-*")
    held = json.loads(file.read_text())
    wrong = [{**held["form"], **part} for part in ({"threads": -5}, {"runtime": "nope"}, {"threads": "many"})]
    damaged = [{**held, "rates": []}, {**held, "rates": {"1": -1}}, [], *({**held, "form": one} for one in wrong)]
    for text in ["{", *map(json.dumps, damaged)]:
        file.write_text(text)
        yield text


async def test_what_was_measured_is_remembered_for_the_same_model_alone(cache: Path):
    chosen = settings(precision="auto")
    form = find_form(chosen, 10 * PATIENCE)
    assert form.runtime == "eager" and form.threads == 1
    began = time.monotonic()
    assert find_form(chosen, 10 * PATIENCE) == form
    assert time.monotonic() - began < 1, "nothing is measured again"
    assert find_form(settings(precision="auto", compress="prune:0.5"), 0.01) == Form("float32", "eager", 0)
    async with build_runtime(chosen) as runtime:
        assert runtime.clip.precision == form.precision
        assert runtime.clip.fingerprint == load().fingerprint, "sessions of float32 stay good"
    for text in damage(cache):
        assert find_form(chosen, 0) == Form("float32", "eager", 0), f"as good as none: {text}"


def test_a_search_without_time_is_not_remembered(cache: Path, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        assert find_form(settings(precision="auto"), 0.01) == Form("float32", "eager", 0)
    assert "nothing could be measured within 0.01 s, so it is float32 by eager" in caplog.text
    assert not list(cache.rglob("form-*"))
    assert find_form(settings(precision="bfloat16", runtime="auto"), 0.01) == Form("bfloat16", "eager", 0)
    assert tune(settings(precision="auto", runtime="auto"), 0.01) == ([], None)


def test_features_that_agree_have_the_fingerprint_of_float32():
    agreeing, other = load(precision="bfloat16", agrees=True), load(precision="bfloat16")
    assert agreeing.fingerprint == load().fingerprint != other.fingerprint
    assert agreeing.precision == "bfloat16"
