"""Try: a photo, several strategies, a lesson."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.page.conftest import photo

pytest.importorskip("playwright", reason="the console is tested with Playwright")
from playwright.sync_api import Page, expect

DROP = """async ([bytes, name]) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([new Uint8Array(bytes)], name, {type: "image/png"}));
    document.querySelector(".picture").dispatchEvent(
        new DragEvent("drop", {dataTransfer: transfer, bubbles: true, cancelable: true}));
}"""


def drop(page: Page, name: str) -> None:
    page.evaluate(DROP, [list(photo(name).read_bytes()), f"{name}.png"])


def choose(page: Page, *names: str) -> None:
    """Tick these strategies and no others, in the tab that shows."""
    chips = page.locator("section:not([hidden]) .chips")
    while chips.locator("input:checked").count():
        chips.locator("input:checked").first.uncheck(force=True)
    for name in names:
        chips.get_by_role("checkbox", name=re.compile(rf"^{name}\b")).check(force=True)


def test_a_dropped_photo_is_answered_by_four_strategies_side_by_side(page: Page):
    choose(page, "zero_shot", "tda", "mta", "zero")
    expect(page.locator("section:not([hidden]) .chips input:enabled")).to_have_count(4)  # no fifth
    drop(page, "coffee")
    expect(page.locator(".column .best")).to_have_count(4)
    expect(page.locator(".column[aria-label=mta] .bars li")).to_have_count(6)
    cells = page.locator(".column[aria-label=mta] .cells")
    expect(cells.locator("i")).to_have_count(64)
    cells.locator("i").nth(20).hover()
    expect(page.locator(".frame .crop")).to_be_visible()
    expect(page.locator(".column[aria-label=mta] .views .hint")).to_contain_text("view 20")
    cells.focus()
    cells.press("ArrowRight")
    expect(cells).to_have_attribute("aria-valuenow", "22")
    expect(page.locator(".column[aria-label=mta] .facts")).to_contain_text("encode")


def test_a_lesson_flips_the_answer_and_can_be_taken_back(page: Page):
    choose(page, "zero_shot", "tip_adapter")
    drop(page, "chelsea")
    learner = page.locator(".column[aria-label=tip_adapter]")
    expect(learner.locator(".best b")).to_have_text("dog")  # it is a cat
    learner.get_by_label("Wrong, it is").select_option("cat")
    expect(learner.locator(".best b")).to_have_text("cat")
    expect(page.locator(".column[aria-label=zero_shot] .best b")).to_have_text("dog")
    page.get_by_role("button", name="Undo").click()
    expect(learner.locator(".best b")).to_have_text("dog")
    expect(page.locator(".said")).to_have_count(0)


def test_parameters_and_labels_are_those_of_the_forms_and_mistakes_name_their_field(page: Page):
    choose(page, "mta")
    page.locator("#try-labels").fill("cup of coffee\ntable")
    drop(page, "coffee")
    expect(page.locator(".column .bars li")).to_have_count(2)
    page.locator("section:not([hidden]) details.parameters summary").click()
    page.locator("#try-mta-views").fill("8")
    page.get_by_role("button", name="Answer").click()
    expect(page.locator(".cells i")).to_have_count(8)
    page.locator("#try-labels").fill("cup, cup")
    page.get_by_role("button", name="Answer").click()
    expect(page.locator(".column .problem")).to_contain_text("labels.label_set.names")


def test_the_photo_shows_where_the_model_looked_and_which_patches_are_one_token(page: Page):
    choose(page, "zero_shot", "tda")
    page.locator("#try-reducer").select_option("tome")
    drop(page, "chelsea")
    column = page.locator(".column[aria-label=tda]")
    column.get_by_role("button", name="Attention").click()
    expect(page.locator(".frame canvas.attention")).to_be_visible()
    expect(column).to_contain_text("Brighter where the model looked")
    column.get_by_role("button", name="Tokens").click()
    expect(page.locator(".frame canvas")).to_have_count(1)
    expect(column.locator(".overlays .hint")).to_have_text(re.compile(r"^64 patches became [1-5]?\d tokens"))
    column.get_by_role("button", name="Tokens").click()
    expect(page.locator(".frame canvas")).to_have_count(0)


def test_what_is_copied_names_the_photo_the_labels_and_the_parameters(page: Page):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    choose(page, "tda")
    drop(page, "coffee")
    expected = {
        "curl": ["-F image=@'coffee.png'", "strategy=tda", "cat,dog"],
        "Python": ['client.classify("coffee.png"', '"tda"', '"cat", "dog"'],
        "tta-camera": ["--strategy tda", "cat,dog"],
    }
    for name, words in expected.items():
        page.get_by_text("copy as").click()
        page.get_by_role("button", name=name).click()
        expect(page.locator(".menu summary")).to_have_text("copied")
        copied = page.evaluate("navigator.clipboard.readText()")
        assert all(word in copied for word in words), copied
        expect(page.locator(".menu summary")).to_have_text("copy as")


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_the_copied_command_asks_about_every_label(page: Page, tmp_path: Path):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    labels = ["a cup; full", "@home", "it's a dog"]
    page.locator("#try-labels").fill(", ".join(labels))
    choose(page, "tda")
    drop(page, "coffee")
    (tmp_path / "coffee.png").write_bytes(photo("coffee").read_bytes())
    page.get_by_text("copy as").click()
    page.get_by_role("button", name="curl").click()
    expect(page.locator(".menu summary")).to_have_text("copied")
    command = page.evaluate("navigator.clipboard.readText()")
    reply = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, check=True).stdout
    assert sorted(one["label"] for one in json.loads(reply)["top"]) == sorted(labels)
