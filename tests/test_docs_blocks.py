"""Every block of Python and of commands in the documentation, as it is printed: run, or at least parsed.

Those of docs/oip.md run in tests/rpc and tests/http, that of docs/library.md in tests/library, lines with curl in
tests/http/test_docs_lines.py, and what runs until it is stopped in tests/test_docs_services.py.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.test_docs import PAGES, ROOT
from tta_service.cli import main

pytest.importorskip("tta_client")
ELSEWHERE = "docs/oip.md", "docs/library.md"
LONG = {"serve", "demo", "advise", "evaluate", "compare"}  # which tests/test_docs_services.py and their own tests run
MORE = {"--show", "--teach", "--sink", "--protocol", "--checkpoint"}  # a camera with these needs more than a picture
REGISTER = "docs/plugins.md", "docs/models.md"  # classes that a process then has for good
NOT_OURS = {"git", "cd", "curl", "export", "printf"}


def blocks(language: str) -> list[tuple[str, str]]:
    """The page and the text of each fenced block of a language."""
    found: list[tuple[str, str]] = []
    for page in PAGES:
        name = str(page.relative_to(ROOT))
        fenced = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
        found += [(name, text) for kind, text in fenced if kind == language]
    return found


def commands(text: str) -> Iterator[list[str]]:
    """The words of each command of a block, without comments, assignments and redirections."""
    for line in re.sub(r"\\\n", " ", text).splitlines():
        for part in re.split(r"&&", line) if not line.startswith("(") else ():
            words = shlex.split(part.replace("> tta.toml", ""), comments=True)
            while words and re.match(r"[A-Z_]+=", words[0]):
                words.pop(0)
            if words:
                yield [words[0].removeprefix(".venv/bin/"), *words[1:]]


def ends(words: list[str]) -> bool:
    """Whether a line is one of ours that ends by itself, without a data set; a camera may be another one."""
    return (words[0] == "tta-service" and words[1] not in LONG) or (words[0] == "tta-camera" and not MORE & {*words})


SHELL = [(page, text) for page, text in (*blocks(""), *blocks("bash")) if not text.startswith(("{", "(printf"))]
LINES = [(page, words) for page, text in SHELL for words in commands(text)]
RUN = [(page, text) for page, text in SHELL if any(ends(words) for words in commands(text))]
PYTHON = [(page, text) for page, text in blocks("python") if page not in (*ELSEWHERE, *REGISTER)]
CLASSES = [text for page, text in blocks("python") if page in REGISTER]


def parse(words: list[str]) -> int:
    """The exit code of a line of `tta-service` that is only parsed, since it asks for help at its end."""
    with pytest.raises(SystemExit) as ended:
        main([*words, "--help"])
    return int(ended.value.code or 0)


@pytest.mark.parametrize(("page", "words"), LINES, ids=[f"{page}:{' '.join(words)[:50]}" for page, words in LINES])
def test_a_command_is_one_that_there_is(page: str, words: list[str]):
    program, *rest = words
    if program == "tta-service":
        assert parse(rest) == 0
    elif program == "tta-camera":
        from tta_client.camera.parser import build_parser

        build_parser().parse_args(rest)
    elif program == "make":
        assert re.search(rf"^{rest[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    elif program == "pip":
        package = re.sub(r"\[.*", "", rest[-1])
        assert (ROOT / package / "pyproject.toml").exists()
    else:
        assert program in NOT_OURS


def test_a_wrong_flag_is_found():
    assert parse(["classify", "photo.jpg", "--lables", "cat"]) == 2


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    from tests.client.services import run_service

    with run_service() as address:
        yield address


@pytest.fixture
def reader(service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of the service, in a folder with a reader's own files, and sessions with lessons."""
    import numpy as np
    from PIL import Image
    from tta_client import Client

    skimage = pytest.importorskip("skimage.data")
    monkeypatch.chdir(tmp_path)
    picture = Image.fromarray(np.asarray(skimage.chelsea()))
    places = "photo.jpg", "frame.jpg", "photos/cat/1.jpg", "photos/none_of_these/2.jpg"
    for number, place in enumerate((*places, *(f"frames/{number}.jpg" for number in range(3)))):
        Path(place).parent.mkdir(parents=True, exist_ok=True)
        picture.crop((number, 0, 300 + number, 300)).save(place)
    Path("names.txt").write_text("cat\ndog\n")
    with Client(service) as client:
        client.teach("gate-3", image="photo.jpg", labels=["cat", "dog"], label="cat")
        client.teach(group="belt", image="photo.jpg", labels=["cat", "dog"], label="cat")
    return service


@pytest.mark.slow
@pytest.mark.parametrize(("page", "text"), PYTHON, ids=[f"{page}:{text[:40]!r}" for page, text in PYTHON])
def test_python_runs_and_prints_what_it_says(page: str, text: str, reader: str, capsys: pytest.CaptureFixture[str]):
    from tta_client import Client, Reconnect

    cv2 = pytest.importorskip("cv2")
    frame = cv2.imread("photo.jpg")
    film = cv2.VideoWriter("film.avi", cv2.VideoWriter.fourcc(*"MJPG"), 5.0, (frame.shape[1], frame.shape[0]))
    for _ in range(3):
        film.write(frame)
    film.release()
    for printed, here in {
        "127.0.0.1:50051": reader,
        "north:50051": reader,
        "south:50051": reader,
        "rtsp://gate/1": "virtual:frames=3,fps=0",
        "frames(0)": 'frames("film.avi")',
    }.items():
        text = text.replace(printed, here)
    with Client(reader) as client:
        names: dict[str, Any] = {"client": client, "Reconnect": Reconnect, "labels": ["cat", "dog"]}
        names |= {"camera_frames": ["photo.jpg"] * 3, "frames": ["photo.jpg"] * 3, "ask_a_person": lambda result: "cat"}
        exec(compile(text, page, "exec", dont_inherit=True), names)
    said = re.findall(r"^ *print\(.*# (\w+)", text, re.MULTILINE)  # the first word of each line
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()][: len(said)] == said


@pytest.mark.slow
def test_classes_can_be_registered(tmp_path: Path):
    for number, text in enumerate(CLASSES):
        (tmp_path / f"printed_{number}.py").write_text(text)
    modules = [f"printed_{number}" for number in range(len(CLASSES))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", f"import {', '.join(modules)}"], cwd=tmp_path, env=environment, check=True)
    assert len(modules) >= 3


@pytest.mark.slow
@pytest.mark.parametrize(("page", "text"), RUN, ids=[f"{page}:{text[:40]!r}" for page, text in RUN])
def test_a_command_does_what_it_says(page: str, text: str, reader: str, monkeypatch: pytest.MonkeyPatch):
    from tta_client import Client
    from tta_client.camera.cli import main as run_camera

    monkeypatch.setenv("TTA_SERVER__KEYS", "keys.json")
    with Client(reader) as client:
        example = client.lessons("gate-3")[0].example_id
    for program, *words in filter(ends, commands(text)):
        words = [re.sub(r"(?:other-host|127\.0\.0\.1):50051", reader, word) for word in words]
        words = [re.sub(r"picture-\w+", example, word) for word in words]
        if "--server" not in words and (program == "tta-camera" or words[0] == "lessons"):
            words += ["--server", reader]
        if program == "tta-camera":
            assert run_camera(["virtual:frames=3,fps=0", *words[1:]]) == 0
        else:
            with pytest.raises(SystemExit) as ended:
                main(words)
            assert not ended.value.code, words


def test_there_are_blocks():
    assert len(PYTHON) > 12 and len(LINES) > 25
