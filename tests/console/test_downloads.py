"""Downloads of a delivery's page: files to keep, masked as the page is, never shown by the browser."""

from __future__ import annotations

import json
import re
from hashlib import sha256
from html import escape
from pathlib import Path
from xml.etree import ElementTree

import pytest

from postledger import Ledger
from postledger.console.downloads import named
from tests.console import Visitor, visitor
from tests.samples import DEGRADED, SMS, delivered, failed, sent

NUMBER = "16502424956"
KINDS = {
    "dossier": ("text/html; charset=utf-8", "html"),
    "chart": ("image/svg+xml", "svg"),
    "proof": ("application/json", "json"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_downloads_are_never_shown_by_the_browser(known: Visitor, kind: str) -> None:
    """They are saved under a plain name; were one opened, nothing in it would run or be loaded."""
    link = re.search(rf'href="(/delivery/{kind}\?[^"]+)" download', known.page("/delivery", id=SMS))
    assert link is not None
    answer = known.get(link[1].replace("&amp;", "&"))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == KINDS[kind][0]
    named_as = rf'attachment; filename="{kind}-[A-Za-z0-9._-]+\.{KINDS[kind][1]}"'
    assert re.fullmatch(named_as, answer.headers["content-disposition"])
    policy = answer.headers["content-security-policy"]
    assert policy == "default-src 'none'; frame-ancestors 'none'; sandbox"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("kind", KINDS)
def test_downloads_are_masked_as_the_page_is(known: Visitor, record: Path, kind: str) -> None:
    """With the numbers once their unmasking is on record, and only for as long."""
    path = f"/delivery/{kind}"
    assert NUMBER not in known.get(path, params={"id": DEGRADED}).text
    token = known.token("/delivery", "/delivery/unmask", id=DEGRADED)
    form = {"csrf": token, "id": DEGRADED, "reason": "the customer called"}
    assert known.submit("/delivery/unmask", form).status_code == 303
    assert len(record.read_text().splitlines()) == 1
    assert (NUMBER in known.get(path, params={"id": DEGRADED}).text) == (kind == "dossier")
    token = known.token("/delivery", "/delivery/mask", id=DEGRADED)
    known.submit("/delivery/mask", {"csrf": token, "id": DEGRADED})
    assert NUMBER not in known.get(path, params={"id": DEGRADED}).text


@pytest.mark.parametrize("kind", KINDS)
def test_strangers_download_nothing(filled: Path, kind: str) -> None:
    """They are led to the form; a delivery that is not there is not downloaded either."""
    stranger = visitor(filled, name="")
    assert stranger.get(f"/delivery/{kind}?id={SMS}").headers["location"] == "/sign-in"
    known = visitor(filled)
    answer = known.get(f"/delivery/{kind}", params={"id": "nobody"})
    assert (answer.status_code, answer.headers.get("content-disposition")) == (404, None)


def test_a_dossier_is_that_of_the_command(known: Visitor, filled: Path) -> None:
    """As of the place of the slider, as the page is."""
    with Ledger(filled, readonly=True) as ledger:
        whole = ledger.audit(tracking_id=SMS).to_html()
        early = ledger.audit(
            tracking_id=SMS, as_of=ledger.timeline(SMS)[0].event.position
        ).to_html()

    def without_time(text: str) -> str:
        return re.sub(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d[.\d]*", "", text)

    assert without_time(known.page("/delivery/dossier", id=SMS)) == without_time(whole)
    assert without_time(known.page("/delivery/dossier", id=SMS, step=1)) == without_time(early)
    assert without_time(whole) != without_time(early)


def test_a_chart_has_the_path_taken(known: Visitor) -> None:
    """One well-formed SVG, with the numbers of the events on their arrows."""
    root = ElementTree.fromstring(known.page("/delivery/chart", id=DEGRADED))
    texts = {node.text for node in root.iter() if node.text}
    assert {"delivered", "failed", "3", "5"} <= texts
    early = ElementTree.fromstring(known.page("/delivery/chart", id=DEGRADED, step=1))
    assert "5" not in {node.text for node in early.iter() if node.text}


def test_a_proof_leads_to_its_anchor(known: Visitor, filled: Path) -> None:
    """By RFC 9162, without the ledger; the leaf is that of the event."""
    with Ledger(filled, readonly=True) as ledger:
        head, events = str(ledger.head()), [s.event for s in ledger.timeline(DEGRADED)]
    for number, event in enumerate(events, 1):
        found = json.loads(known.page("/delivery/proof", id=DEGRADED, event=number))
        assert (found["event"], found["position"]) == (number, event.position)
        assert (found["anchor"], found["problems"]) == (head, [])
        assert found["proof"]["leaf"] == event.leaf.hex()
        size, root = found["anchor"].split(":")
        node, last = event.position, int(size) - 1
        leaf = event.leaf
        for other in map(bytes.fromhex, found["proof"]["path"]):
            left = node % 2 == 1 or node == last
            leaf = sha256(b"\1" + (other + leaf if left else leaf + other)).digest()
            while left and node and node % 2 == 0:
                node, last = node // 2, last // 2
            node, last = node // 2, last // 2
        assert leaf.hex() == root


HOSTILE = (
    'x"; filename="evil.exe',
    "<script>alert(1)</script>\u202egpj.exe",
    "../../etc/passwd",
    "a" * 3_000,
    "\u00e9\u4e2d",
    "+1 650 333-3058",
)


@pytest.mark.parametrize("key", HOSTILE)
def test_no_id_writes_a_header(ledger: Ledger, key: str) -> None:
    """Of any id only letters, digits, dots, dashes and low lines get into the name of a file."""
    ledger.record(sent(escape(key), TO="16503333058"))
    ledger.record(failed(escape(key)))
    ledger.record(delivered(escape(key), TO="16503333058"))
    known = visitor(ledger)
    (link,) = re.findall(r'<a class="mono" href="/delivery\?([^"]+)"', known.page("/"))
    for kind, (_, suffix) in KINDS.items():
        answer = known.get(f"/delivery/{kind}?{link.replace('&amp;', '&')}")
        assert answer.status_code == 200
        name = answer.headers["content-disposition"]
        assert re.fullmatch(
            rf'attachment; filename="{kind}-[A-Za-z0-9][A-Za-z0-9._-]{{0,60}}\.{suffix}"', name
        )
        assert "<script>alert" not in answer.text
        assert "6503333058" not in re.sub(r"\D", "", name)
        if kind == "dossier" and key == HOSTILE[-1]:
            assert "333-3058" not in answer.text


def test_line_breaks_and_dots_name_no_file() -> None:
    """Whatever an id has: a name stays on one line, in one folder, and is never hidden or empty."""
    assert named("a\r\nSet-Cookie: b=c") == "a_Set-Cookie_b_c"
    for text in ("..", "....//", "\0", "", "\u2022\u2022\u2022", "-_."):
        assert named(text) == "delivery"
