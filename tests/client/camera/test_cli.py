"""tta-camera against a peer: its output, its exit codes, the command lines that it refuses."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import grpc
import numpy as np
import pytest
from tta_client import Reconnect
from tta_client.camera.cli import main
from tta_client.camera.command import parse_arguments, parse_command
from tta_client.camera.parser import EPILOG
from tta_client.camera.screens import json_line
from tta_client.camera.video import VideoSource
from tta_client.types.options import Choice

from tests.client.camera.clips import jpeg, photographed
from tests.client.peer import Peer
from tests.encodings import ENCODINGS
from tests.patience import PATIENCE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files whose bytes the peer counts. They are no pictures, so the client sends them unchanged."""
    for number, content in enumerate((b"x", b"bad", b"xx", b"xxx"), 1):
        (tmp_path / f"{number}.jpg").write_bytes(content)
    return tmp_path


def run(address: str, *words: str) -> int:
    return main([*words, "--server", address, "--labels", "cat, dog,bird"])


def test_json_lines_and_a_summary(address: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(address, str(folder), "--strategy", "mta", "--param", "views=16", "--json") == 1
    *results, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert [r["frame"] for r in results] == [1, 2, 3, 4]
    assert [r.get("label") for r in results] == ["dog", None, "bird", "cat"]
    assert results[1]["error"] == {"code": "INVALID_ARGUMENT", "field": "image", "sentence": "the image is no image"}
    assert results[0]["strategy"] == "mta" and results[0]["parameters"] == {"views": 16}
    assert results[0]["scene"] == "1.jpg" and results[0]["age"] > 0
    assert (last["summary"]["answers"], last["summary"]["failures"], last["summary"]["flips"]) == (3, 1, 2)


def test_plain_lines_without_a_terminal(address: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "2.jpg").unlink()
    assert run(address, f"{folder}/*.jpg", "--strategy", "tda") == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r" +1  dog 0.75  zero-shot cat  tda  \d+ ms  \[1.jpg\]", lines[0])
    assert re.match(r"3 answers to 3 sent, 0 failures, 0 skipped, 0 dropped; age p50 \d+ ms.*; 2 flips", lines[-1])


def test_a_table_on_a_terminal(address: str, folder: Path) -> None:
    pytest.importorskip("rich", reason="the table needs rich (extra camera)")
    pty = pytest.importorskip("pty", reason="needs a terminal")
    ours, theirs = pty.openpty()
    words = [str(folder), "--server", address, "--labels", "cat,dog,bird"]
    command = [sys.executable, "-m", "tta_client.camera.cli", *words]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.PIPE, env=environment) as camera:
        os.close(theirs)
        shown = read_all(ours)
        assert camera.stderr and not camera.stderr.read()
    assert camera.returncode == 1
    assert all(
        word in shown
        for word in ("zero-shot", "strategy", "age", "the image is no image", "3 answers to 4 sent, 1 failures")
    )


def read_all(terminal: int) -> str:
    """Reads up to the end; a terminal buffers little, so the writer would block."""
    chunks = list[bytes]()
    with suppress(OSError), os.fdopen(terminal, "rb", 0) as reading:  # raised by Linux when the other end is closed
        while chunk := reading.read(1 << 16):
            chunks.append(chunk)
    return b"".join(chunks).decode()


@photographed
def test_several_strategies_take_the_frames_in_turn(
    address: str, peer: Peer, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("virtual:frames=9,width=32,height=24", "--strategy", "zero_shot,zero,mta", "--param", "zero.views=8")
    assert run(address, *words, "--frames", "5", "--json") == 0
    results = [json.loads(line) for line in capsys.readouterr().out.splitlines()][:-1]
    assert [r["strategy"] for r in results] == ["zero_shot", "zero", "mta", "zero_shot", "zero"]
    assert [r["parameters"] for r in results] == [{}, {"views": 8}, {}, {}, {"views": 8}]
    assert all(f.image.encoded[:2] == b"\xff\xd8" for f in peer.frames)


@photographed
def test_policies_follow_the_source(address: str, peer: Peer, folder: Path) -> None:
    (folder / "2.jpg").unlink()
    run(address, str(folder))
    run(address, "virtual:frames=2,fps=100,width=32,height=24", "--session", "door")
    run(address, str(folder), "--policy", "latest")
    run(address, str(folder), "--policy", "drop_newest", "--buffer", "3")
    assert [o.policy for o in peer.opened] == [4, 1, 1, 3] and peer.opened[1].session_id == "door"
    assert [o.buffer for o in peer.opened] == [0, 0, 0, 3]


def test_an_error_of_the_stream_is_printed_on_stderr(address: str, folder: Path, capsys) -> None:
    (folder / "2.jpg").write_bytes(b"end")
    assert run(address, str(folder)) == 1
    assert "session taken over" in capsys.readouterr().err


def test_an_absent_service_or_source_is_reported_on_stderr(address: str, tmp_path: Path, capsys) -> None:
    (tmp_path / "1.jpg").write_bytes(b"x")
    assert run("127.0.0.1:1", str(tmp_path)) == 1
    assert "UNAVAILABLE" in capsys.readouterr().err
    (tmp_path / "1.jpg").unlink()
    assert run(address, str(tmp_path)) == 1
    assert "no pictures" in capsys.readouterr().err


@photographed
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_stop_is_no_failure(address: str, sign: signal.Signals) -> None:
    words = ["virtual:frames=0,fps=50,width=32,height=24", "--server", address, "--labels", "a,b", "--json"]
    camera = subprocess.Popen([sys.executable, "-m", "tta_client.camera.cli", *words], stdout=-1, stderr=-1, text=True)
    assert camera.stdout is not None and "frame" in json.loads(camera.stdout.readline())
    camera.send_signal(sign)
    out, err = camera.communicate(timeout=PATIENCE)
    assert camera.returncode == 0 and not err
    assert json.loads(out.splitlines()[-1])["summary"]["failures"] == 0


WITH_BUSY_CODEC = """
import threading
import numpy
from tta_client.camera.cli import command
from tta_client.camera.pictures import encode_jpeg

def encode():
    while True:
        encode_jpeg(picture, 0, 90)

picture = numpy.zeros((1000, 2000, 3), numpy.uint8)
threading.Thread(target=encode, daemon=True).start()
command()
"""


def test_a_busy_codec_does_not_abort_the_exit(address: str, folder: Path) -> None:
    """The thread of a camera may be in a codec when the last answer arrives."""
    pytest.importorskip("cv2", reason="needs OpenCV (extra camera)")
    (folder / "2.jpg").unlink()
    words = [sys.executable, "-c", WITH_BUSY_CODEC, str(folder), "--server", address, "--labels", "cat,dog,bird"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "") and "3 answers to 3 sent" in done.stdout


def test_a_lost_service_is_connected_to_again(address: str, peer: Peer, folder: Path, capsys, caplog) -> None:
    (folder / "2.jpg").write_bytes(b"trouble")
    peer.troubles = [grpc.StatusCode.CANCELLED]
    assert run(address, str(folder), "--session", "door", "--max-pause", "0.01", "--json") == 0
    *results, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert [r["frame"] for r in results] == [1, 2, 3, 4]
    assert last["summary"]["reconnects"] == {"service": 1} and last["summary"]["sent"] >= 5
    assert "the service is lost" in caplog.text and "the service is back: session door" in caplog.text
    peer.troubles = [grpc.StatusCode.CANCELLED]
    assert run(address, str(folder), "--no-reconnect") == 1
    assert "CANCELLED" in capsys.readouterr().err


def test_the_gate_holds_back_still_pictures(address: str, peer: Peer, tmp_path: Path, capsys) -> None:
    dark, bright = (jpeg(np.full((48, 64, 3), gray, np.uint8)) for gray in (40, 200))
    for number, content in enumerate((dark, dark, bright, bright, bright, dark), 1):
        (tmp_path / f"{number}.jpg").write_bytes(content)
    assert run(address, str(tmp_path), "--motion", "0.01", "--json") == 0
    *results, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert [r["frame"] for r in results] == [1, 3, 6] and len(peer.frames) == 3
    assert last["summary"]["skipped"] == {"still": 3} and last["summary"]["sent"] == 3
    assert run(address, str(tmp_path), "--min-interval", "3600") == 0
    assert "1 answers to 1 sent, 0 failures, 5 skipped (5 interval), 0 dropped" in capsys.readouterr().out


@pytest.mark.slow
@photographed
def test_the_service_keeps_the_frame_budget(service: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An hour suffices. A budget too short for any service fails each frame, and the stream goes on."""
    words = ["virtual:frames=3,width=64,height=48", "--server", service, "--labels", "cat,dog", "--strategy", "mean"]
    words += ["--param", "views=4", "--policy", "block", "--json"]
    assert main([*words, "--frame-budget", "3600"]) == 0
    *results, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert [(r["frame"], r["degraded"]) for r in results] == [(1, None), (2, None), (3, None)]
    assert last["summary"]["answers"] == 3
    assert main([*words, "--frame-budget", "1e-6"]) == 1
    *results, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert [(r["frame"], r["error"]["code"]) for r in results] == [(n, "DEADLINE_EXCEEDED") for n in (1, 2, 3)]
    assert (last["summary"]["answers"], last["summary"]["failures"]) == (0, 3)


def test_options_of_every_part() -> None:
    live = parse_arguments(
        ["rtsp://door/1", "--labels", "a,b", "--fps", "4", "--ffmpeg", "rtsp_transport=udp", "--unpaced"]
    )
    assert isinstance(live.source, VideoSource) and live.source.options == {"rtsp_transport": "udp"}
    assert live.fps == 0 and live.gate.shortest == 0.25 and not live.paced
    assert (live.reconnect, live.reopen) == (Reconnect(stall=60.0), Reconnect(stall=20.0))
    words = ["--no-reconnect", "--min-interval", "2", "--motion", "0.1", "--frame-budget", "0.5"]
    other = parse_arguments(["0", "--labels", "a,b", *words])
    assert other.reconnect is None and other.reopen is None and other.frame_budget == 0.5
    assert (other.gate.shortest, other.gate.motion) == (2.0, 0.1) and live.gate.motion == 0
    waiting = parse_arguments(
        ["0", "--labels", "a,b", "--wait", "--stall", "5", "--source-stall", "3", "--max-pause", "9"]
    )
    assert waiting.reconnect == Reconnect(longest=9.0, stall=5.0, from_the_start=True)
    assert waiting.reopen == Reconnect(longest=9.0, stall=3.0, from_the_start=True)


@pytest.mark.parametrize("value", ["true", "1e6", "null", '"x"', "a=b"])
def test_options_of_ffmpeg_arrive_as_they_are_written(value: str) -> None:
    source = parse_arguments(["rtsp://door/1", "--labels", "a", "--ffmpeg", f"name={value}"]).source
    assert isinstance(source, VideoSource) and source.options == {"name": value}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["0", "--labels", "a", "--motion", "2"], "motion"),
        (["0", "--labels", "a", "--stall", "-1"], "--stall"),
        (["0", "--labels", "a", "--ffmpeg", "udp"], "--ffmpeg: 'udp' is not K=V"),
        (["nowhere"], "no folder"),
        (["0"], "--labels is needed"),
        (["0", "--labels", "@nowhere"], "nowhere"),
        (["virtual:", "--param", "views=1"], "belongs to no --strategy"),
        (["virtual:", "--strategy", "mta", "--param", "views"], "--param: 'views' is not K=V"),
        (["virtual:", "--reducer", "tome", "--reducer-param", "rate"], "--reducer-param: 'rate' is not K=V"),
        (["virtual:", "--reducer-param", "rate=8"], "needs a --reducer"),
        (["virtual:", "--policy", "sometimes"], "invalid choice"),
        (["virtual:", "--frames", "nan"], "argument --frames: must be a whole number, and not negative"),
        (["virtual:", "--quality", "-1"], "argument --quality: must be a whole number, and not negative"),
        (["virtual:", "--fps", "x"], "argument --fps: must be a number, and not negative"),
    ],
)
def test_an_invalid_command_line_is_refused(words: list[str], sentence: str, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2 and sentence in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_labels_are_read_in_every_encoding(tmp_path: Path, encoding: str, end: str) -> None:
    (tmp_path / "names").write_bytes(ENCODINGS[encoding](end.join([" Tür ", "", "cat, gray", "猫" * 20, ""])))
    arguments = parse_arguments(["0", "--labels", f"@{tmp_path / 'names'}"])
    assert arguments.labels.names == ("Tür", "cat, gray", "猫" * 20)


def test_labels_that_cannot_be_read_are_an_error_that_names_the_file(tmp_path: Path, capsys) -> None:
    (tmp_path / "latin").write_bytes("Tür".encode("latin-1"))
    reasons = {"latin": "it is neither UTF-8 nor UTF-16", "none": "No such file or directory", "": "Is a directory"}
    for name, why in reasons.items():
        with pytest.raises(SystemExit):
            main(["0", "--labels", f"@{tmp_path / name}"])
        assert f"--labels: cannot read {tmp_path / name}: {why}\n" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["0", "--labels", os.fsdecode(b"cat,T\xfcr")])
    assert "--labels: cat,T\\udcfcr is not UTF-8\n" in capsys.readouterr().err


def test_marks_within_a_file_of_labels_are_no_part_of_a_name(tmp_path: Path) -> None:
    parts = ["cat\n", "dog\r\n", "bird"]  # three files, one behind the other
    (tmp_path / "names").write_bytes("".join(f"\ufeff{part}" for part in parts).encode())
    assert parse_arguments(["0", "--labels", f"@{tmp_path / 'names'}"]).labels.names == ("cat", "dog", "bird")


def test_labels_of_a_file_without_names_or_with_one_twice_are_an_error_that_names_the_file(tmp_path, capsys) -> None:
    (tmp_path / "empty").write_text("\n  \n")
    (tmp_path / "twice").write_text("cat\ndog\ncat\n")
    for name, why in {"empty": "holds no names", "twice": "holds 'cat' more than once"}.items():
        with pytest.raises(SystemExit):
            main(["0", "--labels", f"@{tmp_path / name}"])
        assert f"--labels: {tmp_path / name} {why}" in capsys.readouterr().err
    twice = parse_arguments(["0", "--labels", f"@{tmp_path / 'twice'}", "--allow-duplicates"])
    assert twice.labels.names == ("cat", "dog", "cat")


def test_labels_from_a_file_and_typed_parameters(tmp_path: Path) -> None:
    (tmp_path / "names").write_text("cat\n\n red panda \n", encoding="utf-8")
    words = ["0", "--labels", f"@{tmp_path / 'names'}", "--strategy", "x,y", "--param", "a=1", "--param", "y.b=true"]
    arguments = parse_arguments([*words, "--param", "c=soft"])
    assert arguments.labels.names == ("cat", "red panda")
    assert arguments.strategies == (Choice("x", {"a": 1, "c": "soft"}), Choice("y", {"a": 1, "b": True, "c": "soft"}))


@pytest.mark.parametrize(
    ("text", "value"), [("inf", math.inf), ("True", True), ("1" * 5000, "1" * 5000)], ids=["inf", "True", "digits"]
)
def test_parameters_may_have_pythons_spelling(text: str, value: object) -> None:
    [choice] = parse_arguments(["0", "--labels", "a", "--strategy", "x", "--param", f"a={text}"]).strategies
    assert choice.parameters["a"] == value and type(choice.parameters["a"]) is type(value)


def test_a_password_in_a_url_is_printed_nowhere(address: str, tmp_path: Path, capsys, caplog) -> None:
    """Neither for an invalid command line, nor for a camera that cannot be opened."""
    url = "rtsp://admin:SECRET@127.0.0.1:1/door?token=SECRET"
    for words in (
        [url, "--labels", "a", url],
        [url],
        [f"x{url.partition('?')[0]}", "--labels", "a"],
        [url, "--labels", "a", "--ffmpeg", url.partition("?")[0]],
    ):
        with pytest.raises(SystemExit):
            main(words)
        assert "SECRET" not in capsys.readouterr().err
    assert run(address, f"x{url}") == 1
    assert "no pictures" in (error := capsys.readouterr().err) and "SECRET" not in error
    pytest.importorskip("av", reason="a network camera needs PyAV (extra camera)")
    assert run(address, url) == 1
    printed = capsys.readouterr()
    assert "Connection refused" in printed.err and "***@127.0.0.1:1/door" in printed.err
    (tmp_path / "door.url").write_bytes(f"\ufeff{url}\r\n".encode())
    assert run(address, f"@{tmp_path / 'door.url'}") == 1
    texts = [*printed, *capsys.readouterr(), caplog.text, repr(parse_arguments([url, "--labels", "a"]))]
    assert "SECRET" not in "".join(texts) and "***@127.0.0.1:1/door" in texts[3]


def test_the_log_of_a_camera_that_is_waited_for_has_no_password(address: str) -> None:
    """The log contains messages of FFmpeg's too."""
    pytest.importorskip("av", reason="a network camera needs PyAV (extra camera)")
    url = "http://admin:SECRET@127.0.0.1:1/snap?pwd=SECRET"
    words = [sys.executable, "-m", "tta_client.camera.cli", url, "--wait", "--server", address, "--labels", "cat,dog"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as camera:
        assert camera.stderr
        line = camera.stderr.readline()
        command_line = Path(f"/proc/{camera.pid}/cmdline").read_bytes() if sys.platform == "linux" else b""
        camera.send_signal(signal.SIGTERM)
        out, err = camera.communicate(timeout=PATIENCE)
    assert "the camera is lost" in line and "***@127.0.0.1:1/snap?pwd=***" in line
    assert "SECRET" not in line + out + err and b"SECRET" not in command_line


def test_a_folder_with_pictures_that_cannot_be_read(address: str, folder: Path, capsys) -> None:
    """Each fails alone and is named. The JSON is valid whatever the names are."""
    (folder / "2.jpg").unlink()
    (folder / "2.jpg").symlink_to("nowhere")
    (folder / "5.jpg").mkdir()
    Path(os.fsdecode(bytes(folder) + b"/6\xe9.jpg")).symlink_to("nowhere")
    Path(os.fsdecode(bytes(folder) + b"/7\xe9.jpg")).write_bytes(b"xx")
    assert run(address, str(folder), "--json") == 1
    printed = capsys.readouterr().out
    *results, last = map(json.loads, printed.splitlines())
    assert [("label" in r, r.get("error", {}).get("field")) for r in results] == [
        (True, None),
        (False, "frame.image"),
        (True, None),
        (True, None),
        (False, "frame.image"),
        (False, "frame.image"),
        (True, None),
    ]
    for result, name in ((results[1], "2.jpg"), (results[4], "5.jpg"), (results[5], "6\\udce9.jpg")):
        assert name in result["error"]["sentence"] and result["scene"] == name
    assert printed.isascii() and "\\ud" not in printed.replace("\\\\ud", "")  # no half of a surrogate pair
    assert last["summary"]["answers"] == 4
    assert run(address, str(folder)) == 1
    assert "6\\udce9.jpg" in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_an_ascii_terminal_gets_question_marks(address: str, tmp_path: Path, words: list[str]) -> None:
    for name in ("tür.jpg", "kühe.jpg"):
        (tmp_path / name).write_bytes(b"x")
    arguments = [str(tmp_path), "--server", address, "--labels", "Kühe,Türen", *words]
    command = [sys.executable, "-m", "tta_client.camera.cli", *arguments]
    for strict in ({"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}):
        done = subprocess.run(command, capture_output=True, env=os.environ | strict)
        assert (done.returncode, done.stderr) == (0, b"") and done.stdout.isascii()
        if words:
            assert json.loads(done.stdout.splitlines()[0])["label"] in ("Kühe", "Türen")
        else:
            assert b"?" in done.stdout


def test_help_on_an_ascii_terminal() -> None:
    command = [sys.executable, "-m", "tta_client.camera.cli", "--help"]
    done = subprocess.run(command, capture_output=True, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, b"") and b"A,B,?|@FILE" in done.stdout


def test_infinity_and_nan_become_null() -> None:
    line = json_line({"a": math.inf, "b": [-math.inf, math.nan, 1.5], "c": {"d": "caf\udce9"}})
    assert json.loads(line, parse_constant=pytest.fail) == {"a": None, "b": [None, None, 1.5], "c": {"d": "caf\\udce9"}}


def test_the_examples_of_the_help_are_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("paho.mqtt", reason="an example names a broker (extra mqtt)")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shots").mkdir()
    for file, text in {
        "names.txt": "cat\ndog\n",
        "walk.mp4": "",
        "cameras.toml": "[[camera]]\nname='a'\nurl='0'",
    }.items():
        (tmp_path / file).write_text(text)
    examples = [line.split()[1:] for line in EPILOG.splitlines() if line.strip().startswith("tta-camera ")]
    assert len(examples) > 4
    for words in examples:
        assert parse_command(words).cameras
