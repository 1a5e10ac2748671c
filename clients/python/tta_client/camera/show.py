"""How answers are shown: a live table, plain lines, or JSON lines. Each is a context manager with `show` and `end`."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TextIO

from ..answers import FrameAnswer, FrameFailure, Score
from .masking import without_secrets
from .tally import Tally
from .text import printable

Result = FrameAnswer | FrameFailure
COLUMNS = ("frame", "label", "score", "zero-shot", "strategy", "age ms", "dropped", "scene")


class Screen(Protocol):
    def __enter__(self) -> Screen: ...
    def __exit__(self, *_: object) -> None: ...
    def show(self, result: Result, tally: Tally) -> None: ...
    def end(self, tally: Tally) -> None: ...


def screen(as_json: bool, out: TextIO) -> Screen:
    """JSON when asked for; a table on a terminal where rich is installed; else lines."""
    if as_json:
        return JSONLines(out)
    if out.isatty():
        try:
            return _table(out)
        except ImportError:
            pass
    return Lines(out)


class Lines:
    """One line for each answer."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, *_: object) -> None:
        self._out.flush()

    def show(self, result: Result, tally: Tally) -> None:
        frame, label, score, zero_shot, strategy, age, dropped, scene = row(result)
        drops = f"  dropped {dropped}" if dropped not in ("", "0") else ""
        where = f"  [{scene}]" if scene else ""
        told = f"{label} {score}  zero-shot {zero_shot}  {strategy}" if strategy else label
        print(f"{frame:>6}  {told}  {age} ms{drops}{where}", file=self._out, flush=True)

    def end(self, tally: Tally) -> None:
        print(tally.sentence(), file=self._out, flush=True)


class JSONLines(Lines):
    """One object for each answer, and a last one with the summary."""

    def show(self, result: Result, tally: Tally) -> None:
        print(json_line(plain(result)), file=self._out, flush=True)

    def end(self, tally: Tally) -> None:
        print(json_line({"summary": tally.summary()}), file=self._out, flush=True)


def json_line(value: Any) -> str:
    """JSON in ASCII, which every terminal and every parser takes: what no number is, infinity or NaN, is null."""
    return json.dumps(_jsonable(value), allow_nan=False)


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {printable(str(name)): _jsonable(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return printable(value) if isinstance(value, str) else value


def untaught(names: Sequence[str], most: int = 8) -> str:
    """What is said of labels that the text tower was never taught, by name as far as a person reads."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return f"the text tower was never taught: {', '.join(names[:most])}{rest}"


def row(result: Result) -> tuple[str, ...]:
    """The cells of COLUMNS."""
    age = f"{result.age * 1000:.0f}"
    if isinstance(result, FrameFailure):
        return str(result.frame_id), printable(without_secrets(f"{result.error}")), "", "", "", age, "", result.scene
    answer = result.answer
    plain_label = answer.zero_shot[0].label if answer.zero_shot else ""
    strategy = answer.strategy.name + (" (degraded)" if answer.degraded else "")
    label = answer.label
    if answer.flipped and label == plain_label:  # classes of one name
        label, plain_label = f"{label} #{answer.index}", f"{label} #{answer.zero_shot[0].index}"
    return (str(result.frame_id), label, f"{answer.score:.2f}", plain_label, strategy, age,
            str(result.dropped_since_last), result.scene)  # fmt: skip


def plain(result: Result) -> dict[str, Any]:
    """A result as JSON can carry it. Ages and timings are seconds."""
    told: dict[str, Any] = {"frame": result.frame_id, "age": round(result.age, 6) if result.age == result.age else None}
    if result.scene:
        told["scene"] = result.scene
    if isinstance(result, FrameFailure):
        error = result.error
        sentence = without_secrets(error.sentence)
        return told | {"error": {"code": error.code.name, "field": error.field, "sentence": sentence}}
    answer = result.answer
    timings = {stage: round(getattr(answer.timings, stage), 6) for stage in answer.timings.__slots__}
    return told | {
        "label": answer.label,
        "index": answer.index,
        "score": answer.score,
        "top": _scores(answer.top),
        "zero_shot": _scores(answer.zero_shot),
        "entropy": answer.entropy,
        "flipped": answer.flipped,
        "strategy": answer.strategy.name,
        "parameters": dict(answer.strategy.parameters),
        "reducer": answer.reducer.name,
        "views": answer.views,
        "batch_rows": answer.batch_rows,
        "dropped": result.dropped_since_last,
        "degraded": answer.degraded.reason if answer.degraded else None,
        "session": answer.session.session_id,
        "captured_ns": result.captured_ns,
        "timings": timings,
    }


def _scores(scores: tuple[Score, ...]) -> list[dict[str, Any]]:
    return [{"label": s.label, "index": s.index, "score": s.score, "logit": s.logit} for s in scores]


def _table(out: TextIO) -> Screen:
    from .table import Table

    return Table(out, deque(maxlen=12))
