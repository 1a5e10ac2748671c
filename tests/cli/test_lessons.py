"""`tta-service lessons …` against a running service: from a session to files and back."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import grpc
import numpy as np
import pytest
from PIL import Image

from tests.client.services import run_service
from tta_service.cli import main
from tta_service.rpc.v1.tta_pb2_grpc import AdaptationServiceStub
from tta_service.wire.v1 import tta_pb2 as pb

COLOURS = {"red thing": (200, 40, 40), "../blue": (40, 40, 200), "none_of_these": (128, 128, 128)}
NAMES = count()
Run = Callable[..., str]


def picture(colour: str, seed: int = 0) -> bytes:
    noise = np.random.default_rng(seed).integers(-20, 20, (64, 64, 3))
    file = io.BytesIO()
    Image.fromarray(np.clip(np.array(COLOURS[colour]) + noise, 0, 255).astype(np.uint8)).save(file, "JPEG")
    return file.getvalue()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with run_service(sessions__thumbnails=48) as address:
        yield address


@pytest.fixture
def run(address: str, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: object, fails: bool = False) -> str:
        """What a command prints, or if it `fails`, with exit code 2, what it says of that."""
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["lessons", *map(str, arguments), "--server", address])
        printed = capsys.readouterr()
        assert ended.value.code == (2 if fails else 0), printed
        return printed.err if fails else printed.out

    return run


@pytest.fixture
def session() -> str:
    return f"belt-{next(NAMES)}"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    for name in ("red thing", "blue", "none_of_these"):
        place = folder / name
        place.mkdir(parents=True)
        for seed in range(2):
            colour = name.replace("blue", "../blue")
            (place / f"{seed}.jpg").write_bytes(picture(colour, seed))
    return folder


def exported(run: Run, session: str, to: Path) -> pb.ListLessonsResponse:
    run("export", "--session", session, "--to", to)
    return json.loads(to.read_text())


def test_a_folder_of_labelled_pictures_teaches_a_session(run: Run, session: str, pictures: Path) -> None:
    assert run("import", pictures, "--session", session) == "6 taught, not in a state store\n"
    lines = [line.split("\t") for line in run("list", "--session", session).splitlines()]
    assert [line[1] for line in lines] == ["blue"] * 2 + ["(none of these)"] * 2 + ["red thing"] * 2
    listed = [json.loads(line) for line in run("list", "--session", session, "--json").splitlines()]
    assert [one["label"] for one in listed] == ["blue"] * 2 + [None] * 2 + ["red thing"] * 2
    again = run("import", pictures, "--session", session)
    assert again == "6 taught, 6 of them replaced an earlier one, not in a state store\n"
    assert run("unlearn", lines[0][0], lines[1][0], "--session", session) == "2 taken back\n"
    assert len(run("list", "--session", session).splitlines()) == 4
    assert "no lesson about never" in run("unlearn", "never", "--session", session, fails=True)


@pytest.mark.parametrize("kind", ["lessons.json", "folder"])
def test_what_is_exported_is_imported_as_it_was(
    run: Run, session: str, tmp_path: Path, address: str, kind: str
) -> None:
    names = ["red thing", "../blue", "grün"]
    for name in names[:2]:
        file = tmp_path / "one.jpg"
        file.write_bytes(picture(name))
        run("teach", file, "--label", name, "--labels", ",".join(names), "--template", "a {}.", "--session", session)
    grey = tmp_path / "grey.jpg"
    grey.write_bytes(picture("none_of_these"))
    run("teach", grey, "--none-of-these", "--labels", ",".join(names), "--session", session)
    to = tmp_path / "out" / kind if kind == "folder" else tmp_path / kind
    said = run("export", "--session", session, "--to", to)
    if kind == "folder":
        assert said == "3 lessons, 3 of them with a picture\n"
        assert sorted(one.name for one in to.iterdir()) == ["%2E.%2Fblue", "lessons.json", "none_of_these", "red thing"]
        (thumbnail,) = (to / "red thing").iterdir()
        assert max(Image.open(thumbnail).size) == 48
        assert "is no empty folder" in run("export", "--session", session, "--to", to, fails=True)
    other = f"{session}-other"
    assert run("import", to, "--session", other).startswith("3 taught")
    with grpc.insecure_channel(address) as channel:
        stub = AdaptationServiceStub(channel)
        before, after = (
            stub.ListLessons(pb.ListLessonsRequest(session_id=one, recorded=True)) for one in (session, other)
        )
    assert before == after and len(before.lessons) == 3
    assert {tuple(one.templates) for one in before.label_sets.values()} == {("a {}.",), ("a photo of a {}.",)}


def test_a_recent_call_is_taught_by_its_id(run: Run, session: str, address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        labels = pb.Labels(label_set=pb.LabelSet(names=["cat", "dog"]))
        image = pb.Image(encoded=picture("red thing"))
        ask = pb.ClassifyRequest(image=image, labels=labels, session_id=session, request_id="a")
        AdaptationServiceStub(channel).Classify(ask)
    assert run("teach", "--request", "a", "--label", "dog", "--session", session).startswith("1 taught")
    assert run("list", "--session", session).split("\t")[1] == "dog"
    assert "a: label: 'bird' is none of the 2 labels" in run(
        "teach", "--request", "a", "--label", "bird", "--session", session, fails=True
    )


def test_a_mistake_is_named_and_the_rest_is_taught(run: Run, session: str, pictures: Path, tmp_path: Path) -> None:
    (pictures / "blue" / "2.jpg").write_bytes(b"no picture")
    (pictures / "red thing" / "2.jpg").symlink_to(tmp_path / "nowhere")
    said = run("import", pictures, "--session", session, fails=True)
    assert "blue/2.jpg: image.encoded: the image is neither" in said
    assert len(run("list", "--session", session).splitlines()) == 6
    said = run("import", pictures, "--session", session, "--labels", "red thing,green", fails=True)
    assert "the folders blue are none of the labels" in said
    empty, wrong = tmp_path / "empty", tmp_path / "wrong.json"
    empty.mkdir()
    wrong.write_text('{"lessons": [{"example_id": "a", "label_set_id": "b"}]}')
    assert "holds neither folders with pictures" in run("import", empty, "--session", session, fails=True)
    assert "'a' lacks its features" in run("import", wrong, "--session", session, fails=True)
    for content in (b"\xff", b"[]", b'{"lessons": 7}', b"[" * 99_999):
        wrong.write_bytes(content)
        assert "wrong.json is no export of lessons" in run("import", wrong, "--session", session, fails=True)
    assert "name a --session" in run("list", fails=True)
    assert "name a --session" in run("list", "--session", "a", "--group", "b", fails=True)
    assert "no session 'nobody'" in run("list", "--session", "nobody", fails=True)
    assert "say what it shows" in run("teach", "--frame", 1, "--session", session, fails=True)
    assert "name one of FILE" in run("teach", "--label", "a", "--session", session, fails=True)


def test_a_service_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["lessons", "list", "--session", "a", "--server", "127.0.0.1:1"])
    assert ended.value.code == 2 and capsys.readouterr().err.startswith("tta-service: 127.0.0.1:1: failed to connect")
