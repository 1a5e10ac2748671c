"""The HTTP application: which path leads where."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute
from starlette.routing import Route as Path

from ..core.errors import NotReady
from .calls import Calls
from .problems import to_problem
from .routes import ROUTES, Route


def make_app(calls: Callable[[], Calls | None], is_serving: Callable[[], bool]) -> Starlette:
    """The application. `calls` gives None until the model is loaded."""

    async def answer(route: Route, request: Request) -> Response:
        ready = calls()
        return to_problem(NotReady("warming up")) if ready is None else await ready.answer(route, request)

    async def is_alive(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def is_ready(request: Request) -> Response:
        return PlainTextResponse("ok\n") if is_serving() else PlainTextResponse("not serving\n", 503)

    paths: list[BaseRoute] = [
        Path(route.path, partial(answer, route), methods=[route.verb], name=route.method) for route in ROUTES
    ]
    paths += [Path("/healthz", is_alive), Path("/readyz", is_ready)]
    return Starlette(routes=paths, exception_handlers={HTTPException: _refuse})


def _refuse(request: Request, error: Exception) -> Response:
    """The problem of a path or a verb that there is not."""
    assert isinstance(error, HTTPException)
    title = HTTPStatus(error.status_code).phrase
    problem = {"title": title, "status": error.status_code, "detail": f"{request.method} {request.url.path[:200]}"}
    return JSONResponse(problem, error.status_code, error.headers, media_type="application/problem+json")
