"""Which source wins, and what a wrong value is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tta_service.settings import BadSettings, Server, Settings, load, unknown_variables


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.upper().startswith("TTA_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_defaults_listen_on_this_machine_only():
    settings = load()
    assert settings.model_dump() == Settings().model_dump()
    assert (settings.server.host, settings.metrics.host) == ("127.0.0.1", "127.0.0.1")
    assert settings.model.name == "pocket"


def test_flags_win_over_environment_wins_over_file(monkeypatch: pytest.MonkeyPatch):
    Path("tta.toml").write_text('[server]\nport = 1\nhost = "::1"\ndrain = 3\n[batch]\nmax_rows = 7\n')
    assert (load().server.port, load().server.host, load().batch.max_rows) == (1, "::1", 7)
    monkeypatch.setenv("TTA_SERVER__PORT", "2")
    monkeypatch.setenv("TTA_SERVER__HOST", "0.0.0.0")
    assert (load().server.port, load().server.host, load().server.drain) == (2, "0.0.0.0", 3)
    flagged = load({"server.port": 4, "server.host": None})
    assert (flagged.server.port, flagged.server.host, flagged.server.drain) == (4, "0.0.0.0", 3)


def test_another_file_stands_for_the_usual_one(tmp_path: Path):
    Path("tta.toml").write_text("[server]\nport = 1\n")
    other = tmp_path / "other.toml"
    other.write_text("[sessions]\nidle = 5\n")
    settings = load(file=other)
    assert (settings.sessions.idle, settings.server.port) == (5, Server().port)


def test_maxima_of_parameters_by_name(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TTA_LIMITS__PARAMETERS", '{"views": 128}')
    assert load({"limits.parameters.steps": "4"}).limits.parameters == {"views": 128, "steps": 4}


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"server.port": 70000}, "server.port: input should be less than or equal to 65535, got 70000"),
        ({"server.prot": 1}, "server.prot: there is no such setting, got 1"),
        ({"swerver.port": 1}, r"swerver: there is no such setting"),
        ({"server.port.deep": 1}, "server.port: input should be a valid integer"),
        ({"server.port": 1, "server.port.deep": 1}, "server.port.deep: there is no such setting"),
        ({"sessions.idle": float("nan")}, "sessions.idle: .*finite"),
        (
            {"model.precision": "int3"},
            "model.precision: input should be 'float32', 'bfloat16', 'float16' or 'int8', got 'int3'",
        ),
    ],
)
def test_a_wrong_flag_is_named(flags: dict[str, object], said: str):
    with pytest.raises(BadSettings, match=said):
        load(flags)


def test_a_wrong_variable_or_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("TTA_BATCH__MAX_ROWS", "many")
    with pytest.raises(BadSettings, match=r"batch\.max_rows: .*got 'many'"):
        load()
    monkeypatch.delenv("TTA_BATCH__MAX_ROWS")
    monkeypatch.setenv("TTA_BATCH__ROWS", "4")
    with pytest.raises(BadSettings, match=r"batch\.rows: there is no such setting"):
        load()
    with pytest.raises(BadSettings, match=r"none\.toml is not a file"):
        load(file=tmp_path / "none.toml")
    monkeypatch.delenv("TTA_BATCH__ROWS")
    Path("tta.toml").write_text("[server\n")
    with pytest.raises(BadSettings, match=r"tta\.toml: "):
        load()


def test_misspelt_variables_are_found():
    assert unknown_variables(["TTA_SERVER__PORT", "tta_log__level", "TTA_SEVER__PORT", "HOME"]) == ["TTA_SEVER__PORT"]


def test_buckets_of_durations_are_a_list_that_rises(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TTA_METRICS__LATENCY_BUCKETS", "[0.2, 2]")
    assert load().metrics.latency_buckets == (0.2, 2.0)
    assert load({"metrics.latency_buckets": "[0.1, 1, 10]"}).metrics.latency_buckets == (0.1, 1.0, 10.0)
    for wrong, said in (("0.1, 1", "a list of numbers"), ("[1, 0.1]", "rise"), ("[0]", "greater than 0"), ("[]", "")):
        with pytest.raises(BadSettings, match=f"metrics.latency_buckets.*{said}"):
            load({"metrics.latency_buckets": wrong})
