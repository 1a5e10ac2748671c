"""Every command reports every mistake in a sentence: exit code 2 and no traceback."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sklearn.datasets import load_sample_images

from tta_service.cli import main
from tta_service.core.catalogue import reducers, strategies

FLOWER = Path(load_sample_images.__code__.co_filename).parent / "images" / "flower.jpg"
COMMANDS = {
    "serve": ["serve"],
    "classify": ["classify", str(FLOWER), "--labels", "cat,dog"],
    "advise": ["advise", "--images", str(FLOWER.parent), "--labels", "cat,dog"],
    "measure": ["measure"],
    "tune": ["tune"],
    "demo": ["demo", "--frames", "1"],
}
OPEN = "--set=server.insecure=true"  # addresses of others are tried without keys


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in [name for name in os.environ if name.upper().startswith("TTA_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    yield


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> list[str]:
    """The lines of a command that ends with exit code 2 and has printed nothing else."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    output = capsys.readouterr()
    assert (ended.value.code, output.out) == (2, "")
    lines = output.err.splitlines()
    lines = [line for line in lines if "server.insecure is set" not in line]
    assert all(line.startswith("tta-service: ") for line in lines)
    return [line.removeprefix("tta-service: ") for line in lines]


@pytest.mark.parametrize("command", COMMANDS)
def test_three_mistakes_are_three_lines_of_every_command(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    Path("tta.toml").write_bytes("# ü".encode("latin-1"))
    monkeypatch.setenv("TTA_SERVER", "x")
    monkeypatch.setenv("TTA_METRICS__LATENCY_BUCKETS", "1, 2")
    lines = refused(capsys, *COMMANDS[command])
    assert [line.split(":")[0] for line in lines] == ["tta.toml", "TTA_SERVER", "TTA_METRICS__LATENCY_BUCKETS"]


def test_flags_are_called_as_they_are_written(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TTA_DEFAULTS__REDUCER", "nosuch")
    flags = ["--port", "many", "--metrics-port=-1", "--precision=int3", "--log-level=loud", "--strategy=nosuch"]
    lines = refused(capsys, "serve", *flags, "--set", "batch.rows=1", "--set", "batch")
    assert sorted(line.split(": ")[:2] for line in lines) == [
        ["--log-level", "log.level"],
        ["--metrics-port", "metrics.port"],
        ["--port", "server.port"],
        ["--precision", "model.precision"],
        ["--set", "batch.rows"],
        ["--set batch", "write it as KNOB=VALUE"],
        ["--strategy", "defaults.strategy"],
        ["TTA_DEFAULTS__REDUCER", "defaults.reducer"],
    ]


@pytest.mark.parametrize(
    ("variable", "value", "setting", "message"),
    [
        ("TTA_MODEL", "nosuch", "model.name", "open_clip knows no model 'nosuch'"),
        ("TTA_MODEL__CHECKPOINT", "none.pt", "model.checkpoint", "there is no file none.pt"),
        ("TTA_MODEL__DEVICE", "abacus", "model.device", "device 'abacus' cannot be used"),
        ("TTA_MODEL__COMPRESS", "zip", "model.compress", "compress is svd:RANK or prune:RATIO"),
        ("TTA_MODEL__REDUCERS", "nosuch", "model.reducers", "no reducer is called 'nosuch'"),
        ("TTA_MODEL__REDUCERS", "tome:0.5", "model.reducers", "write a reducer as NAME:PARAMETER=VALUE"),
        ("TTA_METRICS__PEAKS", "none.jsonl", "metrics.peaks", "cannot read none.jsonl"),
        ("TTA_LIMITS__PARAMETERS__VEWS", "3", "limits.parameters", "nothing has a number called vews"),
    ],
)
def test_what_only_the_start_finds_out_names_its_variable_too(
    variable: str,
    value: str,
    setting: str,
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv(variable, value)
    *_, line = refused(capsys, "serve", "--port=0", "--metrics-port=0")
    assert line.startswith(f"{variable}: {setting}: {message}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["classify", "none.jpg", "--labels=a,b"], "none.jpg: No such file or directory"),
        (["classify", "/proc/self/fdinfo", "--labels=a,b"], "/proc/self/fdinfo: holds no pictures and no videos"),
        (["classify", FLOWER, "--labels=@/"], "--labels: cannot read /: Is a directory"),
        (["classify", FLOWER, "--labels=a,b", "--checkpoint=/"], "is a folder"),
        (["advise", "--images=none", "--labels=a,b"], "none is not a folder"),
        (["advise", "--images=.", "--labels=a,b"], "holds 0 images"),
        (["advise", "--images=.", "--labels=a,b", "--deadline=soon"], "write a deadline as 50ms"),
        (["measure", "--out=/"], "--out: / is no file that can be written"),
        (["measure", "--out=none/peaks"], "--out: none/peaks is no file that can be written"),
        (["measure", "--out=/proc/peaks"], "--out: /proc/peaks is no file that can be written"),
        (["serve", OPEN, "--host=a..b"], "cannot listen on a..b:"),
        (["serve", OPEN, f"--host={'a' * 70}.b"], "cannot listen on aaa"),
        (["serve", OPEN, "--port=0", "--metrics-host=256.1.1.1"], "cannot listen on 256.1.1.1:"),
        (["serve", "--config=/"], "/ is not a file but a folder"),
        (["serve", "--config="], ". is not a file but a folder"),
    ],
)
def test_a_file_or_an_address_that_cannot_be_used(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    lines = refused(capsys, *arguments)
    assert message in lines[-1] and len(lines) == 1


@pytest.mark.parametrize("command", ["strategies", "reducers"])
@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_terminal_without_the_letters_gets_question_marks(
    command: str, flags: list[str], monkeypatch: pytest.MonkeyPatch
):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, "ascii", write_through=True))
    with pytest.raises(SystemExit) as ended:
        main([command, *flags])
    lines = raw.getvalue().decode("ascii").splitlines()
    assert ended.value.code == 0 and lines
    if flags:
        entries = [json.loads(line, parse_constant=pytest.fail) for line in lines]
        assert [one["name"] for one in entries] == list((strategies if command == "strategies" else reducers).names())


@pytest.mark.slow
def test_labels_survive_a_terminal_without_their_letters(monkeypatch: pytest.MonkeyPatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, "ascii", write_through=True))
    with pytest.raises(SystemExit):
        main(["classify", str(FLOWER), "--labels", "Blüte,Tür", "--json"])
    answer = json.loads(raw.getvalue().decode("ascii"))
    assert {score["label"] for score in answer["top"]} == {"Blüte", "Tür"}


@pytest.mark.slow
@pytest.mark.parametrize("command", ["classify", "serve"])
def test_ctrl_c_ends_a_command_without_a_traceback(command: str):
    ends = {"classify": ["--set", "log.level=info"], "serve": ["--port=0", "--metrics-port=0"]}
    arguments = [*COMMANDS[command], *ends[command]]
    if command == "classify":
        arguments[1:2] = [str(FLOWER)] * 2000
    with subprocess.Popen(
        [sys.executable, "-m", "tta_service", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline()  # it is under way
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == {"classify": 130, "serve": 0}[command]
    assert "Traceback" not in errors
