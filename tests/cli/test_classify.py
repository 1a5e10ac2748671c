"""What `classify` takes, and the file in which it goes on."""

from __future__ import annotations

import base64
import csv
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.datasets import load_sample_images

from tests.cli import conftest
from tests.cli.conftest import RunLines as Run
from tests.client.camera import clips
from tests.telemetry.reports import make_report
from tta_service.cli.inputs import Input, find_inputs, number_inputs
from tta_service.cli.result_file import COLUMNS, open_results
from tta_service.core.errors import BadRequest
from tta_service.core.request import Report

FLOWER = Path(load_sample_images.__code__.co_filename).parent / "images" / "flower.jpg"


@pytest.fixture(name="run")
def run_classify(run: conftest.Run) -> Run:
    """Runs the command: exit code, lines of output, all of the error stream."""
    return conftest.split_lines(lambda *words: run("classify", *words, "--labels", "flower,temple,cat"))


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """A server of the folder `web`."""
    (tmp_path / "web").mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given, directory=str(tmp_path / "web"))

        def log_message(self, *_: object) -> None: ...

    with serve(Handler) as address:
        yield f"http://{address}"


@contextmanager
def serve(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def report(name: str) -> Report:
    made = make_report()
    return replace(made, request=replace(made.request, request_id=name))


def test_folders_and_patterns_are_taken_in_order_and_names_that_exist_are_no_pattern(tmp_path: Path) -> None:
    for name in ("b/2.JPG", "b/1.png", "b/c/3.webp", "b/notes.txt", "b/clip.mp4", "[1].jpg", "1.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    words = [tmp_path / "b", tmp_path / "[1].jpg", tmp_path / "?.jpg", tmp_path / "none.jpg", "http://x/a.jpg"]
    found = [one.text.removeprefix(f"{tmp_path}/") for one in find_inputs(map(str, words))]
    below = ["b/1.png", "b/2.JPG", "b/clip.mp4", "b/c/3.webp"]
    assert found == [*below, "[1].jpg", "1.jpg", "none.jpg", "http://x/a.jpg"]


def test_a_folder_without_pictures_says_so(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="holds no pictures and no videos"):
        list(find_inputs([str(tmp_path)]))


@pytest.mark.parametrize(("every", "frames"), [(0.0, range(1, 12)), (0.2, (1, 6, 11)), (9.0, (1,))])
def test_a_video_gives_a_frame_for_so_many_seconds(tmp_path: Path, every: float, frames: Any) -> None:
    clip = clips.mp4(tmp_path / "clip.mp4")  # 25 a second
    found = list(Input(str(clip)).pictures(every, 0))
    assert [one.name for one in found] == [f"{clip}#{number}" for number in frames]
    assert found[0].read().width == 64 and Input(str(clip)).count() == 11  # type: ignore[union-attr]


def test_a_url_is_bounded_and_its_errors_are_sentences(tmp_path: Path, web: str) -> None:
    (tmp_path / "web" / "a.jpg").write_bytes(b"12345678")
    (picture,) = Input(f"{web}/a.jpg").pictures(0, 8)
    assert picture.read().data == b"12345678"  # type: ignore[union-attr]
    for text, largest, sentence in (
        (f"{web}/a.jpg", 7, "more than 7 bytes"),
        (f"{web}/none.jpg", 8, "it answers 404"),
        ("http://127.0.0.1:1/a.jpg", 8, "refused"),
        ("http://[x/a.jpg", 8, "IPv6"),
        (f"{web}/a b.jpg", 8, "control characters"),
        ("http://me:HUSH/HUSH@x/a.jpg", 8, "nonnumeric port"),
        ("rtsp://me:HUSH@x/1", 8, "cameras are for tta-camera"),
        ("ftp://me:HUSH@x/1", 8, "no URL of http"),
    ):
        with pytest.raises(OSError, match=sentence) as refused:
            for one in Input(text).pictures(0, largest):
                one.read()
        assert "HUSH" not in str(refused.value)


def test_user_and_password_of_a_url_are_sent_to_its_host_alone() -> None:
    asked = list[tuple[str, str | None]]()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers["Authorization"]))
            self.send_response(302 if self.path == "/old.jpg" else 200)
            self.send_header("Location", f"http://localhost:{self.server.server_port}/new.jpg")  # type: ignore[attr-defined]
            self.end_headers()
            self.wfile.write(b"12345678")

        def log_message(self, *_: object) -> None: ...

    with serve(Handler) as address:
        (picture,) = Input(f"http://me:h%40sh@{address}/old.jpg").pictures(0, 8)
        assert picture.name == f"http://***@{address}/old.jpg" and picture.read().data == b"12345678"  # type: ignore[union-attr]
    login = base64.b64encode(b"me:h@sh").decode()
    assert asked == [("/old.jpg", f"Basic {login}"), ("/new.jpg", None)]


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_a_file_of_results_is_gone_on_with_after_a_torn_line(tmp_path: Path, ending: str) -> None:
    path, names = tmp_path / f"results.{ending}", ["a.jpg", 'b "1"\n,.jpg', "ü.jpg"]
    with open_results(path) as results:
        for name in names:
            results.add(report(name))
    whole = path.read_bytes()
    path.write_bytes(whole + b'"torn')
    with open_results(path) as results:
        assert results.done == set(names)
        results.add(report("d.jpg"))
    assert path.read_bytes().startswith(whole) and b"torn" not in path.read_bytes()
    with open_results(path) as results:
        assert results.done == {*names, "d.jpg"}


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("r.txt", b""),
        *(("r.csv", data) for data in (b"a,b\n1,2\n", b"a,b\n1,2", b"a,b", b"f\xfc\n", b"1" * 200_000 + b"\n")),
        *(("r.jsonl", data) for data in (b"[1]\n", b"x\n", b"[1]\n[2]", b"[1]", b"f\xfc\n", b'{"file": ["a"]}\n')),
    ],
)
def test_a_file_of_something_else_is_refused_and_stays(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(BadRequest, match=f"--out {tmp_path}/{name}"), open_results(tmp_path / name):
        pass
    assert (tmp_path / name).read_bytes() == data


@pytest.mark.parametrize(
    ("name", "torn"), [("r.csv", "file,lab"), ("r.csv", ",".join(COLUMNS)), ("r.jsonl", '{"file": "a')]
)
def test_a_first_line_that_is_torn_begins_anew(tmp_path: Path, name: str, torn: str) -> None:
    (tmp_path / name).write_text(torn)
    for done in (set[str](), {"a.jpg"}):
        with open_results(tmp_path / name) as results:
            assert results.done == done
            if not done:
                results.add(report("a.jpg"))


@pytest.mark.slow
def test_a_folder_a_video_and_a_url_are_answered_and_a_second_run_goes_on(run: Run, tmp_path: Path, web: str) -> None:
    (tmp_path / "shots").mkdir()
    for name in ("shots/1.jpg", "web/2.jpg"):
        (tmp_path / name).write_bytes(FLOWER.read_bytes())
    (tmp_path / "shots" / "bad.jpg").write_bytes(b"no picture")
    clips.mp4(tmp_path / "shots" / "clip.mp4")
    words = ("shots", f"{web}/2.jpg", "gone.jpg", "http://me:hush@x/3.jpg", "--strategy", "tda", "--every", "0.2")
    code, lines, error = run(*words, "--json")
    assert code == 2 and "shots/bad.jpg" in error and "gone.jpg: No such file or directory" in error
    assert "http://***@x/3.jpg" in error and "hush" not in error
    answers = {one["file"]: one for one in map(json.loads, lines)}
    assert list(answers) == ["shots/1.jpg", *(f"shots/clip.mp4#{n}" for n in (1, 6, 11)), f"{web}/2.jpg"]

    assert run("shots/1.jpg", "shots/clip.mp4", *words[4:], "--out", "r.csv")[:2] == (0, [])
    assert run(*words, "--out", "r.csv")[0] == 2
    rows = list(csv.DictReader((tmp_path / "r.csv").open(newline="")))
    assert [row["file"] for row in rows] == list(answers) and tuple(rows[0]) == COLUMNS
    first = answers["shots/1.jpg"]
    assert rows[0]["label"] == first["label"] and float(rows[0]["score"]) == pytest.approx(first["score"], rel=1e-4)


@pytest.mark.slow
def test_answers_of_a_memory_are_those_of_one_picture_after_the_other(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(0)
    for number in range(12):
        pixels = torch.randint(0, 255, (8, 8, 3), generator=generator, dtype=torch.uint8).numpy()
        (tmp_path / f"{number:02}.jpg").write_bytes(clips.jpeg(pixels.repeat(8, 0).repeat(8, 1)))
    together = [json.loads(line) for line in run("*.jpg", "--strategy", "tda", "--json")[1]]
    monkeypatch.setattr("tta_service.app.commands.AT_ONCE", 1)
    alone = [json.loads(line) for line in run("*.jpg", "--strategy", "tda", "--json")[1]]
    assert [one["file"] for one in together] == [one["file"] for one in alone] == [f"{n:02}.jpg" for n in range(12)]
    assert [one["score"] for one in together] == pytest.approx([one["score"] for one in alone], abs=1e-4)


def test_inputs_that_differ_in_their_secrets_alone_have_names_of_their_own_without_them() -> None:
    words = ["http://x/a.jpg?token=HUSH1", "http://x/a.jpg?token=HUSH2", "http://x/a.jpg?token=HUSH1", "http://x/b.jpg"]
    names = [one.name for one in number_inputs(list(find_inputs(words)))]
    assert names == [masked := "http://x/a.jpg?token=***", f"{masked} (2)", masked, "http://x/b.jpg"]


def test_a_file_whose_name_looks_like_a_secret_keeps_it() -> None:
    assert Input("shots/token=1.jpg").name == "shots/token=1.jpg"


@pytest.mark.slow
def test_no_result_has_the_secret_of_a_url(
    run: Run, tmp_path: Path, web: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "web" / "a.jpg").write_bytes(FLOWER.read_bytes())
    clips.mp4(tmp_path / "web" / "clip.mp4")
    words = (
        f"{web}/a.jpg?token=HUSH1",
        f"{web}/a.jpg?token=HUSH2",
        f"{web}/clip.mp4?key=HUSH3",
        f"{web}/b.jpg?pin=HUSH4",
        f"{web}/b.mp4#HUSH5",
    )
    written = list[str]()
    for out in (["--json"], ["--out", "r.csv"], ["--out", "r.csv"]):
        code, lines, error = run(*words, "--every", "0.2", *out)
        assert code == 2 and "b.jpg?pin=***: it answers 404" in error
        assert error.count(f"{web}/b.mp4#***: ") == 1
        written += [*lines, error]
    rows = list(csv.DictReader((tmp_path / "r.csv").open(newline="")))
    assert len(rows) == 5 and rows[1]["file"] == f"{web}/a.jpg?token=*** (2)"  # a second run adds nothing
    assert "HUSH" not in "\n".join([*written, caplog.text, (tmp_path / "r.csv").read_text()])

    old = (tmp_path / "r.csv").read_text().replace("a.jpg?token=***,", "a.jpg?token=HUSH1,")
    (tmp_path / "old.csv").write_text(old)  # as an earlier version has left it
    assert run(*words, "--every", "0.2", "--out", "old.csv")[0] == 2
    assert (tmp_path / "old.csv").read_text() == old
