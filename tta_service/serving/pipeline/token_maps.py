"""What an explanation says about the tokens of the plain view."""

from __future__ import annotations

import logging
import time
from dataclasses import replace

from ...core.errors import DeadlineTooShort
from ...core.labels import TextSpace
from ...core.request import Features, Report
from ..concurrency import run
from .resources import Resources, within_deadline

log = logging.getLogger(__name__)


async def add_tokens(report: Report, text: TextSpace, resources: Resources) -> Report:
    """The report with the tokens of the plain view in its explanation, if there is one; a map only if the caller asks.

    The plain view is reduced only if the scope is `all`. A map takes a forward of its own, after the answer.
    """
    explanation, request = report.explanation, report.request
    if explanation is None or isinstance(request.image, Features):
        return report
    reducer = (request.reduction if request.reduction.scope == "all" else resources.no_reduction).reducer
    left = await run(resources.lanes.adapt, resources.tokens_left, reducer)
    explanation = replace(explanation, tokens_left=left)
    if request.explain and explanation.views and (request.deadline is None or time.monotonic() < request.deadline):
        view, guide = explanation.views.pixels[:1], text.features if reducer.guided else None
        try:
            async with within_deadline(request.deadline):
                found = await run(resources.lanes.device, resources.map_tokens, view, reducer, guide)
            explanation = replace(explanation, token_map=found)
        except DeadlineTooShort:
            pass
        except Exception:  # what explains an answer never costs it
            log.exception("no map of the tokens of %s", reducer.name)
    return replace(report, explanation=explanation)
