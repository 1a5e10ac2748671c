"""The command: what it prints, how it fails, and that it answers as the service does."""

from __future__ import annotations

import asyncio
import io
import json
import math
import os
import subprocess
import sys
from dataclasses import asdict, fields, replace
from pathlib import Path

import grpc
import pytest
import torch
from sklearn.datasets import load_sample_images

from tests.cli import conftest
from tests.cli.conftest import RunLines as Run
from tests.encodings import ENCODINGS
from tests.telemetry.reports import make_report
from tta_service import LabelSet
from tta_service.app import Application
from tta_service.cli import main
from tta_service.cli.commands import COMMANDS
from tta_service.cli.options import build, parse_names
from tta_service.cli.output import open_output
from tta_service.cli.text import json_line
from tta_service.rpc.v1.tta_pb2_grpc import AdaptationServiceStub
from tta_service.settings import load
from tta_service.strategies import catalogue as strategies
from tta_service.wire.v1 import tta_pb2 as pb

FLOWER = Path(load_sample_images.__code__.co_filename).parent / "images" / "flower.jpg"
NAMES = "flower,temple,cat"


@pytest.fixture(name="run")
def run_lines(run: conftest.Run) -> Run:
    """Runs a command: exit code, lines of output, all of the error stream."""
    return conftest.split_lines(run)


def test_strategies_are_listed_with_parameters_bounds_needs_and_paper(run: Run):
    code, lines, _ = run("strategies")
    assert code == 0
    text = "\n".join(lines)
    for name in strategies.names():
        entry = strategies.describe(name)
        assert f"{name}: {entry.summary}" in text
        assert entry.paper in text
        for parameter in entry.parameters:
            assert f"--param {parameter.name}=" in text
    assert "needs 1 view, a memory per session" in text  # tda
    assert "1 … 512" in text


def test_catalogues_as_json(run: Run):
    _, lines, _ = run("strategies", "--json")
    assert [json.loads(line)["name"] for line in lines] == list(strategies.names())
    _, lines, _ = run("reducers", "--json")
    assert "none" in [json.loads(line)["name"] for line in lines]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--strategy", "mta", "--param", "views=many"], "views: input should be a valid integer, got 'many'"),
        (["--strategy", "mta", "--param", "views=NaN"], "views: input should be a valid integer, got nan"),
        (["--strategy", "zero", "--param", "agreement=nan"], "agreement: input should be a finite number, got nan"),
        (["--strategy", "mta", "--param", "views=0"], "views: input should be greater than or equal to 1, got 0"),
        (["--strategy", "mta", "--param", "vews=3"], "unknown parameter 'vews'; there are: "),
        (["--strategy", "mta", "--param", "views"], "'views': write a parameter as NAME=VALUE"),
        (["--strategy", "magic"], "no strategy is called 'magic'; there are "),
        (["--reducer", "magic"], "no reducer is called 'magic'; there are "),
        (["--template", "a photo"], "must hold {} exactly once"),
        (["--labels", "cat,cat"], "names 0 and 1 are both 'cat'"),
        (["--labels", " , "], "a label set needs at least one name"),
        (["--labels", "@none.txt"], "--labels: cannot read none.txt: No such file or directory"),
        (
            ["--precision", "int3"],
            "model.precision: input should be 'float32', 'bfloat16', 'float16', 'int8' or 'auto', got",
        ),
        (
            ["--runtime", "eagle"],
            "model.runtime: input should be 'eager', 'compile', 'cudagraphs', 'onnxruntime', 'openvino' or 'auto'",
        ),
        (["--compress", "zip:9"], "compress is svd:RANK or prune:RATIO with a ratio between 0 and 1, not 'zip:9'"),
        (["--reducers", "magic"], "no reducer is called 'magic'"),
        (["--set", "batch.rows=3"], "batch.rows: there is no such setting, got '3'"),
        (["--set", "batch"], "--set batch: write it as KNOB=VALUE"),
        (["--config", "none.toml"], "none.toml is not a file"),
        (["--checkpoint", "none.safetensors"], "none.safetensors"),
    ],
)
def test_a_mistake_takes_one_line(run: Run, arguments: list[str], message: str):
    labels = [] if "--labels" in arguments else ["--labels", "cat,dog"]
    code, lines, error = run("classify", FLOWER, *labels, *arguments)
    assert (code, lines, error.count("\n")) == (2, [], 1)
    assert message in error
    assert error.startswith("tta-service: ")


def test_names_are_read_as_utf8_in_any_locale(tmp_path: Path):
    file = tmp_path / "labels.txt"
    file.write_bytes("\ufeffTür\r\nKatze, grau\r\n".encode())
    assert parse_names(f"@{file}") == ("Tür", "Katze, grau")


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_names_are_read_in_every_usual_encoding(tmp_path: Path, encoding: str, end: str):
    (tmp_path / "names").write_bytes(ENCODINGS[encoding](end.join([" Tür ", "", "cat, gray", "猫" * 20, ""])))
    assert parse_names(f"@{tmp_path / 'names'}") == ("Tür", "cat, gray", "猫" * 20)


def test_files_of_names_that_were_joined_and_lie_in_the_home_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "names").write_bytes("cat\n".encode("utf-8-sig") + "dog\n".encode("utf-8-sig"))
    assert parse_names("@~/names") == ("cat", "dog")


def test_names_that_cannot_be_read_are_reported_with_their_file(run: Run, tmp_path: Path):
    (tmp_path / "latin").write_bytes("Tür".encode("latin-1"))
    reasons = {"latin": "it is neither UTF-8 nor UTF-16", "none": "No such file or directory", "": "Is a directory"}
    for name, why in reasons.items():
        code, _, error = run("classify", FLOWER, "--labels", f"@{tmp_path / name}")
        assert code == 2 and f"--labels: cannot read {tmp_path / name}: {why}\n" in error
    names = ("--labels", os.fsdecode(b"cat,T\xfcr"))
    assert "--labels: cat,T\\udcfcr is not UTF-8\n" in run("classify", FLOWER, *names)[2]
    template = ("--template", os.fsdecode(b"ein T\xfcr {}"))
    assert "--template: ein T\\udcfcr {} is not UTF-8\n" in run("classify", FLOWER, "--labels", NAMES, *template)[2]


def test_a_file_of_any_name_is_answered_or_reported(run: Run, tmp_path: Path):
    """A folder, a dangling link, and names that are no UTF-8; JSON stays JSON."""
    strange = Path(os.fsdecode(bytes(tmp_path) + b"/[1]caf\xe9.jpg"))
    strange.write_bytes(FLOWER.read_bytes())
    gone = Path(os.fsdecode(bytes(tmp_path) + b"/gone\xe9.jpg"))
    gone.symlink_to("nowhere")
    empty = tmp_path / "empty"
    empty.mkdir()
    code, lines, error = run("classify", gone, strange, empty, "--labels", NAMES, "--json")
    assert code == 2 and [json.loads(line)["file"] for line in lines] == [f"{tmp_path}/[1]caf\\udce9.jpg"]
    assert "\n".join(lines).encode() and sorted(error.splitlines()) == [
        f"tta-service: {tmp_path}/empty: holds no pictures and no videos",
        f"tta-service: {tmp_path}/gone\\udce9.jpg: No such file or directory",
    ]


@pytest.mark.parametrize("name", strategies.names())
def test_a_strategy_with_any_parameters_is_json(name: str):
    """Infinity, which some take for "no limit", is no number of JSON's."""
    made = strategies.build(name)
    floats = {field.name: math.inf for field in fields(made) if isinstance(getattr(made, field.name), float)}
    for field, value in floats.items():
        object.__setattr__(made, field, value)
    record = json.loads(json_line({"parameters": asdict(made)}), parse_constant=pytest.fail)
    assert all(record["parameters"][field] is None for field in floats)


@pytest.mark.parametrize("words", [["strategies"], ["strategies", "--json"], ["reducers"]])
def test_a_terminal_of_ascii_gets_question_marks(words: list[str], monkeypatch: pytest.MonkeyPatch):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")  # strict, as PYTHONIOENCODING=ascii has it
    monkeypatch.setattr(sys, "stdout", terminal)
    with pytest.raises(SystemExit) as ended:
        main(words)
    terminal.flush()
    output = terminal.buffer.getvalue()  # type: ignore[attr-defined]
    assert ended.value.code in (0, None) and output.isascii()
    assert "--json" in words or b"?" in output


def test_a_password_in_a_setting_is_not_printed(run: Run):
    pytest.importorskip("redis", reason="redis is not installed")
    for url in ("redis://:SECRET@127.0.0.1:1/0", "redis://admin:SE/SECRET@127.0.0.1:1/0", "rediss://:SECRET@h:x/0"):
        code, _, error = run("classify", FLOWER, "--labels", NAMES, "--set", f"sessions.store={url}")
        assert code == 2 and error.count("\n") == 1 and "SECRET" not in error and "state store" in error
    settings = load({"sessions.store": "redis://:SECRET@h", "tracing.endpoint": "http://u:SECRET@h"})
    assert "SECRET" not in f"{settings!r} {settings}" and settings.sessions.store == "redis://:SECRET@h"


def test_parameters_may_be_written_as_in_python():
    assert build(strategies, "zero", ["compat=True", "views=8"]) == build(
        strategies, "zero", ["compat=true", "views=8.0"]
    )


def test_measuring_begins_only_if_its_file_can_be_written(run: Run):
    code, lines, error = run("measure", "--out", "nowhere/peaks.jsonl")
    assert (code, lines) == (2, [])
    assert error == "tta-service: --out: nowhere/peaks.jsonl is no file that can be written\n"


@pytest.mark.slow
def test_tuning_without_time_says_so(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    code, lines, error = run("tune", "--seconds", "1")
    assert (code, lines) == (1, [])
    assert "tta-service: nothing could be measured within 1 s" in error


def test_tuning_takes_no_runtime_that_there_is_not(run: Run):
    code, lines, error = run("tune", "--runtime", "nope")
    assert (code, lines) == (2, []) and "--runtime: model.runtime:" in error


def test_a_misspelt_variable_is_reported(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TTA_SEVER__PORT", "1")
    assert "no setting answers to the variable TTA_SEVER__PORT" in run("serve", "--port", "-1")[2]


def test_answers_are_those_of_the_service(run: Run):
    mine = json.loads(run("classify", FLOWER, "--labels", NAMES, "--json", "--strategy=mta", "--param=views=6")[1][0])

    async def ask() -> pb.ClassifyResponse:
        settings = load({"server.port": 0, "metrics.enabled": False, "batch.max_rows": 16, "lanes.cores": 1})
        async with Application(settings) as service, grpc.aio.insecure_channel(service.address) as channel:
            labels = pb.Labels(label_set=pb.LabelSet(names=NAMES.split(",")))
            asked = pb.ClassifyRequest(image=pb.Image(encoded=FLOWER.read_bytes()), labels=labels)
            asked.options.strategy.name = "mta"
            asked.options.strategy.parameters["views"] = 6
            return await AdaptationServiceStub(channel).Classify(asked)

    theirs = asyncio.run(ask())
    assert mine["strategy"]["parameters"] == dict(theirs.strategy.parameters)
    assert mine["views"] == theirs.views == 6
    for scores, messages in ((mine["top"], theirs.top), (mine["zero_shot"], theirs.zero_shot)):
        assert [score["label"] for score in scores] == [message.label for message in messages]
        assert [score["score"] for score in scores] == pytest.approx([m.score for m in messages], abs=1e-4)


def test_files_are_one_session_and_a_bad_one_costs_only_itself(run: Run, tmp_path: Path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(FLOWER.read_bytes()[:2000])
    files = (FLOWER, broken, tmp_path / "none.jpg", FLOWER)
    labels = tmp_path / "labels.txt"
    labels.write_text("flower\ntemple\n\ncat\n")
    code, lines, error = run("classify", *files, "--labels", f"@{labels}", "--strategy", "tda")
    assert code == 2
    assert [Path(line.split("\t")[0]) for line in lines] == [FLOWER, FLOWER]
    first, second = (float(line.split("\t")[2]) for line in lines)
    assert second != first  # TDA has seen this very image before
    lines = sorted(error.splitlines())  # the file that is not there is found first
    assert len(lines) == 2
    assert lines[0].startswith(f"tta-service: {broken}: ")
    assert lines[1] == f"tta-service: {tmp_path / 'none.jpg'}: No such file or directory"


def test_words_that_the_text_tower_never_saw_are_reported_once(run: Run):
    code, lines, error = run("classify", FLOWER, FLOWER, "--labels", "flower,qzxwv", "--strategy", "zero_shot")
    assert (code, len(lines)) == (0, 2)
    assert error == "tta-service: the text tower was never taught: qzxwv\n"


@pytest.mark.slow
def test_classes_of_one_name_differ_by_their_index(run: Run):
    arguments = ("classify", FLOWER, "--labels", "temple,flower,cat,flower", "--strategy", "zero_shot")
    assert "names 1 and 3 are both 'flower'" in run(*arguments)[2]
    answer = json.loads(run(*arguments, "--allow-duplicates", "--json")[1][0])
    assert (answer["label"], answer["index"]) == ("flower", 1)
    assert sorted((score["index"], score["label"]) for score in answer["top"]) == [
        (0, "temple"), (1, "flower"), (2, "cat"), (3, "flower")
    ]  # fmt: skip


def test_plain_lines_have_the_index_where_the_name_is_not_enough(capsys: pytest.CaptureFixture[str]):
    moved = make_report(torch.tensor([1.0, 0.0, 2.0]))
    labels = LabelSet(("crane", "cat", "crane"), allow_duplicates=True)
    with open_output(False) as show:
        show(replace(moved, request=replace(moved.request, labels=labels)))
        show(moved)
    assert [line.split("\t")[1:4:2] for line in capsys.readouterr().out.splitlines()] == [
        ["crane #2", "crane #0 0.665"], ["thing 2", "thing 0 0.665"]
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_can_be_read_on_every_terminal(run: Run, name: str):
    """click writes UTF-8 to a terminal that says ASCII."""
    code, lines, _ = run(*filter(None, [name]), "--help")
    assert code == 0 and "\n".join(lines).isascii()


def test_the_list_of_commands_the_version_and_completion_need_no_torch(tmp_path: Path):
    script = "import sys; from tta_service.cli import main\ntry: main()\nfinally: print('torch' in sys.modules)"
    completing = {"_TTA_SERVICE_COMPLETE": "complete_bash", "COMP_WORDS": "tta-service cla", "COMP_CWORD": "1"}
    for arguments, shell, text in (
        ("--help", {}, "classify"),
        ("--version", {}, "tta-service"),
        ("", completing, "classify"),
    ):
        command = [sys.executable, "-c", script, *arguments.split()]
        output = subprocess.run(command, env=os.environ | shell, capture_output=True, text=True, check=True).stdout
        assert text in output and output.endswith("False\n")


def test_options_of_a_command_are_completed(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("_TTA_SERVICE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "tta-service classify --allow")
    monkeypatch.setenv("COMP_CWORD", "2")
    assert run()[:2] == (0, ["--allow-duplicates"])
