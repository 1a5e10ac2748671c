"""The Open Inference Protocol by HTTP: `/v2/…`, with its own form of bodies and errors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.routing import Route as Path

from ..core.errors import NotReady, Unsupported
from ..core.events import Observe
from ..methods.oip_status import REFUSED, ServerStatus
from ..wire.identity import Identity
from ..wire.json_mapping import from_json
from ..wire.json_text import load_json
from ..wire.oip.json_replies import dump, to_plain
from ..wire.oip.models import OPEN_INFERENCE, check_model
from ..wire.oip.rest import LENGTH, Form, read_request, write_response
from ..wire.v1 import open_inference_pb2 as oip
from .bodies import SMALL, BodyBudget
from .calls import CallRunner, HttpContext, until_left
from .compression import LEAST, compress, decompress, encoding_of, wanted_encoding
from .problems import to_failure

MODEL = "/v2/models/{name}", "/v2/models/{name}/versions/{version}"
MEMORIES = {"system": "SystemSharedMemory", "cuda": "CudaSharedMemory"}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A path, and the method that answers it."""

    verbs: tuple[str, ...]
    path: str
    method: str


def _endpoints() -> list[Endpoint]:
    get, post, both = ("GET",), ("POST",), ("GET", "POST")
    endpoints = [
        Endpoint(get, "/v2", "ServerMetadata"),
        Endpoint(get, "/v2/models/stats", "ModelStatistics"),
        Endpoint(post, "/v2/repository/index", "RepositoryIndex"),
        Endpoint(post, "/v2/repository/models/{name}/load", "RepositoryModelLoad"),
        Endpoint(post, "/v2/repository/models/{name}/unload", "RepositoryModelUnload"),
        Endpoint(both, "/v2/logging", "LogSettings"),
        Endpoint(both, "/v2/trace/setting", "TraceSetting"),
    ]
    for path in MODEL:
        endpoints += [
            Endpoint(get, path, "ModelMetadata"),
            Endpoint(get, f"{path}/ready", "ModelReady"),
            Endpoint(get, f"{path}/config", "ModelConfig"),
            Endpoint(get, f"{path}/stats", "ModelStatistics"),
            Endpoint(post, f"{path}/infer", "ModelInfer"),
            Endpoint(both, f"{path}/trace/setting", "TraceSetting"),
        ]
    for memory, method in MEMORIES.items():
        for path in (f"/v2/{memory}sharedmemory", f"/v2/{memory}sharedmemory/region/{{name}}"):
            endpoints += [
                Endpoint(get, f"{path}/status", f"{method}Status"),
                Endpoint(post, f"{path}/register", f"{method}Register"),
                Endpoint(post, f"{path}/unregister", f"{method}Unregister"),
            ]
    return endpoints


class InferenceCalls:
    """Answers requests with the methods of the protocol, which are gRPC's too."""

    def __init__(self, methods: ServerStatus, identity: Identity, budget: BodyBudget, observe: Observe) -> None:
        self._methods, self._budget = methods, budget
        self._runner = CallRunner(OPEN_INFERENCE, identity, observe, to_failure)

    async def answer(self, method: str, request: Request) -> Response:
        """The method's reply, or the error. A client that leaves cancels the method."""
        work = partial(self._infer, request) if method == "ModelInfer" else partial(self._ask, method, request)
        return await self._runner.run(method, request, work)

    async def _infer(self, request: Request, context: HttpContext, found: list[Message]) -> Response:
        encoding = encoding_of(request.headers)
        async with self._budget.read(request) as body:
            with self._budget.hold(self._budget.body_bytes if encoding else 0):
                read = partial(self._read, request, encoding)
                small = len(body) <= SMALL and not encoding
                message, form = read(body) if small else await asyncio.to_thread(read, body)
                del body
                found.append(message)
                seconds = context.time_remaining()
                reply: Any = await until_left(self._method("ModelInfer")(message, context), request, seconds)
        head, size = write_response(reply, form)
        return await _to_response(request, head, size)

    def _read(self, request: Request, encoding: str, body: bytes) -> tuple[oip.ModelInferRequest, Form]:
        path = request.path_params
        plain = decompress(body, self._budget.body_bytes) if encoding else body
        return read_request(plain, request.headers.get(LENGTH), path["name"], path.get("version", ""))

    async def _ask(self, method: str, request: Request, context: HttpContext, found: list[Message]) -> Response:
        if method in REFUSED:
            raise Unsupported(REFUSED[method])
        async with self._budget.read(request) as body:
            message = _read_question(method, request, body)
        return WRITERS.get(method, _write)(message, await self._method(method)(message, context))

    def _method(self, name: str) -> Any:
        return getattr(self._methods, name)


def make_inference_paths(calls: Callable[[], InferenceCalls | None], is_serving: Callable[[], bool]) -> list[BaseRoute]:
    """The paths under /v2. Health tells everybody what `/healthz` and `/readyz` tell."""

    async def answer(method: str, request: Request) -> Response:
        ready = calls()
        return to_failure(NotReady("warming up")) if ready is None else await ready.answer(method, request)

    async def is_alive(request: Request) -> Response:
        return Response()

    async def is_ready(request: Request) -> Response:
        return Response() if is_serving() else to_failure(NotReady("the server is not serving"))

    paths: list[BaseRoute] = [Path("/v2/health/live", is_alive), Path("/v2/health/ready", is_ready)]
    return paths + [
        Path(endpoint.path, partial(answer, endpoint.method), methods=list(endpoint.verbs)) for endpoint in _endpoints()
    ]


def _read_question(method: str, request: Request, body: bytes) -> Any:
    """The message of a method that takes a name and a version at most."""
    given = {name: value for name, value in request.path_params.items() if name in ("name", "version")}
    if method == "RepositoryIndex":
        given = load_json(body or b"{}")
    return from_json(getattr(oip, f"{method}Request"), given)


def _write(message: Any, reply: Any) -> Response:
    return _to_json(to_plain(reply))


def _write_config(message: Any, reply: Any) -> Response:
    return _to_json(to_plain(reply.config))


def _write_index(message: Any, reply: Any) -> Response:
    return _to_json([to_plain(model) for model in reply.models])


def _write_nothing(message: Any, reply: Any) -> Response:
    return Response()


def _write_ready(message: Any, reply: Any) -> Response:
    """An empty body. Raises `UnknownModel`, `NotReady`."""
    check_model(message.name, message.version)
    if not reply.ready:
        raise NotReady("the server is not serving")
    return Response()


WRITERS: Mapping[str, Callable[[Any, Any], Response]] = {  # of replies that are not the message in JSON
    "ModelConfig": _write_config,
    "ModelReady": _write_ready,
    "RepositoryIndex": _write_index,
    "SystemSharedMemoryUnregister": _write_nothing,
    "CudaSharedMemoryUnregister": _write_nothing,
}


def _to_json(value: Any) -> Response:
    return Response(dump(value), media_type="application/json")


async def _to_response(request: Request, body: bytes, size: int | None) -> Response:
    headers = {"Content-Type": "application/json" if size is None else "application/octet-stream"}
    if size is not None:
        headers[LENGTH] = str(size)
    if len(body) >= LEAST and (encoding := wanted_encoding(request.headers)):
        headers |= {"Content-Encoding": encoding, "Vary": "Accept-Encoding"}
        body = compress(body, encoding) if len(body) <= SMALL else await asyncio.to_thread(compress, body, encoding)
    return Response(body, headers=headers)
