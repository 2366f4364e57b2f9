"""The console in a browser: search, live list, slider, unmasking; wide and narrow, light and dark."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from postledger import Ledger
from tests.console import Running, running
from tests.samples import DEGRADED, SMS, delivered, failed, sent

CHROMIUM = shutil.which("chromium")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
AXE = (Path(__file__).parent / "axe.min.js").read_text("utf-8")
LONG = 60_000
"""Milliseconds that a busy machine may take for anything."""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
LOOKS = pytest.mark.parametrize("scheme", ["light", "dark"])
WIDTHS = pytest.mark.parametrize("width", [1280, 390])


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's browser."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture
def console(filled: Path, tmp_path: Path) -> Iterator[Running]:
    """A console of the samples, and of what a hostile sender posts."""
    with Ledger(filled) as ledger:
        ledger.record(sent("<script>alert(1)</script>"))
        key = escape("<script>alert(1)</script>")
        ledger.record(sent(key, STATUSDETAILS="r" * 1_000_000 + "\u202e"))
        ledger.record(failed("disputed"))
        ledger.record(delivered("disputed", TO="16503333058"))
    with running(filled, "--access-record", tmp_path / "access.jsonl") as started:
        yield started


class Watched:
    """A page that keeps what must not happen on it: errors, dialogs, requests elsewhere."""

    def __init__(self, browser: Browser, console: Running, **options: Any) -> None:
        self.console = console
        self.context = browser.new_context(**options)
        self.context.set_default_timeout(LONG)
        self.page: Page = self.context.new_page()
        self.wrong: list[str] = []
        self.page.on("console", lambda said: self.wrong.append(said.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("dialog", lambda dialog: self.wrong.append(dialog.message))
        self.page.on("request", self._requested)

    def _requested(self, request: Any) -> None:
        if not request.url.startswith(f"{self.console.url}/"):
            self.wrong.append(request.url)

    def __enter__(self) -> Page:
        self.page.goto(f"{self.console.url}/")
        self.page.fill("#name", self.console.user)
        self.page.fill("#password", self.console.password)
        self.page.click("button.main")
        self.page.wait_for_selector("#heard")
        return self.page

    def __exit__(self, kind: object, *_: object) -> None:
        self.context.close()
        if kind is None:
            assert self.wrong == []


def require_accessible(page: Page) -> None:
    """No violation that axe finds, and nothing that must be scrolled sideways."""
    page.evaluate(AXE)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    told = [
        (one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found["violations"]
    ]
    assert told == [], page.url
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), page.url


@LOOKS
@WIDTHS
def test_pages_are_accessible(browser: Browser, console: Running, width: int, scheme: Any) -> None:
    """Each, in any light and width; nothing fails, and nothing is loaded from elsewhere."""
    size = {"width": width, "height": 900}
    watched = Watched(browser, console, viewport=size, color_scheme=scheme)
    watched.page.goto(f"{console.url}/sign-in")
    require_accessible(watched.page)
    with watched as page:
        for path in PATHS:
            page.goto(f"{console.url}{path}")
            require_accessible(page)


PATHS = (
    "/",
    "/?only=open",
    "/?q=nothing",
    "/carriers",
    "/unread",
    "/event?position=1",
    "/parked",
    "/integrity",
    f"/delivery?id={DEGRADED}",
    f"/delivery?id={SMS}&step=1",
    "/delivery?id=%3Cscript%3Ealert(1)%3C/script%3E",
)
"""Of all pages, what an address shows."""


@WIDTHS
def test_path_taken_fits_and_can_be_read(browser: Browser, console: Running, width: int) -> None:
    """Whole, without scrolling, in letters of a size that is read: turned where the page is narrow."""
    size = {"width": width, "height": 900}
    with Watched(browser, console, viewport=size) as page:
        page.goto(f"{console.url}/delivery?id={DEGRADED}")
        for shown in page.locator(".wide-chart:visible").all():
            assert shown.evaluate("one => one.scrollWidth <= one.clientWidth")
        heights = page.locator(".wide-chart:visible text:not(.n)").evaluate_all(
            "all => all.map(one => one.getBoundingClientRect().height)"
        )
        assert len(heights) >= 12
        assert min(heights) >= 13
        drawn = page.locator(f".path-{'turned' if width < 700 else 'wide'}")
        assert drawn.is_visible()
        assert page.locator("#h-path ~ div:visible").count() == 1


def test_one_path_is_printed(browser: Browser, console: Running) -> None:
    """The lying one, from a screen of any width."""
    with Watched(browser, console, viewport={"width": 390, "height": 900}) as page:
        page.goto(f"{console.url}/delivery?id={DEGRADED}")
        page.emulate_media(media="print")
        assert page.locator(".path-wide").is_visible()
        assert not page.locator(".path-turned").is_visible()


def test_downloads_are_saved(browser: Browser, console: Running) -> None:
    """A click saves a file and leaves the page where it is, with and without a state of before."""
    with Watched(browser, console) as page:
        page.goto(f"{console.url}/delivery?id={SMS}&step=1")
        for name, suffix in (("Dossier", "html"), ("Chart", "svg"), ("Proof", "json")):
            with page.expect_download() as saved:
                page.click(f"a:has-text('{name}, {suffix.upper()}')")
            assert saved.value.suggested_filename.endswith(f".{suffix}")
            assert saved.value.suggested_filename.startswith(f"{name.lower()}-")
        assert page.url.endswith("step=1")


def test_search_open_and_fold(browser: Browser, console: Running) -> None:
    """A number in any spelling leads to its delivery, and the slider to what was known before."""
    with Watched(browser, console) as page:
        page.fill("#q", "+1 (650) 333-3058")
        page.click("form.search button")
        page.click(f"text={SMS}")
        page.wait_for_selector("h1:has-text('Delivered')")
        page.eval_on_selector(
            "#asof",
            "one => { one.value = 1; one.dispatchEvent(new Event('change', {bubbles: true})); }",
        )
        page.wait_for_selector("h1:has-text('Sent, as known at')")
        assert "step=1" in page.url
        page.go_back()
        page.wait_for_selector("h1:has-text('Delivered')")


def test_list_is_live(browser: Browser, console: Running, filled: Path) -> None:
    """What another process records comes to the top; paused, it waits, and then all of it comes."""
    with Watched(browser, console) as page, Ledger(filled) as ledger:
        page.wait_for_selector("#live[data-state=live]")
        ledger.record(sent("live-one"))
        row = page.wait_for_selector("#live-list tbody tr:first-child:has-text('live-one')")
        assert row is not None
        assert "Sent" in row.inner_text()
        ledger.record(delivered("live-one"))
        page.wait_for_selector("#live-list tbody tr:first-child:has-text('Delivered')")
        assert page.locator("tr:has-text('live-one')").count() == 1
        page.click("#pause")
        ledger.record(sent("live-two"))
        ledger.record(sent("live-three"))
        page.click("#pause")
        page.wait_for_selector("#live-list tbody tr:nth-child(2):has-text('live-two')")
        page.click("text=No outcome")
        page.wait_for_selector("nav.pick a[aria-current]:has-text('No outcome')")
        page.wait_for_selector("#live[data-state=live]")
        ledger.record(delivered("live-two"))
        page.wait_for_selector("tr:has-text('live-two')", state="detached")


def test_unmasking_is_on_record(browser: Browser, console: Running, tmp_path: Path) -> None:
    """The number is shown once it is, and hidden again when that is asked for."""
    with Watched(browser, console) as page:
        page.goto(f"{console.url}/delivery?id={DEGRADED}")
        assert "16502424956" not in page.content()
        page.click("text=Unmask, on record >> nth=0")
        page.fill("#reason", "the customer called")
        page.click("button:has-text('Unmask, on record')")
        page.wait_for_selector("text=16502424956 >> nth=0")
        (line,) = (tmp_path / "access.jsonl").read_text().splitlines()
        assert json.loads(line)["delivery"] == DEGRADED
        require_accessible(page)
        page.click("text=Mask again")
        page.wait_for_selector("text=•••••••4956 >> nth=0")
        assert "16502424956" not in page.content()


def test_all_of_it_works_without_scripts(
    browser: Browser, console: Running, tmp_path: Path
) -> None:
    """Search, pages, the slider by its button, and unmasking."""
    with Watched(browser, console, java_script_enabled=False) as page:
        page.fill("#q", SMS)
        page.click("form.search button")
        page.click(f"a:has-text('{SMS}')")
        page.focus("#asof")
        page.keyboard.press("Home")
        page.click("#fold button")
        page.wait_for_selector("h1:has-text('Sent, as known at')")
        page.click(".stops a >> nth=1")
        page.fill("#reason", "the customer called")
        page.click("button:has-text('Unmask, on record')")
        page.wait_for_selector("text=16503333058 >> nth=0")
        assert (tmp_path / "access.jsonl").read_text().count("\n") == 1
        page.click("text=Sign out")
        page.wait_for_selector("h1:has-text('Sign in')")
