"""The HTTP application: which path leads where."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.routing import Route as Path
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from ..core.errors import NotReady, Unauthenticated
from .calls import Calls, peer_of
from .hosts import HostCheck
from .open_inference import InferenceCalls, make_inference_paths
from .page_files import make_page_routes
from .problems import PROBLEM, is_inference, to_problem
from .routes import ROUTES, Route
from .stream import Streams

Metrics = Callable[[str, str, bool], tuple[bytes, str] | None]  # (accept, authorization, certified) to a text, its type


@dataclass(frozen=True, slots=True)
class Handlers:
    """What answers requests and streams."""

    calls: Calls
    streams: Streams
    inference: InferenceCalls


@dataclass(frozen=True, slots=True)
class Backend:
    """What stands behind the application. `handlers` gives None until the model is loaded."""

    handlers: Callable[[], Handlers | None]
    is_serving: Callable[[], bool]
    metrics: Metrics | None = None
    hosts: Sequence[str] = ()
    origins: Sequence[str] = ()
    grafana: str = ""  # the address of dashboards, for the page


def make_app(backend: Backend) -> ASGIApp:
    """The application."""

    async def answer(route: Route, request: Request) -> Response:
        ready = backend.handlers()
        return to_problem(NotReady("warming up")) if ready is None else await ready.calls.answer(route, request)

    async def stream(socket: WebSocket) -> None:
        if ready := backend.handlers():
            await ready.streams.answer(socket)
        else:
            await socket.send_denial_response(to_problem(NotReady("warming up")))

    def inference() -> InferenceCalls | None:
        ready = backend.handlers()
        return ready and ready.inference

    async def is_alive(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def is_ready(request: Request) -> Response:
        return PlainTextResponse("ok\n") if backend.is_serving() else PlainTextResponse("not serving\n", 503)

    async def tell_page(request: Request) -> Response:
        return JSONResponse({"grafana": backend.grafana})

    async def show_metrics(request: Request) -> Response:
        assert backend.metrics
        given = request.headers.get("accept", ""), request.headers.get("authorization", "")
        shown = await asyncio.to_thread(backend.metrics, *given, bool(peer_of(request).certificate))
        if shown is None:
            return to_problem(Unauthenticated("/metrics takes a token or a client certificate here"))
        return Response(shown[0], headers={"Content-Type": shown[1]})

    paths: list[BaseRoute] = [
        Path(route.path, partial(answer, route), methods=[route.verb], name=route.method) for route in ROUTES
    ]
    paths += [WebSocketRoute("/v1/stream", stream), Path("/healthz", is_alive), Path("/readyz", is_ready)]
    paths += [Path("/metrics", show_metrics)] if backend.metrics else []
    paths += make_inference_paths(inference, backend.is_serving)
    paths += [Path("/console.json", tell_page), *make_page_routes()]
    app = Starlette(routes=paths, exception_handlers={HTTPException: _refuse})
    return HostCheck(app, backend.hosts, backend.origins)


def _refuse(request: Request, error: Exception) -> Response:
    """The problem of a path or a verb that there is not."""
    assert isinstance(error, HTTPException)
    title, detail = HTTPStatus(error.status_code).phrase, f"{request.method} {request.url.path[:200]}"
    if is_inference(request.url.path):
        return JSONResponse({"error": f"{title}: {detail}"}, error.status_code, error.headers)
    problem = {"title": title, "status": error.status_code, "detail": detail}
    return JSONResponse(problem, error.status_code, error.headers, media_type=PROBLEM)
