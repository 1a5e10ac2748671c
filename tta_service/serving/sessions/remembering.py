"""How the picture of an answer is remembered: as an example that lessons can be about, and perhaps as a question."""

from __future__ import annotations

import time
from secrets import token_hex

from torch import Tensor

from ...core.caution import Caution
from ...core.lessons import Example, Question, Reason
from ...core.request import Report
from ...core.trust import Drawn, Trust
from .memory import reduction_of
from .room import Room
from .session import Session


def remember_answer(
    room: Room, session: Session, report: Report, views: Tensor, trust: Trust, cautions: tuple[Caution, ...]
) -> Report:
    """Remembers the picture with its `views` as in `Example`; the report that says so."""
    request, drawn = report.request, None
    reason = _choose_reason(session, report, trust, cautions)
    if reason is Reason.UNIFORM:
        held = trust.prediction_set if trust.guaranteed else None
        drawn = Drawn(repr(report.strategy), report.logits, held, trust.confidence)
    example = Example(
        id=f"seen-{token_hex(12)}",
        views=views,
        labels=request.labels,
        reduction=reduction_of(request),
        seen=time.time(),
        frame_id=request.frame_id,
        request_id=request.request_id,
        thumbnail=report.thumbnail,
        drawn=drawn,
    )
    room.remember(session, example)
    asked = reason is not None and room.ask(session, Question(example, report.logits, reason))
    if asked and request.trust.ask_per_hour is not None and reason in (Reason.INFORMATIVE, Reason.UNIFORM):
        session.asking.count()
    return report.complete(example_id=example.id, asked=asked, cautions=cautions)


def _choose_reason(session: Session, report: Report, trust: Trust, cautions: tuple[Caution, ...]) -> Reason | None:
    """Why a person is asked about the picture. A number of questions an hour decides in place of other options."""
    request, place = report.request, f"{session.id} {session.frames}"
    if (per_hour := request.trust.ask_per_hour) is None:
        reason = session.trust.choose_reason(report, trust, place)
    else:
        reason = session.asking.choose(per_hour, report, session.lessons, session.questions, place)
        reason = Reason.ASKED if request.ask else reason
    if session.watch.should_ask(cautions, lambda: session.questions.count(Reason.COLLAPSED)):
        reason = reason or Reason.COLLAPSED
    return reason
