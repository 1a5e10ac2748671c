"""Errors as RFC 9457 problems: the code, sentence and field that every transport gives."""

from __future__ import annotations

import json
import math
from http import HTTPStatus

from starlette.responses import Response

from ..core.errors import TTAError
from ..wire.status import http_code_of, reason_of, sentence_of


def to_problem(error: TTAError) -> Response:
    """The response for an error."""
    code = http_code_of(error)
    problem = {
        "title": HTTPStatus(code).phrase,
        "status": code,
        "detail": sentence_of(error),
        "reason": reason_of(error),
    }
    if error.field:
        problem["field"] = error.field
    headers = dict[str, str]()
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if code == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    body = json.dumps(problem, ensure_ascii=False)
    return Response(body, code, headers, media_type="application/problem+json")
