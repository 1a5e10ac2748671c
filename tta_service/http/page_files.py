"""The console (`page/`) and the reference of this interface (`reference/`), read once and served as they are."""

from __future__ import annotations

import hashlib
import mimetypes
from functools import partial
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

HERE = Path(__file__).parent
PAGE, REFERENCE = HERE / "page", HERE / "reference"
SERVED = (".html", ".js", ".css", ".svg", ".txt")
# Everything comes from this server; pictures and videos also from what a person gives the page.
POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cache-Control": "no-cache",  # names stay while files change with the version: the browser asks, and ETag answers
}


def make_page_routes() -> list[Route]:
    """A route for each file: the console's from `/` on, the reference's from `/docs` on."""
    files = {"/openapi.json": HERE / "openapi.json", **_find(PAGE, "/"), **_find(REFERENCE, "/docs/")}
    return [_make_route(path.removesuffix("/") or "/", file) for path, file in files.items()]


def _find(folder: Path, at: str) -> dict[str, Path]:
    """Files by path; `index.html` is the folder itself."""
    found = sorted(path for path in folder.rglob("*") if path.suffix in SERVED)
    return {at + file.relative_to(folder).as_posix().removesuffix("index.html"): file for file in found}


def _make_route(path: str, file: Path) -> Route:
    body, kind = file.read_bytes(), mimetypes.types_map.get(file.suffix, "text/plain")
    headers = HEADERS | {"ETag": f'"{hashlib.sha256(body).hexdigest()[:32]}"'}
    return Route(path, partial(_send, body, f"{kind}; charset=utf-8", headers), name=path)


async def _send(body: bytes, kind: str, headers: dict[str, str], request: Request) -> Response:
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers | {"Content-Type": kind})
