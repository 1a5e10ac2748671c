"""What is shown of an answer: its cells in a table, its object in JSON."""

from __future__ import annotations

from typing import Any, Protocol

from ..types.answers import FrameAnswer, FrameFailure, Score
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


def to_json(result: Result) -> dict[str, Any]:
    """A result as JSON can carry it. Ages and timings are seconds."""
    shown: dict[str, Any] = {
        "frame": result.frame_id,
        "age": round(result.age, 6) if result.age == result.age else None,
    }
    if result.scene:
        shown["scene"] = result.scene
    if isinstance(result, FrameFailure):
        error = result.error
        sentence = without_secrets(error.sentence)
        return shown | {"error": {"code": error.code.name, "field": error.field, "sentence": sentence}}
    answer = result.answer
    timings = {stage: round(getattr(answer.timings, stage), 6) for stage in answer.timings.__slots__}
    return shown | {
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
