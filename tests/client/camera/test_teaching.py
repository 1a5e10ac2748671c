"""tta-camera --teach: keys of a real terminal teach a real service, and the terminal is as it was afterwards."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import grpc
import pytest
from tta_client import Choice, Client, FrameAnswer, LessonResult, TTAClientError
from tta_client.camera.cli import main
from tta_client.camera.command import parse_arguments
from tta_client.camera.teaching import Teacher
from tta_client.types.answers import parse_answer
from tta_client.v1 import tta_pb2 as pb

from tests.client.camera.clips import photographed
from tests.patience import PATIENCE

pty = pytest.importorskip("pty", reason="needs a terminal")
termios = pytest.importorskip("termios", reason="needs a terminal")

LABELS = "cat,dog,bird"


class Terminal:
    """A camera on a terminal of its own."""

    def __init__(self, address: str, *words: str) -> None:
        self.ours, self.theirs = pty.openpty()
        self.before = termios.tcgetattr(self.theirs)
        words = ("virtual:frames=0,fps=8,width=64,height=48", "--server", address, "--labels", LABELS, *words)
        command = [sys.executable, "-m", "tta_client.camera.cli", *words]
        environment = os.environ | {"TERM": "xterm", "COLUMNS": "160", "LINES": "40"}
        terminal = {"stdin": self.theirs, "stdout": self.theirs, "stderr": self.theirs}
        self.camera = subprocess.Popen(command, env=environment, **terminal)
        self.shown = ""
        os.set_blocking(self.ours, False)

    def see(self, pattern: str) -> None:
        limit = time.monotonic() + PATIENCE
        while not re.search(pattern, self.shown):
            assert time.monotonic() < limit and self.camera.poll() is None, self.shown[-2000:]
            with suppress(BlockingIOError):
                self.shown += os.read(self.ours, 1 << 16).decode(errors="replace")
            time.sleep(0.02)

    def type(self, keys: str) -> None:
        self.shown = ""
        os.write(self.ours, keys.encode())

    def end(self, sign: signal.Signals | None) -> int:
        if sign is not None:
            self.camera.send_signal(sign)
        while self.camera.poll() is None:
            with suppress(BlockingIOError):
                os.read(self.ours, 1 << 16)
            time.sleep(0.02)
        return self.camera.returncode


@pytest.fixture
def terminal(service: str, request: pytest.FixtureRequest) -> Iterator[Terminal]:
    pytest.importorskip("rich", reason="the table needs rich (extra camera)")
    terminal = Terminal(service, "--teach", "--session", request.node.name.translate({91: "-", 93: ""}))
    yield terminal
    terminal.camera.kill()
    terminal.camera.wait()
    os.close(terminal.ours)
    os.close(terminal.theirs)


@photographed
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_keys_teach_and_the_terminal_is_restored(terminal: Terminal, service: str, sign: signal.Signals) -> None:
    terminal.see(r"frame \d+ is: 1 cat  2 dog  3 bird  0 none of these  u undo")
    assert not termios.tcgetattr(terminal.theirs)[3] & termios.ECHO
    terminal.type("2")
    terminal.see(r"1 lesson; frame \d+ is dog, learnt by taught")
    terminal.type("0")
    terminal.see(r"2 lessons; frame \d+ is none of these|frame \d+ is none of these, instead")
    terminal.type("7")
    terminal.see("no label has the key 7")
    terminal.type("u")
    terminal.see(r"the lesson about frame \d+ is taken back")
    assert terminal.end(sign) == 0
    assert termios.tcgetattr(terminal.theirs) == terminal.before


@photographed
def test_a_stream_that_fails_restores_the_terminal(service: str) -> None:
    pytest.importorskip("rich", reason="the table needs rich (extra camera)")
    with Client(service) as client:
        terminal = Terminal(service, "--teach", "--session", "stolen")
        terminal.see(r"frame \d+ is: ")
        list(client.stream([b"x"], ["a", "b"], session="stolen"))  # a newer stream takes the session
        assert terminal.end(None) == 1
    assert termios.tcgetattr(terminal.theirs) == terminal.before


def test_without_a_terminal_or_a_session_nothing_begins(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["virtual:frames=1", "--labels", LABELS, "--teach"]
    command = [sys.executable, "-m", "tta_client.camera.cli", *words, "--session", "door"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 2 and "--teach reads keys from a terminal, and standard input is none" in done.stderr
    with pytest.raises(SystemExit):
        main(words)
    assert "--teach needs a --session" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*words[:-1], "--ask-per-hour", "4"])
    assert "--ask-per-hour needs a --session" in capsys.readouterr().err


@pytest.mark.parametrize(("given", "name"), [([], "taught"), (["--strategy", "tda"], "tda")])
def test_a_strategy_that_learns_answers_unless_one_is_named(
    monkeypatch: pytest.MonkeyPatch, given: list[str], name: str
) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs) as stdin, os.fdopen(ours):
        monkeypatch.setattr(sys, "stdin", stdin)
        words = ["virtual:frames=1", "--labels", LABELS, "--teach", "--session", "door", *given]
        arguments = parse_arguments(words)
    assert arguments.options.strategy == Choice(name) and arguments.options.top_k == 9


class Fake:
    """A stream whose lessons wait."""

    def __init__(self) -> None:
        self.taught: list[tuple[str | None, int | None, Future[LessonResult]]] = []

    def teach(self, *, label: str | None, frame: int | None) -> Future[LessonResult]:
        self.taught.append((label, frame, Future()))
        return self.taught[-1][2]


def answer(frame: int, *labels: str) -> FrameAnswer:
    top = [pb.Score(label=label) for label in labels]
    return FrameAnswer(frame, parse_answer(pb.ClassifyResponse(top=top)), 0.0, 0, 0)


def test_of_many_labels_the_keys_are_the_best_of_the_last_answer() -> None:
    stream, labels = Fake(), [f"class {n}" for n in range(30)]
    teacher = Teacher(labels, stream, lambda _: None)
    teacher.press("1")
    assert teacher.lines()[1] == "0 lessons; there is no answer yet" and not stream.taught
    teacher.see(answer(4, "class 7", "class 3"))
    assert teacher.lines()[0] == "frame 4 is: 1 class 7  2 class 3  0 none of these  u undo"
    teacher.press("2")
    teacher.press("3")
    assert [(label, frame) for label, frame, _ in stream.taught] == [("class 3", 4)]


def test_a_refused_key_is_told_and_not_counted() -> None:
    stream, undone = Fake(), list[Any]()
    teacher = Teacher(["a", "b"], stream, undone.append)
    teacher.see(answer(4, "a"))
    teacher.press("1")
    stream.taught[0][2].set_exception(TTAClientError(grpc.StatusCode.NOT_FOUND, "forgotten", "lesson.frame_id"))
    assert teacher.lines()[1] == "0 lessons; frame 4 is not taught: NOT_FOUND: forgotten [lesson.frame_id]"
    teacher.press("u")
    assert teacher.lines()[1].endswith("there is no lesson to take back") and not undone
    for replaced in (False, True):  # two words about one frame are one lesson
        teacher.press("2")
        stream.taught[-1][2].set_result(LessonResult("ex", replaced, (), ()))
    assert teacher.lines()[1] == "1 lesson; frame 4 is b, instead of the lesson before"
    teacher.press("uu")
    teacher.press("u")
    teacher.press("u")
    assert undone == ["ex"] and teacher.lessons == 0
