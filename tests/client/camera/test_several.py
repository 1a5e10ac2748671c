"""Several cameras in one process: their names, the file that names them and changes, their rows and their ends."""

from __future__ import annotations

import io
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from tta_client.camera.cameras import Camera, Cameras
from tta_client.camera.cli import main
from tta_client.camera.command import parse_command
from tta_client.camera.results import ResultCounter
from tta_client.camera.screens import Table
from tta_client.errors import make_refusal
from tta_client.types.answers import FrameFailure

from tests.patience import until

LABELS = "--labels", "cat,dog,bird"


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Two folders of files whose bytes the peer counts."""
    made = [tmp_path / "gate", tmp_path / "yard"]
    for folder, contents in zip(made, ((b"x", b"xx"), (b"xxx", b"bad", b"x"))):
        folder.mkdir()
        for number, content in enumerate(contents):
            (folder / f"{number}.jpg").write_bytes(content)
    return made


def write(file: Path, *tables: dict[str, Any]) -> Path:
    lines = list[str]()
    for table in tables:
        lines += ["[[camera]]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    file.with_suffix(".part").write_text("\n".join(lines))
    file.with_suffix(".part").replace(file)
    return file


def test_each_source_has_its_name_its_answers_and_its_summary(address: str, folders: list[Path], capsys: Any) -> None:
    assert main([*map(str, folders), *LABELS, "--server", address, "--json"]) == 1  # one picture is bad
    lines = list(map(json.loads, capsys.readouterr().out.splitlines()))
    summaries = {one["camera"]: one["summary"] for one in lines if "summary" in one}
    frames = {name: [one["frame"] for one in lines if one["camera"] == name and "frame" in one] for name in summaries}
    assert frames == {"gate": [1, 2], "yard": [1, 2, 3]}
    assert {name: (one["answers"], one["failures"]) for name, one in summaries.items()} == {
        "gate": (2, 0),
        "yard": (2, 1),
    }


def test_lines_and_exit_code_of_cameras_that_are_all_answered(address: str, folders: list[Path], capsys: Any) -> None:
    (folders[1] / "1.jpg").unlink()
    assert main([*map(str, folders), *LABELS, "--server", address]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines} == {"gate", "yard"}
    assert sum(" answers to 2 sent" in line for line in lines) == 2


def test_one_camera_that_fails_stops_no_other(address: str, folders: list[Path], capsys: Any) -> None:
    words = [str(folders[0]), "nowhere/*.jpg", *LABELS, "--server", address, "--json", "--no-reconnect"]
    assert main(words) == 1
    lines = list(map(json.loads, capsys.readouterr().out.splitlines()))
    answers = {one["camera"]: one["summary"]["answers"] for one in lines if "summary" in one}
    assert answers["gate"] == 2 and sorted(answers.values()) == [0, 2]


def test_a_file_names_cameras_with_options_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PASSWORD", "p4ss")
    file = write(
        tmp_path / "cameras.toml",
        {
            "name": "gate",
            "url": "rtsp://me:${PASSWORD}@gate/1",
            "strategy": "tda",
            "param": ["views=4"],
            "sink": ["jsonl:events.jsonl", "webhook:http://hook/#token=${PASSWORD}"],
            "motion": 0.01,
        },
        {
            "name": "yard",
            "url": "http://yard/cam.mjpg",
            "labels": ["red van", "person"],
            "session": "s-2",
            "live": True,
        },
    )
    cameras = parse_command(["--sources", str(file), *LABELS, "--frames", "5"]).cameras
    gate, yard = cameras["gate"].arguments, cameras["yard"].arguments
    assert (gate.session, yard.session) == ("gate", "s-2")
    assert "p4ss" in str(getattr(gate.source, "url", gate.source)) and gate.gate.motion == 0.01
    assert gate.sinks == ("jsonl:events.jsonl", "webhook:http://hook/#token=p4ss")
    assert (gate.labels.names, yard.labels.names) == (("cat", "dog", "bird"), ("red van", "person"))
    assert (gate.strategies[0].name, gate.strategies[0].parameters) == ("tda", {"views": 4})
    assert (gate.frames, yard.frames, yard.strategies) == (5, 5, ())


def test_positional_cameras_share_a_name_s_beginning_and_no_memory(folders: list[Path]) -> None:
    other = folders[0].parent / "other" / "gate"
    other.mkdir(parents=True)
    cameras = parse_command([str(folders[0]), str(other), str(folders[1]), *LABELS, "--session", "s"]).cameras
    assert {name: one.arguments.session for name, one in cameras.items()} == {
        "gate": "s-gate",
        "gate-2": "s-gate-2",
        "yard": "s-yard",
    }


@pytest.mark.parametrize(
    ("sources", "names"),
    [
        (["a", "a", "a"], ["a", "a-2", "a-3"]),
        (["a", "a-3", "a"], ["a", "a-3", "a-2"]),
        (["a", "a-2", "a"], ["a", "a-2", "a-3"]),
    ],
)
def test_positional_cameras_have_different_names(sources: list[str], names: list[str]) -> None:
    urls = [f"rtsp://{number}/{source}" for number, source in enumerate(sources)]
    assert list(parse_command([*urls, *LABELS]).cameras) == names


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[[camera]]\nurl = '0'", "camera 1 has no name"),
        ("[[camera]]\nname = 'a'", "camera a: url is needed"),
        ("[[camera]]\nname = 'a'\nurl = '0'\n[[camera]]\nname = 'a'\nurl = '1'", "two cameras are called a"),
        ("[[camera]]\nname = 'a'\nurl = '0'\ncolour = 1", "camera a: unrecognized arguments: --colour=1"),
        ("[[camera]]\nname = 'a'\nurl = '0'\nmotion = -1", "camera a: argument --motion: must be a number"),
        ("[[camera]]\nname = 'a'\nurl = '0'\njson = true", "camera a: json is said once, for all cameras"),
        ("[[camera]]\nname = 'a'\nurl = 'rtsp://${NOSUCH}'", "there is no environment variable NOSUCH"),
        ("[[camera]]\nname = 'a'\nurl = '0'\nsink = ['jsonl:${NOSUCH}']", "there is no environment variable NOSUCH"),
        ("[[camera]]\nname = 'a'\nurl = '0'\nlabels = ['a,b']", "names with commas go into a file"),
        ("[[camera]]\nname = 'a'\nurl = 'rtsp://me:secret@x'\nfps = 'fast'", "camera a: argument --fps"),
        ("camera = 1", "cameras are tables"),
        ("", "names no camera"),
        ("[", "Invalid"),
    ],
)
def test_a_wrong_file_is_refused_and_no_secret_is_told(tmp_path: Path, text: str, sentence: str, capsys: Any) -> None:
    (tmp_path / "cameras.toml").write_text(text)
    with pytest.raises(SystemExit) as refused:
        parse_command(["--sources", str(tmp_path / "cameras.toml"), *LABELS])
    said = " ".join(capsys.readouterr().err.split())
    assert refused.value.code == 2 and sentence in said and "secret" not in said


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, capsys: Any) -> None:
    for file, why in ((tmp_path / "none.toml", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(SystemExit):
            parse_command(["--sources", str(file), *LABELS])
        said = " ".join(capsys.readouterr().err.split())
        assert f"--sources: cannot read {file}: {why}" in said and "Errno" not in said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "a SOURCE is needed"),
        (("0", "1", "--teach", "--session", "a"), "--teach takes one camera"),
        (("0", "1", "--encode-on-device", "--strategy", "tda"), "--encode-on-device takes one camera"),
    ],
)
def test_what_takes_one_camera_says_so(words: tuple[str, ...], sentence: str, capsys: Any) -> None:
    with pytest.raises(SystemExit):
        parse_command([*words, *LABELS])
    assert sentence in capsys.readouterr().err


@pytest.mark.slow
def test_cameras_come_and_go_with_the_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each camera "runs" until it is told to end."""
    file, began, ended, finish = tmp_path / "cameras.toml", list[str](), list[str](), threading.Event()

    def table(name: str, **more: Any) -> dict[str, Any]:
        return {"name": name, "url": "virtual:frames=9", **more}

    def run(camera: Camera) -> None:
        began.append(camera.name)
        until(lambda: camera.stopping.is_set() or finish.is_set())

    write(file, table("gate"), table("yard"))
    cameras = Cameras(parse_command(["--sources", str(file)]), run, lambda camera: ended.append(camera.name))
    done = threading.Thread(target=cameras.run)
    done.start()
    until(lambda: sorted(began) == ["gate", "yard"])
    write(file, table("gate"), table("yard", motion=0.5), table("door"))
    until(lambda: sorted(began) == ["door", "gate", "yard", "yard"])
    assert ended == ["yard"]  # it begins anew, and gate goes on
    file.write_text("[[camera]]")
    until(lambda: "go on as before" in caplog.text)
    file.unlink()
    until(lambda: f"cannot read {file}: No such file or directory; the cameras go on as before" in caplog.text)
    write(file, table("door"))
    until(lambda: sorted(ended) == ["gate", "yard", "yard"])
    write(file, table("door", frames=1, url="virtual:frames=1"))
    until(lambda: ended.count("door") == 1)
    finish.set()
    done.join(60)
    assert not done.is_alive()


def test_the_table_has_a_row_for_each_camera() -> None:
    pytest.importorskip("rich", reason="the table needs rich (extra camera)")
    out = io.StringIO()
    failure, counter = FrameFailure(7, make_refusal("bad", ""), 0.25), ResultCounter()
    with Table(out) as table:
        for camera in ("yard", "gate", "yard"):
            table.show(failure, counter, camera)
        table.end(counter, "yard")
        table.end(counter)
    shown = out.getvalue()
    assert (shown.count("gate"), shown.count("yard")) == (1, 1)
    assert "bad" in shown and "yard: 0 answers" in shown
