"""Answers for tests of what follows from them."""

from __future__ import annotations

from tta_client.types.answers import Answer, FrameAnswer, Score, SessionStatus, Timings
from tta_client.types.confidence import Confidence
from tta_client.types.options import Choice


def make_answer(
    label: str, decision: str = "answer", *, frame: int = 1, stable: str = "", asked: bool = False, score: float = 0.8
) -> FrameAnswer:
    confidence = Confidence(score, "none", 0, 0.3, None, decision, (), False, stable, False)
    answer = Answer(
        top=(Score(label, score, 1.0, 0),),
        zero_shot=(Score("zero", 0.4, 0.5, 1),),
        entropy=0.1,
        strategy=Choice("tda"),
        reducer=Choice("none"),
        views=4,
        timings=Timings(),
        batch_rows=4,
        session=SessionStatus("door", "fresh", frame, 0, False, frame),
        degraded=None,
        escalated=False,
        explanation=None,
        label_set_id="set",
        request_id="",
        model="pocket",
        example_id=f"e-{frame}",
        asked=asked,
        confidence=confidence,
    )
    return FrameAnswer(frame, answer, 0.1, 1_700_000_000_000_000_000 + frame, 0)
