"""Which source of a setting wins, and the errors about wrong values."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tta_service.core.errors import BadParameters
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


def test_another_file_replaces_the_default_one(tmp_path: Path):
    Path("tta.toml").write_text("[server]\nport = 1\n")
    other = tmp_path / "other.toml"
    other.write_text("[sessions]\nidle = 5\n")
    settings = load(file=other)
    assert (settings.sessions.idle, settings.server.port) == (5, Server().port)


def test_maxima_of_parameters_by_name(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TTA_LIMITS__PARAMETERS", '{"views": 128}')
    assert load({"limits.parameters.steps": "4"}).limits.parameters == {"views": 128, "steps": 4}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"server.port": 70000}, "server.port: input should be less than or equal to 65535, got 70000"),
        ({"server.prot": 1}, "server.prot: there is no such setting, got 1"),
        ({"server.host": ""}, "server.host: string should have at least 1 character, got ''"),
        ({"swerver.port": 1}, r"swerver: there is no such setting"),
        ({"server.port.deep": 1}, "server.port: input should be a valid integer"),
        ({"server.port": 1, "server.port.deep": 1}, "server.port.deep: there is no such setting"),
        ({"sessions.idle": float("nan")}, "sessions.idle: .*finite"),
        (
            {"model.precision": "int3"},
            "model.precision: input should be 'float32', 'bfloat16', 'float16', 'int8' or 'auto', got 'int3'",
        ),
    ],
)
def test_a_wrong_flag_is_named(flags: dict[str, object], message: str):
    with pytest.raises(BadSettings, match=message):
        load(flags)


def test_a_wrong_variable_or_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("TTA_BATCH__MAX_ROWS", "many")
    monkeypatch.setenv("TTA_SERVER__HOST", "")
    with pytest.raises(BadSettings) as refused:
        load()
    assert [line.partition(": ")[0] for line in str(refused.value).splitlines()] == [
        "TTA_SERVER__HOST",
        "TTA_BATCH__MAX_ROWS",
    ]
    monkeypatch.delenv("TTA_SERVER__HOST")
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


def mistakes(**given: object) -> list[str]:
    with pytest.raises(BadSettings) as refused:
        load(**given)  # type: ignore[arg-type]
    return str(refused.value).splitlines()


def test_each_mistake_has_a_line_with_its_source_and_its_setting(monkeypatch: pytest.MonkeyPatch):
    Path("tta.toml").write_text('[log]\nlevel = "loud"\n[batch]\nmax_rows = "many"\nrows = 1\n')
    monkeypatch.setenv("TTA_SERVER", "x")
    monkeypatch.setenv("TTA_SERVER__PORT", "y")
    monkeypatch.setenv("TTA_BATCH__MAX_ROWS", "3")  # the file's mistake is of no effect
    monkeypatch.setenv("TTA_LIMITS__PARAMETERS", "no JSON")
    monkeypatch.setenv("TTA_METRICS__LATENCY_BUCKETS", "0.1, 1")
    lines = mistakes(
        flags={"sessions.idle": "long", "text": "z"}, spellings={"sessions.idle": "--idle", "text": "--set"}
    )
    places = sorted(" ".join(line.split(": ")[:2]) for line in lines)
    assert places == [
        "--idle sessions.idle",
        "--set text",
        "TTA_LIMITS__PARAMETERS limits.parameters",
        "TTA_METRICS__LATENCY_BUCKETS metrics.latency_buckets",
        "TTA_SERVER server",
        "TTA_SERVER__PORT server.port",
        "tta.toml batch.rows",
        "tta.toml log.level",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[server\n", "this is no TOML"),
        (b"port: 5\n", "this is no TOML"),
        ("[server]\nhost = 'ü'\n".encode("latin-1"), "no UTF-8 text"),
        ("[server]\nport = 1\n".encode("utf-16"), "no UTF-8 text"),
        (bytes(range(256)), "no UTF-8 text"),
        (b"[server]\nport = " + b"9" * 5000, "no TOML"),
        (b"a = " + b"[" * 5000, "no TOML"),
        (None, "tta.toml is not a file but a folder"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_mistake_among_others(
    monkeypatch: pytest.MonkeyPatch, content: bytes | None, message: str
):
    monkeypatch.setenv("TTA_SERVER__PORT", "y")
    Path("tta.toml").write_bytes(content) if content is not None else Path("tta.toml").mkdir()
    for file in (None, Path("tta.toml")):
        first, second = mistakes(file=file)
        assert first.startswith("tta.toml") and message in first
        assert second.startswith("TTA_SERVER__PORT: server.port: ")


def test_a_byte_order_mark_in_the_file_is_ignored():
    Path("tta.toml").write_bytes("[server]\r\nport = 7\r\n".encode("utf-8-sig"))
    assert load().server.port == 7


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({"TTA_MODEL": "ViT-B-16"}, "ViT-B-16"),
        ({"TTA_MODEL": "hf-hub:me/it", "TTA_MODEL__DEVICE": "cpu"}, "hf-hub:me/it"),
        ({"tta_model": "123"}, "123"),
        ({"TTA_MODEL": "ViT-B-16", "TTA_MODEL__NAME": "ViT-L-14"}, "ViT-L-14"),
        ({"TTA_MODEL": '{"name": "ViT-B-32"}'}, "ViT-B-32"),
        ({"TTA_MODEL": ""}, "filed"),
    ],
)
def test_the_model_may_be_named_in_short(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], name: str):
    Path("tta.toml").write_text('[model]\nname = "filed"\nprecision = "int8"\n')
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    model = load().model
    assert (model.name, model.precision) == (name, "int8")
    assert load({"model.name": "pocket"}).model.name == "pocket"


def test_a_section_may_be_json(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TTA_SERVER__HOST", "::1")
    monkeypatch.setenv("TTA_SERVER", '{"port": 5, "host": "0.0.0.0"}')
    assert (load().server.port, load().server.host) == (5, "::1")
    monkeypatch.setenv("TTA_SERVER", '{"port": "x", "prot": 1}')
    assert sorted(mistakes()) == [
        "TTA_SERVER: server.port: input should be a valid integer, unable to parse string as an integer, got 'x'",
        "TTA_SERVER: server.prot: there is no such setting, got 1",
    ]
    monkeypatch.setenv("TTA_SERVER", '{"port": 5')
    assert mistakes() == [
        "TTA_SERVER: server: this is a section; name a setting in it, such as server.host, got '{\"port\": 5'"
    ]


def test_no_mistake_shows_a_secret(monkeypatch: pytest.MonkeyPatch):
    Path("tta.toml").write_text('sessions.secret = ["tops3cret"]\nsessions.store = {url = "redis://u:tops3cret@h"}\n')
    monkeypatch.setenv("TTA_SESSIONS__SECRIT", "tops3cret")
    monkeypatch.setenv("TTA_SESSIONS", '{"secret": "tops3cret"')
    lines = mistakes()
    assert len(lines) == 4 and "tops3cret" not in "".join(lines)


def test_a_check_sees_the_value_as_given():
    def check(value: str) -> None:
        raise BadParameters(f"not {value}")

    checks = {"defaults.strategy": check, "defaults.reducer": check}
    spellings = {"defaults.strategy": "--strategy"}
    assert mistakes(flags={"defaults.strategy": "magic", "server.port": -1}, spellings=spellings, checks=checks) == [
        "--strategy: defaults.strategy: not magic",
        "server.port: input should be greater than or equal to 0, got -1",
    ]


def test_an_error_about_a_setting_names_where_it_was_set(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TTA_MODEL", "odd")
    assert load().locate_mistake("model.name", "no such model") == "TTA_MODEL: model.name: no such model"
    assert load().locate_mistake("model.device", "no such device") == "model.device: no such device"


def test_misspelt_variables_are_found():
    assert unknown_variables(["TTA_SERVER__PORT", "tta_log__level", "TTA_SEVER__PORT", "HOME"]) == ["TTA_SEVER__PORT"]


def test_buckets_of_durations_are_a_list_that_rises(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TTA_METRICS__LATENCY_BUCKETS", "[0.2, 2]")
    assert load().metrics.latency_buckets == (0.2, 2.0)
    assert load({"metrics.latency_buckets": "[0.1, 1, 10]"}).metrics.latency_buckets == (0.1, 1.0, 10.0)
    for wrong, message in (
        ("0.1, 1", "a list of numbers"),
        ("[" * 100_000, "a list of numbers"),
        ("[1, 0.1]", "rise"),
        ("[0]", "greater than 0"),
        ("[]", ""),
    ):
        with pytest.raises(BadSettings, match=f"metrics.latency_buckets.*{message}"):
            load({"metrics.latency_buckets": wrong})
