"""Reports in a browser: accessible, wide and narrow, light and dark, and asking for nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from postledger import Cover
from tests.audit.traffic import START, traffic
from tests.conftest import ledger_of

CHROMIUM = shutil.which("chromium")
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
AXE = (Path(__file__).parent.parent / "console" / "axe.min.js").read_text("utf-8")
LONG = 60_000
"""Milliseconds that a busy machine may take for anything."""

HOSTILE = b"""<POSTBACK><ORIGIN>SMS_MT</ORIGIN><CODE>N201</CODE><STATUS>Message Sent</STATUS>
<TO>16503333058</TO><TRACKINGID>%s&lt;script&gt;alert(1)&lt;/script&gt;</TRACKINGID>
<SPID>%s</SPID></POSTBACK>""" % (b"W" * 150, b"9x" * 60)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's browser."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A report with a period before, one of everything with hostile texts, and a disputed dossier."""
    folder = tmp_path_factory.mktemp("pages")
    period = {"since": START + timedelta(days=10), "until": START + timedelta(days=26)}
    with ledger_of([*traffic(400, seed=3, days=28), HOSTILE]) as ledger:
        month = ledger.audit(**period, cover=Cover("June", ["A", "B"], "R-7", "I. Okafor"))
        assert month.figures is not None
        key = month.figures.contradictions.latest[0].tracking_id
        made = {"month": month, "all": ledger.audit(unmask=True)}
        made["dossier"] = ledger.audit(tracking_id=key, unmask=True)
    for name, report in made.items():
        (folder / f"{name}.html").write_text(report.to_html(), "utf-8")
    return {name: (folder / f"{name}.html").as_uri() for name in made}


@pytest.mark.parametrize("name", ["month", "all", "dossier"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_reports_are_accessible(
    browser: Browser, pages: dict[str, str], name: str, width: int, scheme: Any
) -> None:
    """Nothing that axe finds, nothing to scroll sideways, no error, and no request but for the page."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    context.set_default_timeout(LONG)
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda said: wrong.append(said.text))
    page.on("dialog", lambda dialog: wrong.append(dialog.message))
    page.on("request", lambda request: wrong.append(request.url))
    page.goto(pages[name])
    assert wrong == [pages[name]]
    assert _cut(page) == []
    page.evaluate(AXE)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert [one["id"] for one in found["violations"]] == []
    context.close()


def _cut(page: Page) -> list[str]:
    """What stands out of the page, or out of a box that hides it; charts and bodies may be scrolled."""
    cut: list[str] = page.evaluate(
        """[...document.querySelectorAll("td > span, th, dd, h1, h2, p, figcaption")]
        .filter(e => !e.closest(".across, pre, .off, thead") && e.getClientRects().length)
        .filter(e => e.getBoundingClientRect().right > innerWidth + 1)
        .map(e => e.textContent.slice(0, 60))"""
    )
    return cut
