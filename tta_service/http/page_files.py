"""The console: the files of `page/`, read once and served as they are."""

from __future__ import annotations

import hashlib
import mimetypes
from functools import partial
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

PAGE = Path(__file__).parent / "page"
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


def make_page_routes(folder: Path = PAGE) -> list[Route]:
    """A route for each file of the page, and `/` for its index."""
    routes = list[Route]()
    for file in sorted(path for path in folder.rglob("*") if path.suffix in (".html", ".js", ".css", ".svg", ".txt")):
        name, body = file.relative_to(folder).as_posix(), file.read_bytes()
        kind = mimetypes.types_map.get(file.suffix, "text/plain")
        headers = HEADERS | {"ETag": f'"{hashlib.sha256(body).hexdigest()[:32]}"'}
        path = "/" if name == "index.html" else f"/{name}"
        routes.append(Route(path, partial(_send, body, f"{kind}; charset=utf-8", headers), name=name))
    return routes


async def _send(body: bytes, kind: str, headers: dict[str, str], request: Request) -> Response:
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers | {"Content-Type": kind})
