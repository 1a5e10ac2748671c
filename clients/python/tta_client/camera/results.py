"""The results of a stream: their counts, their cells in the table, their objects in JSON."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

from ..statistics import Statistics
from ..types.answers import FrameAnswer, FrameFailure, Score
from ..types.confidence import Confidence
from .masking import mask_secrets
from .text import make_printable

Result = FrameAnswer | FrameFailure
COLUMNS = ("frame", "label", "score", "zero-shot", "strategy", "age ms", "dropped", "scene")


class ResultCounter:
    """Counts what the answers say, on top of the stream's own `statistics`."""

    def __init__(self, statistics: Statistics | None = None) -> None:
        self.statistics = statistics or Statistics()
        self.flips = self.degraded = 0
        self.strategies = Counter[str]()
        self.unseen: dict[str, None] = {}  # labels that the text tower was not trained on, in order of arrival

    def count(self, result: Result) -> list[str]:
        """Returns the `unseen` labels that no earlier result named."""
        new = list[str]()
        if isinstance(result, FrameAnswer):
            new = [name for name in result.answer.unseen if name not in self.unseen]
            self.unseen.update(dict.fromkeys(new))
            self.flips += result.answer.flipped
            self.degraded += result.answer.degraded is not None
            self.strategies[result.answer.strategy.name] += 1
        return new

    @property
    def complete(self) -> bool:
        """Whether no frame failed and every frame was a picture. Frames that a video lost to damage do not count."""
        counts = self.statistics
        return not counts.failures and counts.dropped["unreadable"] <= counts.damaged

    def summary(self) -> dict[str, Any]:
        """All counts, as JSON can carry them."""
        counts = {"flips": self.flips, "degraded": self.degraded, "strategies": dict(self.strategies)}
        return self.statistics.summary() | counts | ({"unseen": list(self.unseen)} if self.unseen else {})

    def sentence(self) -> str:
        """The counts in one line of text."""
        text = f"{self.statistics.sentence()}; {self.flips} flips"
        return text + (f", {self.degraded} degraded" if self.degraded else "")


def format_row(result: Result) -> tuple[str, ...]:
    """The cells of a result, one for each of COLUMNS."""
    age = f"{result.age * 1000:.0f}"
    if isinstance(result, FrameFailure):
        return str(result.frame_id), make_printable(mask_secrets(str(result.error))), "", "", "", age, "", result.scene
    answer = result.answer
    plain_label = answer.zero_shot[0].label if answer.zero_shot else ""
    strategy = answer.strategy.name + (" (degraded)" if answer.degraded else "")
    label = answer.label
    if answer.flipped and label == plain_label:  # two classes share the name
        label, plain_label = f"{label} #{answer.index}", f"{label} #{answer.zero_shot[0].index}"
    return (str(result.frame_id), label, f"{answer.score:.2f}", plain_label, strategy, age,
            str(result.dropped_since_last), result.scene)  # fmt: skip


def to_json(result: Result) -> dict[str, Any]:
    """A result as JSON can carry it. Ages and timings are in seconds."""
    entry: dict[str, Any] = {
        "frame": result.frame_id,
        "age": round(result.age, 6) if result.age == result.age else None,
    }
    if result.scene:
        entry["scene"] = result.scene
    if isinstance(result, FrameFailure):
        error = result.error
        sentence = mask_secrets(error.sentence)
        return entry | {"error": {"code": error.code.name, "field": error.field, "sentence": sentence}}
    answer = result.answer
    timings = {stage: round(getattr(answer.timings, stage), 6) for stage in answer.timings.__slots__}
    return entry | {
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
        "confidence": _confidence(answer.confidence),
        "example": answer.example_id,
        "captured_ns": result.captured_ns,
        "timings": timings,
    }


def _confidence(confidence: Confidence | None) -> dict[str, Any] | None:
    return asdict(confidence) if confidence else None


def _scores(scores: tuple[Score, ...]) -> list[dict[str, Any]]:
    return [{"label": s.label, "index": s.index, "score": s.score, "logit": s.logit} for s in scores]
