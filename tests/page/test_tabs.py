"""Live, Questions, Sessions and Service."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.page.conftest import Server, photo
from tests.page.test_try import choose

pytest.importorskip("playwright", reason="the console is tested with Playwright")
from playwright.sync_api import Page, expect

NAMES = "cat,dog,coffee"


def show(page: Page, tab: str) -> Any:
    page.locator(f"nav a[href='#{tab}']").click()
    return page.locator("section:not([hidden])")


def ask(server: Server, session: str, *photos: str) -> None:
    """Photos that wait for a person's word, in that session."""
    options = json.dumps({"strategy": {"name": "tip_adapter"}, "ask": True})
    for name in photos:
        form = {"labels": NAMES, "options": options, "session_id": session}
        reply = httpx.post(f"{server.url}v1/classify", files={"image": photo(name).read_bytes()}, data=form, timeout=60)
        assert reply.is_success, reply.text


def test_half_a_minute_of_webcam_is_answered_by_two_strategies_and_a_lesson_is_learnt(page: Page):
    live = show(page, "live")
    choose(page, "zero_shot", "tip_adapter")
    live.get_by_role("button", name="Webcam").click()
    learner, plain = (live.locator(f".column[aria-label={name}]") for name in ("tip_adapter", "zero_shot"))
    expect(learner.locator(".best b")).to_have_text("coffee")
    expect(plain.locator(".best b")).to_have_text("coffee")
    expect(plain.locator(".stable")).to_have_text("coffee")
    sent = live.locator(".strip div", has_text="Sent").locator("dd")
    for _ in range(4):  # answers go on coming
        before = int(sent.inner_text())
        page.wait_for_timeout(6000)
        assert int(sent.inner_text()) > before
    for _ in range(2):
        learner.get_by_label("Wrong, it is").select_option("flower")
        expect(live.locator(".said")).to_contain_text("flower")
        page.wait_for_timeout(1000)
    learnt = "document.querySelector('.column[aria-label=tip_adapter]:not([hidden]) .bars').innerText"
    page.wait_for_function(f"parseFloat({learnt}.split('flower')[1]) > 5")
    page.wait_for_timeout(3000)
    assert int(sent.inner_text()) > 20
    choose(page, "mta")  # while it runs
    expect(live.locator(".column[aria-label=mta] .best")).to_be_visible()
    expect(live.locator(".curve canvas")).to_be_visible()
    show(page, "try")
    expect(live.locator(".strip")).to_have_count(0)  # no camera stays on behind another tab


def test_photos_make_a_virtual_camera(page: Page):
    live = show(page, "live")
    live.get_by_label("Photos").set_input_files([photo("coffee"), photo("chelsea")])
    expect(live.locator(".column[aria-label=taught] .best")).to_be_visible()
    expect(live.locator(".word-of-state")).to_have_text("live")
    live.get_by_role("button", name="Stop").click()
    expect(live.locator(".picture.blank")).to_be_visible()


def test_one_label_answers_many_questions_and_can_be_taken_back(page: Page, server: Server):
    ask(server, "gate-questions", "coffee", "chelsea", "astronaut", "horse")
    questions = show(page, "questions")
    questions.locator("select").select_option("session gate-questions")
    expect(questions.locator(".card img")).to_have_count(4)
    questions.locator(".card").nth(0).click()
    questions.locator(".card").nth(2).click(modifiers=["Shift"])
    expect(questions.locator(".card[aria-pressed=true]")).to_have_count(3)
    questions.get_by_role("button", name="none of these").click()
    expect(questions.locator(".said")).to_contain_text("3 taught: none of these")
    expect(questions.locator(".card")).to_have_count(1)
    lessons = f"{server.url}v1/sessions/gate-questions/lessons"
    assert len(httpx.get(lessons).json()["lessons"]) == 3
    questions.get_by_role("button", name="Undo").click()
    expect(questions.locator(".said")).to_have_count(0)
    assert httpx.get(lessons).json()["lessons"] == []
    questions.locator(".card").first.click()
    questions.get_by_label("Another label").fill("horse")  # not in the label set
    questions.get_by_label("Another label").press("Enter")
    expect(questions.get_by_role("alert")).to_contain_text("horse")


def test_a_session_is_reset_copied_closed_and_restored(page: Page, server: Server, tmp_path: Path):
    ask(server, "gate-sessions", "coffee")
    sessions = show(page, "sessions")
    row = sessions.locator("tr", has_text="gate-sessions")
    expect(row).to_contain_text("tip_adapter")
    sessions.get_by_label("of all owners").check()
    expect(sessions.locator("th", has_text="Owner")).to_be_visible()
    with page.expect_download() as download:
        row.get_by_role("button", name="Snapshot").click()
    download.value.save_as(file := tmp_path / download.value.suggested_filename)
    row.get_by_role("button", name="Close").click()
    row.get_by_role("button", name="Close").click()  # sure
    expect(row).to_have_count(0)
    sessions.get_by_label("Snapshot", exact=True).set_input_files(file)
    expect(row).to_contain_text("tip_adapter")
    (answered := tmp_path / "answered.json").write_text(f'{{"snapshot": {file.read_text()}}}')  # by GET
    sessions.get_by_label("Snapshot", exact=True).set_input_files(answered)
    expect(sessions.get_by_role("status")).to_contain_text("gate-sessions is restored")
    row.get_by_role("button", name="Reset").click()
    row.get_by_role("button", name="Reset").click()
    expect(sessions.get_by_role("status")).to_contain_text("has forgotten")
    (wrong := tmp_path / "wrong.json").write_text("[1")
    sessions.get_by_label("Snapshot", exact=True).set_input_files(wrong)
    expect(sessions.get_by_role("alert")).to_contain_text("wrong.json is no snapshot")


def test_the_service_shows_its_facts_and_how_long_answers_took(page: Page, server: Server):
    ask(server, "gate-service", "coffee")
    service = show(page, "service")
    expect(service).to_contain_text("pocket")
    row = service.locator("tr", has_text="tip_adapter")
    expect(row.locator("td").nth(1)).to_have_text(re.compile(r"^\d+\.\d$"))
    batch = service.locator(".strip div", has_text="Rows in a batch").locator("dd")
    expect(batch).to_have_text(re.compile(r"^\d+\.\d$"))
    expect(service.get_by_role("link", name="REST interface")).to_have_attribute("href", "docs")
    expect(row.get_by_role("link")).to_have_attribute("href", "https://arxiv.org/abs/2111.03930")
