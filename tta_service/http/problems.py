"""Errors as RFC 9457 problems: the code, sentence and field that every transport gives."""

from __future__ import annotations

import json
import math
from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse, Response

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
    problem |= {"field": error.field} if error.field else {}
    return problem | ({"quota": error.quota} if error.quota else {})


def to_problem(error: TTAError) -> Response:
    """The response for an error."""
    body = json.dumps(describe(error), ensure_ascii=False)
    return Response(body, http_code_of(error), _headers(error), media_type=PROBLEM)


def to_failure(error: TTAError) -> Response:
    """The same in the form of the Open Inference Protocol."""
    return JSONResponse({"error": sentence_of(error)}, http_code_of(error), _headers(error))


def to_refusal(error: TTAError, path: str) -> Response:
    """The response for an error, in the form of what is under that path."""
    return (to_failure if is_inference(path) else to_problem)(error)


def is_inference(path: str) -> bool:
    """Whether it is a path of the Open Inference Protocol."""
    return path == "/v2" or path.startswith("/v2/")


def _headers(error: TTAError) -> dict[str, str]:
    """What is only busy says when to come back."""
    code, headers = http_code_of(error), dict[str, str]()
    if error.retry_after is not None or code in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after or 0)))
    if code == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return headers
