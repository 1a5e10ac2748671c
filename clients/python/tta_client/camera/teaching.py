"""Keys of the terminal that correct the last answer, with --teach."""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Protocol

from ..errors import TTAClientError
from ..types.answers import FrameAnswer
from ..types.lessons import LessonResult
from .masking import mask_secrets
from .results import Result
from .text import make_printable

KEYS = "123456789"
TICK = 0.1  # seconds, after which the reader of the keys looks whether it is to end
WAIT = 10.0  # seconds that an undo waits for the lesson that it takes back


class Stream(Protocol):
    """The part of a stream that a teacher needs."""

    def teach(self, *, label: str | None, frame: int | None) -> Future[LessonResult]: ...


class Teacher:
    """Makes lessons of keys. Up to nine labels have a key each; of more labels the keys are the last answer's best.

    `unlearn(example)` takes a lesson back; `report(sentence)` hears what became of every key.
    """

    def __init__(self, labels: Sequence[str], stream: Stream, unlearn: Callable[[str], object]) -> None:
        self.lessons, self.outcome = 0, ""
        self.report: Callable[[str], None] = lambda _: None
        self._labels, self._stream, self._unlearn = labels, stream, unlearn
        self._last: FrameAnswer | None = None
        self._taught = list[tuple[int, Future[LessonResult]]]()
        self._lock = threading.RLock()

    def see(self, result: Result) -> None:
        """The keys are about this result from now on, if it is an answer."""
        if isinstance(result, FrameAnswer):
            self._last = result

    def lines(self) -> list[str]:
        """The legend of the keys, and what became of the last one."""
        names = "  ".join(f"{key} {make_printable(name)}" for key, name in zip(KEYS, self._choices(self._last)))
        count = f"{self.lessons} lesson{'' if self.lessons == 1 else 's'}"
        frame = f"frame {self._last.frame_id} is: " if self._last else ""
        return [f"{frame}{names}  0 none of these  u undo", count + (f"; {self.outcome}" if self.outcome else "")]

    def press(self, key: str) -> None:
        """Teaches what the key says about the last answer, or takes the last lesson back."""
        last = self._last
        if key == "u":
            return self._undo()
        if key != "0" and key not in KEYS:
            return
        if last is None:
            return self._say("there is no answer yet")
        choices = self._choices(last)
        if key != "0" and int(key) > len(choices):
            return self._say(f"no label has the key {key}")
        label = None if key == "0" else choices[int(key) - 1]
        with self._lock:  # its result may come at once
            future = self._stream.teach(frame=last.frame_id, label=label)
            self._taught.append((last.frame_id, future))
        word = "none of these" if label is None else make_printable(label)
        future.add_done_callback(lambda done: self._on_result(last.frame_id, word, done))

    def _choices(self, last: FrameAnswer | None) -> Sequence[str]:
        if len(self._labels) <= len(KEYS):
            return self._labels
        return [score.label for score in last.answer.top[: len(KEYS)]] if last else []

    def _on_result(self, frame: int, word: str, done: Future[LessonResult]) -> None:
        with self._lock:
            if (error := done.exception()) is not None:
                self._taught.remove((frame, done))
                return self._say(f"frame {frame} is not taught: {mask_secrets(str(error))}")
            result = done.result()
            self.lessons += not result.replaced
            by = f", learnt by {', '.join(result.learnt_by)}" if result.learnt_by else ""
            self._say(f"frame {frame} is {word}{by}{', instead of the lesson before' if result.replaced else ''}")

    def _undo(self) -> None:
        with self._lock:
            if not self._taught:
                return self._say("there is no lesson to take back")
            frame, future = self._taught.pop()
        try:
            example = future.result(WAIT).example_id
            self._unlearn(example)
        except (TTAClientError, TimeoutError) as error:
            return self._say(f"frame {frame} is not taken back: {mask_secrets(str(error)) or 'no reply yet'}")
        with self._lock:
            self._taught = [(n, other) for n, other in self._taught if _example_of(other) != example]
            self.lessons -= 1
            self._say(f"the lesson about frame {frame} is taken back")

    def _say(self, sentence: str) -> None:
        self.outcome = sentence
        self.report(sentence)


def _example_of(future: Future[LessonResult]) -> str:
    return future.result().example_id if future.done() and future.exception() is None else ""


def check_terminal() -> None:
    """Raises ValueError if no keys can be read from standard input."""
    try:
        import termios  # noqa: F401 - absent on Windows
    except ImportError:
        raise ValueError("--teach needs a terminal of Linux or macOS") from None
    if not (sys.stdin and sys.stdin.isatty()):
        raise ValueError("--teach reads keys from a terminal, and standard input is none")


@contextmanager
def read_keys(press: Callable[[str], None]) -> Iterator[None]:
    """Calls `press` in a thread with each key that is typed in the block. The terminal echoes nothing meanwhile.

    Ctrl-C and Ctrl-Z keep their meaning. The end of the block restores the terminal, however it is left.
    """
    import termios
    import tty

    terminal, over = sys.stdin.fileno(), threading.Event()

    def read() -> None:
        while not over.is_set():
            try:
                ready = select.select([terminal], [], [], TICK)[0]
                typed = os.read(terminal, 64) if ready else None
            except OSError:  # the terminal has gone
                return
            if typed == b"":
                return
            for key in (typed or b"").decode("ascii", "ignore"):
                press(key)

    before = termios.tcgetattr(terminal)
    reader = threading.Thread(target=read, name="tta-camera-keys", daemon=True)
    try:
        tty.setcbreak(terminal, termios.TCSADRAIN)
        reader.start()
        yield
    finally:
        over.set()
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
