"""The command that shows the settings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tta_service.cli import main
from tta_service.settings import load

SECRET = "0123456789abcdef-and-more"


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["settings", *arguments])
    assert not ended.value.code
    return capsys.readouterr().out


def test_every_setting_has_its_value_and_its_source(capsys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    Path("tta.toml").write_text("[batch]\nmax_rows = 7\n[server.tls]\nclient_port = 9\n")
    monkeypatch.setenv("TTA_LOG__LEVEL", "debug")
    lines = [json.loads(line) for line in run(capsys, "--json", "--set=server.port=1").splitlines()]
    shown = {one["setting"]: (one["value"], one["source"]) for one in lines}
    assert shown["batch.max_rows"] == (7, "tta.toml") and shown["server.tls.client_port"] == (9, "tta.toml")
    assert shown["log.level"] == ("debug", "TTA_LOG__LEVEL") and shown["server.port"] == (1, "--set")
    assert shown["server.host"] == ("127.0.0.1", "") and len(shown) == len(lines)


def test_no_secret_is_shown(capsys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TTA_SESSIONS__SECRET", SECRET)
    monkeypatch.setenv("TTA_SESSIONS__FORMER_SECRETS", SECRET[::-1])
    monkeypatch.setenv("TTA_SESSIONS__STORE", "redis://user:pass-word@host/0")
    shown = run(capsys) + run(capsys, "--json") + run(capsys, "--example")
    assert "***" in shown and not any(text in shown for text in (SECRET, SECRET[::-1], "pass-word"))


def test_the_example_says_what_the_defaults_say(capsys, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TTA_HTTP__ENABLED", raising=False)
    example, defaults = run(capsys, "--example"), load().model_dump()
    Path("tta.toml").write_text(example)
    assert load().model_dump() == defaults
    _, *lines = example.splitlines()
    Path("tta.toml").write_text("\n".join(line.removeprefix("# ") for line in lines))
    assert load().model_dump() == defaults
