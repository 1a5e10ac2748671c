"""Errors as RFC 9457 problems: the code, sentence and field that every transport gives."""

from __future__ import annotations

import json
import math
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from ..core.errors import TTAError
from ..wire.status import http_code_of, reason_of, sentence_of

PROBLEM = "application/problem+json"


def describe(error: TTAError) -> dict[str, Any]:
    """The problem of an error."""
    code = http_code_of(error)
    problem = {
        "title": HTTPStatus(code).phrase,
        "status": code,
        "detail": sentence_of(error),
        "reason": reason_of(error),
    }
    return problem | ({"field": error.field} if error.field else {})


def to_problem(error: TTAError) -> Response:
    """The response for an error. What is only busy says when to come back."""
    code, headers = http_code_of(error), dict[str, str]()
    if error.retry_after is not None or code == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after or 0)))
    if code == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(json.dumps(describe(error), ensure_ascii=False), code, headers, media_type=PROBLEM)
