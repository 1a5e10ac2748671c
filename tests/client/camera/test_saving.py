"""What is kept of what was seen: an annotated video, pictures with their answers; and how far it is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tta_client import Frame
from tta_client.camera import open_source
from tta_client.camera.annotate import annotate
from tta_client.camera.cli import main
from tta_client.camera.command import parse_command
from tta_client.camera.progress import Progress
from tta_client.camera.saving import FrameSaver, VideoSaver
from tta_client.errors import make_refusal
from tta_client.types.answers import FrameFailure

from tests.client.camera import clips
from tests.client.camera.results import make_answer

av = pytest.importorskip("av", reason="video needs PyAV (extra camera)")
pytest.importorskip("PIL", reason="drawing needs Pillow (extra camera)")
GRAY = np.full((96, 128, 3), 120, np.uint8)
VIEW = {"left": 0.25, "top": 0.125, "width": 0.5, "height": 0.25, "kept": True, "weight": 1.0}


def pictures(file: Path) -> list[tuple[float, np.ndarray]]:
    with av.open(str(file)) as video:
        return [(frame.time, frame.to_ndarray(format="rgb24")) for frame in video.decode(video=0)]


def test_a_folder_that_cannot_be_made_or_written_is_named_with_its_option(tmp_path: Path) -> None:
    (file := tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=f"^--save-frames {file}: "):
        FrameSaver(str(file), ("all",), "gate", smoothed=False)
    saver = FrameSaver(str(tmp_path / "found"), ("all",), "gate", smoothed=False)
    (tmp_path / "found" / "cat").write_text("")
    with pytest.raises(OSError, match=f"^--save-frames {tmp_path}/found: "):
        saver.take(make_answer("cat"), Frame(1, GRAY))


def test_a_caption_covers_the_lower_edge_alone() -> None:
    drawn = annotate(GRAY, make_answer("cat", score=0.5))
    assert drawn.shape == GRAY.shape and (GRAY == 120).all()
    assert (drawn[:60] == 120).all() and (drawn[80:] != 120).mean() > 0.9


def test_the_bar_is_as_long_as_the_confidence_and_tells_what_is_deferred() -> None:
    def bar(decision: str, score: float) -> tuple[int, int, int]:
        """Its length in pixels, red and green of its colour."""
        drawn = annotate(GRAY, make_answer("cat", decision, score=score)).astype(int)
        row = next(row for row in drawn if (row != 120).any())
        coloured = row[:, 1] - row[:, 2] > 60
        return int(coloured.sum()), *map(int, row[0, :2])

    (long, red, green), (short, red_deferred, _) = bar("answer", 0.75), bar("defer", 0.25)
    assert abs(long - 96) < 3 and abs(short - 32) < 3 and red < green < 230 < red_deferred


def test_crops_of_kept_views_are_outlined() -> None:
    result = make_answer("cat")
    plain = {**VIEW, "left": 0.0, "top": 0.0, "width": 1.0, "height": 1.0}
    views = [plain, VIEW, {**VIEW, "left": 0.6, "kept": False}]
    drawn = annotate(GRAY, replace(result, answer=replace(result.answer, explanation={"views": views})))
    changed = (drawn[:50] != 120).any(-1)
    assert (
        changed[12, 32:97].all() and changed[12:37, 32].all() and not changed[:11].any() and not changed[:, 98:].any()
    )


@pytest.mark.parametrize("name", ["Kätzchen – 猫", "a\nb", "x" * 500, ""])
def test_any_name_and_any_size_can_be_drawn(name: str) -> None:
    for shape in ((1, 1, 3), (8, 400, 3), (400, 8, 3)):
        assert annotate(np.zeros(shape, np.uint8), make_answer(name)).shape == shape


def test_a_video_has_the_times_of_the_recording_and_an_even_size(tmp_path: Path) -> None:
    saver = VideoSaver(str(tmp_path / "out.mp4"))
    times = [0.2, 0.24, 0.5, 3.0]
    for number, time in enumerate(times, 1):
        picture = np.full((97 + number % 2, 129, 3), 60 * number, np.uint8)
        saver.take(make_answer("cat", frame=number), Frame(number, picture, position=time))
    saver.take(FrameFailure(5, make_refusal("bad", "image"), 0.1), Frame(5, GRAY, position=4.0))
    saver.close()
    found = pictures(tmp_path / "out.mp4")
    assert [round(time, 3) for time, _ in found] == [0.0, 0.04, 0.3, 2.8, 3.8]
    assert {shape.shape for _, shape in found} == {(98, 128, 3)}
    assert [round(float(shape[20:40, 30:60].mean()), -1) for _, shape in found] == [60, 120, 180, 240, 120]


def test_a_camera_s_video_has_the_times_of_capture(tmp_path: Path) -> None:
    saver = VideoSaver(str(tmp_path / "out.mp4"))
    for number, captured in enumerate((100.0, 100.5, 100.5), 1):
        saver.take(make_answer("cat", frame=number), Frame(number, GRAY, captured))
    saver.close()
    assert [round(time, 2) for time, _ in pictures(tmp_path / "out.mp4")] == [0.0, 0.5, 0.5]


def test_a_video_of_a_process_that_was_killed_can_be_played(tmp_path: Path) -> None:
    saver = VideoSaver(str(tmp_path / "out.mp4"))
    for number in range(1, 101):
        picture = np.full((32, 32, 3), number, np.uint8)
        saver.take(make_answer("cat", frame=number), Frame(number, picture, position=number / 5))
    (tmp_path / "copy.mp4").write_bytes((tmp_path / "out.mp4").read_bytes())  # as it lies there now
    saver.close()
    assert 40 < len(pictures(tmp_path / "copy.mp4")) < len(pictures(tmp_path / "out.mp4")) == 100


def test_the_command_saves_what_it_was_told(address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip, frames = clips.moving(tmp_path / "clip.mp4", "mpeg4", frames=12), tmp_path / "frames"
    words = [str(clip), "--server", address, "--labels", "cat,dog,bird", "--save", str(tmp_path / "out.mp4")]
    assert main([*words, "--save-frames", str(frames), "--when", "all", "--name", "gate"]) == 0
    times = [round(time, 2) for time, _ in pictures(tmp_path / "out.mp4")]
    assert times == [round(number / 10, 2) for number in range(12)]
    found = sorted(frames.glob("*/*.jpg"))
    assert len(found) == 12 and {path.parent.name for path in found} <= {"cat", "dog", "bird"}
    for path in found:
        entry = json.loads(path.with_suffix(".json").read_text())
        assert (entry["label"], entry["camera"]) == (path.parent.name, "gate")
        assert path.name.endswith(f"-{entry['frame']}.jpg")
    assert "frame 12 of 12, 100%" in capsys.readouterr().err


def test_what_cannot_be_written_costs_no_answer(address: str, tmp_path: Path, capsys) -> None:
    clip = clips.mp4(tmp_path / "clip.mp4")
    words = [str(clip), "--server", address, "--labels", "cat,dog,bird", "--json", "--name", "gate"]
    assert main([*words, "--save-frames", str(tmp_path / "frames"), "--when", "all"]) == 0
    answers = len(capsys.readouterr().out.splitlines())
    for label in ("cat", "dog", "bird"):
        (tmp_path / "file").mkdir(exist_ok=True)
        (tmp_path / "file" / label).write_text("no folder")
    assert main([*words, "--save-frames", str(tmp_path / "file"), "--when", "all"]) == 1
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == answers and "File exists" in printed.err
    assert main([*words, "--save", str(tmp_path / "no" / "out.mp4")]) == 1
    assert f"--save {tmp_path}/no/out.mp4: No such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("when", "kept"), [("changed", [1, 3, 5]), ("deferred", [4]), ("asked", [2]), ("asked,deferred", [2, 4])]
)
def test_when_says_which_pictures_are_kept(tmp_path: Path, when: str, kept: list[int]) -> None:
    saver = FrameSaver(str(tmp_path), tuple(when.split(",")), "gate", smoothed=False)
    steps = [("a/b", "answer"), ("a/b", "answer"), ("dog", "answer"), ("dog", "defer"), ("dog", "answer")]
    data = clips.jpeg(GRAY)
    for number, (label, decision) in enumerate(steps, 1):
        result = make_answer(label, decision, frame=number, asked=number == 2)
        saver.take(result, Frame(number, data, scene="x"))
    found = {int(path.stem.rpartition("-")[2]): path for path in tmp_path.rglob("*.jpg")}
    assert sorted(found) == kept and all(path.read_bytes() == data for path in found.values())
    assert {path.parent.name for path in found.values()} <= {"a_b", "dog"}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--when", "later"], "--when is of changed, deferred, asked, all, not 'later'"),
        (["--show", "--show-port", "99999"], "--show-port"),
    ],
)
def test_wrong_words_are_refused(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_command(["0", "--labels", "a,b", *words])
    assert sentence in capsys.readouterr().err


def test_several_sources_have_a_video_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cameras = parse_command(["0", "1", "--labels", "a,b", "--save", "out.mp4"]).cameras
    assert [one.arguments.save for one in cameras.values()] == ["out-0.mp4", "out-1.mp4"]
    file = tmp_path / "cameras.toml"
    file.write_text("".join(f"[[camera]]\nname = '{n}'\nurl = '{n}'\nsave = 'same.mp4'\n" for n in (0, 1)))
    with pytest.raises(SystemExit):
        parse_command(["--sources", str(file), "--labels", "a,b"])
    assert "two cameras write to same.mp4" in capsys.readouterr().err


def test_progress_knows_the_number_of_frames(tmp_path: Path) -> None:
    source = open_source(str(clips.mp4(tmp_path / "clip.mp4")))
    progress = Progress(source, 0)
    for _ in range(11):
        progress.add()
    assert progress.line() == "frame 11 of 11, 100%, 0:00 left" == progress.due_line()
    assert Progress(source, 4).line() == "frame 0 of 4, 0%"
    assert Progress(open_source("rtsp://gate/1"), 0).lines() == []
    assert Progress(open_source("virtual:frames=7"), 0).line() == "frame 0 of 7, 0%"


def test_an_ffmpeg_without_codecs_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tta_client.camera.saving.CODECS", ("nosuch",))
    saver = VideoSaver(str(tmp_path / "a.mp4"))
    with pytest.raises(OSError, match=r"--save .*a\.mp4: FFmpeg has none of nosuch here"):
        saver.take(make_answer("cat"), Frame(1, np.zeros((24, 32, 3), np.uint8)))
