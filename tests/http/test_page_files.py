"""The console's files as they are served, without a browser."""

from __future__ import annotations

import re

import pytest
from pydantic import ValidationError

from tests.http.conftest import BothTransports
from tta_service.http.page_files import PAGE, make_page_routes
from tta_service.sections import Http

FILES = [route.path for route in make_page_routes()]


@pytest.mark.parametrize("path", ["/", "/app.js", "/vendor/uplot.js"])
async def test_a_file_is_asked_for_once_and_then_confirmed(both: BothTransports, path: str):
    first = await both.http.get(path)
    assert first.status_code == 200 and first.headers["cache-control"] == "no-cache"
    assert first.headers["content-security-policy"].startswith("default-src 'self'")
    assert "unsafe" not in first.headers["content-security-policy"]
    again = await both.http.get(path, headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_scripts_and_styles_have_the_types_that_browsers_insist_on(both: BothTransports):
    kinds = {path: (await both.http.get(path)).headers["content-type"] for path in FILES}
    assert all("javascript" in kind for path, kind in kinds.items() if path.endswith(".js"))
    assert all(kind.startswith("text/css") for path, kind in kinds.items() if path.endswith(".css"))


@pytest.mark.parametrize("path", ["/nosuch.js", "/vendor/", "/../app.py", "/page_files.py"])
async def test_nothing_else_is_served(both: BothTransports, path: str):
    assert (await both.http.get(path)).status_code == 404


def test_all_files_together_are_small():
    assert sum(path.stat().st_size for path in PAGE.rglob("*") if path.is_file()) <= 250_000


def test_the_page_names_only_files_that_it_has():
    for source in [path for path in PAGE.rglob("*") if path.suffix in (".html", ".js") and "vendor" not in path.parts]:
        text = source.read_text()
        assert not re.search(r"""(?:src|href|from)=?\s*["']https?:""", text), source
        for name in re.findall(r"""(?:src=|href=|from )"((?!#)[\w./-]+\.\w+)\"""", text):
            assert (source.parent / name).is_file(), (source, name)


async def test_the_page_is_told_where_the_dashboards_are(both: BothTransports):
    assert (await both.http.get("/console.json")).json() == {"grafana": ""}
    assert Http(grafana="https://grafana.example.org/d/tta").grafana
    with pytest.raises(ValidationError):
        Http(grafana="javascript:alert(1)")
