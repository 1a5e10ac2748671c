"""What all tabs share: the connection, the key, the layout, and what a screen reader is told."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.page.conftest import Server
from tests.page.test_tabs import ask, show
from tests.page.test_try import choose, drop
from tta_service.wire.keys import ApiKey, Role, edit_keys

pytest.importorskip("playwright", reason="the console is tested with Playwright")
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect


def test_a_killed_server_shows_and_comes_back(browser: Browser, server: Server):
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(server.url)
        expect(page.locator(".server.up")).to_be_visible()
        live = show(page, "live")
        live.get_by_role("button", name="Webcam").click()
        expect(live.locator(".word-of-state")).to_have_text("live")
        server.kill()
        try:
            expect(page.locator(".banner")).to_contain_text("does not answer")
            expect(live.locator(".word-of-state")).to_contain_text("trying again")
        finally:
            server.start()
        expect(page.locator(".server.up")).to_be_visible(timeout=30_000)
        expect(page.locator(".banner")).to_have_count(0)
        expect(live.locator(".word-of-state")).to_have_text("live", timeout=30_000)


def test_the_reference_shows_every_path_under_the_policy_of_this_server(browser: Browser, server: Server):
    with browser.new_context() as context:
        page, complaints = context.new_page(), list[str]()
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: complaints.append(request.url) if server.url not in request.url else None)
        page.goto(f"{server.url}docs")
        paths = httpx.get(f"{server.url}openapi.json").json()["paths"]
        expect(page.locator(".opblock")).to_have_count(sum(map(len, paths.values())))
        assert not complaints


def test_without_the_right_key_the_page_says_so_and_with_it_answers(browser: Browser, tmp_path: Path):
    with edit_keys(file := tmp_path / "keys.json") as keys:
        key, token = ApiKey.make("console", Role.TEACH)
        keys[key.id] = key
    server = Server("--set", f"server.keys={file}")
    server.start()
    with browser.new_context() as context:
        page = context.new_page()
        try:
            page.goto(server.url)
            expect(page.locator(".banner.key")).to_contain_text("API key")
            page.locator("#key").fill(f"{key.id}.wrong")
            page.locator("#key").press("Enter")
            expect(page.locator(".banner.key")).to_contain_text("key")
            page.locator("#key").fill(token)
            page.locator("#key").press("Enter")
            expect(page.locator(".banner.key")).to_have_count(0)
            drop(page, "coffee")
            expect(page.locator(".best")).to_have_count(2)
            live = show(page, "live")
            live.get_by_role("button", name="Webcam").click()  # the key opens a WebSocket too
            expect(live.locator(".best")).to_be_visible()
            assert page.evaluate("localStorage.length + sessionStorage.length + document.cookie.length") == 0
        finally:
            server.kill()


@pytest.mark.parametrize(("width", "theme"), [(360, "light"), (1400, "light"), (1400, "dark")])
def test_every_tab_fits_and_axe_finds_nothing_serious(page: Page, server: Server, width: int, theme: str):
    ask(server, "gate-layout", "coffee", "chelsea")
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=theme, reduced_motion="reduce")
    page.reload()
    page.locator(".server.up").wait_for()
    choose(page, "tda", "mta")
    drop(page, "chelsea")
    expect(page.locator(".best")).to_have_count(2)
    for tab in ("try", "live", "questions", "sessions", "service"):
        shown = show(page, tab)
        if tab == "live":
            shown.get_by_role("button", name="Webcam").click()
            expect(shown.locator(".best")).to_be_visible()
        if tab in ("sessions", "service"):
            expect(shown.locator("table")).to_be_visible()
        if tab == "questions":
            expect(shown.locator(".card").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width, tab
        found = [one for one in Axe().run(page).response["violations"] if one["impact"] in ("serious", "critical")]
        assert not found, [(tab, one["id"], [node["html"][:200] for node in one["nodes"][:3]]) for one in found]
