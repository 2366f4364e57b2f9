"""The dossier: the path through the statechart, each event, and its proof."""

from __future__ import annotations

import json
import re
from hashlib import sha256
from itertools import combinations
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postledger import Anchor, Ledger, Receipt, UnknownKey
from postledger.audit.dossier import LONGEST_BODY
from postledger.audit.plots.diagram import COMPACT, TURNED, WIDE, Diagram, Style, diagrams
from postledger.definitions.chart_toml import load_chart
from tests.audit.pages import SVG, tree
from tests.conftest import FIXTURES, ledger_of
from tests.stores import both_stores, in_file, tamper
from tests.strategies import KEYS, charts, receipts

pytestmark = both_stores

DEGRADED = "TU1TXzU5Nzg3Nw=="


@pytest.fixture
def samples(ledger: Ledger, specification: list[bytes]) -> Ledger:
    """The ledger of the specification's samples."""
    ledger.record_many(specification)
    return ledger


def said(ledger: Ledger, key: str, **asked: Any) -> dict[str, Any]:
    """The delivery in the JSON of its dossier."""
    found: dict[str, Any] = json.loads(ledger.audit(tracking_id=key, **asked).to_json())["delivery"]
    return found


def drawn(ledger: Ledger, key: str) -> dict[str, Diagram]:
    """The diagrams of a dossier by region."""
    dossier = ledger.audit(tracking_id=key).dossier
    assert dossier is not None
    return {one.region: one for one in diagrams(dossier.chart, dossier.exhibits)}


def test_dossier_is_delivery_and_timeline(samples: Ledger) -> None:
    """State and steps are those that the ledger gives, in the same order."""
    found = said(samples, DEGRADED, unmask=True)
    delivery = samples.delivery(DEGRADED).to_dict()
    assert {name: found[name] for name in delivery} == delivery
    for shown, step in zip(found["timeline"], samples.timeline(DEGRADED), strict=True):
        known = step.to_dict()
        assert {name: shown[name] for name in known} == known
        assert shown["body"].encode() == step.event.body


def root_of(leaf: str, path: list[str], index: int, size: int) -> str:
    """The root that a proof leads to: RFC 9162, section 2.1.3.2, by hand."""
    computed, last = bytes.fromhex(leaf), size - 1
    for other in map(bytes.fromhex, path):
        assert last > 0
        if index % 2 or index == last:
            computed = sha256(b"\1" + other + computed).digest()
            while not index % 2 and index:
                index, last = index // 2, last // 2
        else:
            computed = sha256(b"\1" + computed + other).digest()
        index, last = index // 2, last // 2
    assert last == 0
    return computed.hex()


@settings(max_examples=25, deadline=None)
@given(st.lists(receipts(), min_size=1, max_size=12), st.integers(0, 300))
def test_proof_of_each_event_leads_to_the_anchor(given_: list[Receipt], more: int) -> None:
    """Leaf, position and proof of each event give the root that the report states."""
    with ledger_of([*given_, *(b"%d" % n for n in range(more))]) as ledger:
        for key in KEYS:
            try:
                report = ledger.audit(tracking_id=key).to_dict()
            except UnknownKey:
                continue
            assert report["integrity"]["ok"]
            anchor = Anchor.parse(report["integrity"]["anchor"])
            assert anchor == ledger.head()
            for shown, step in zip(
                report["delivery"]["timeline"], ledger.timeline(key), strict=True
            ):
                leaf, path = shown["proof"]["leaf"], shown["proof"]["path"]
                assert leaf == step.event.leaf.hex()
                assert root_of(leaf, path, shown["position"], anchor.size) == anchor.root


def test_proof_that_does_not_hold_is_a_problem(samples: Ledger) -> None:
    """A leaf that was altered in the file: the dossier says of which event."""
    tamper(samples.path, "UPDATE events SET leaf = ? WHERE position = 6", bytes(32))
    report = samples.audit(tracking_id=DEGRADED)
    assert "position 6: its proof doesn't lead to the anchor" in report.integrity.problems
    assert "Not all holds" in report.to_html()


@pytest.mark.parametrize("unmask", [False, True])
def test_dossier_never_shows_what_covers_a_number(samples: Ledger, unmask: bool) -> None:
    """Neither the salt of an event, nor its identity, nor a bare hash of its body."""
    report = samples.audit(tracking_id=DEGRADED, unmask=unmask)
    forms = report.to_html() + report.to_markdown() + report.to_json()
    salts = samples.query("SELECT position, salt FROM events")
    for step in samples.timeline(DEGRADED):
        (salt,) = (row["salt"].hex() for row in salts if row["position"] == step.event.position)
        body = step.event.body
        for secret in (salt, step.event.identity.hex(), sha256(body).hexdigest()):
            assert secret not in forms
        assert sha256(bytes.fromhex(salt) + body).hexdigest() not in forms
        assert step.event.leaf.hex() in forms


def test_member_of_a_bundle_is_told(ledger: Ledger) -> None:
    """An event of a bundle says its place in the body, and all share one leaf."""
    body = (FIXTURES / "generations" / "g0" / "bundle.xml").read_bytes()
    recorded = ledger.record(body, source="skycore")
    told = [one for one in (recorded, *recorded.others) if one.delivery is not None]
    for one in told:
        assert one.delivery is not None
        report = ledger.audit(tracking_id=one.delivery.tracking_id)
        assert report.dossier is not None
        members = {exhibit.member for exhibit in report.dossier.exhibits}
        assert one.event.member in members
        assert {e.proof.leaf for e in report.dossier.exhibits} == {one.event.leaf.hex()}
        assert "skycore" in report.to_html()
    assert max(one.event.member for one in told) > 0


def test_path_is_that_of_the_timeline(samples: Ledger) -> None:
    """The arrows taken, the events that left the state as it was, and the contradiction."""
    found = drawn(samples, DEGRADED)
    taken = {name: [a.steps for a in one.arrows if a.steps] for name, one in found.items()}
    assert taken == {"delivery": [(1,), (3,)], "route": [(1,)], "reading": [], "grade": []}
    badges = {name: [(b.text, b.kind) for b in one.badges] for name, one in found.items()}
    assert badges["delivery"] == [("1", "moved"), ("3", "moved"), ("2", "stayed"), ("5", "refused")]
    assert badges["route"] == [("1", "moved"), ("2", "stayed")]
    assert [b.name for b in found["delivery"].boxes if b.current] == ["delivered"]
    visited = [b.name for b in found["delivery"].boxes if b.visited]
    assert visited == ["created", "sent", "delivered"]


def test_path_in_words_is_in_the_picture(samples: Ledger) -> None:
    """Who doesn't see the picture hears the same path."""
    page = tree(samples.audit(tracking_id=DEGRADED).to_html())
    words = ["".join(d.itertext()) for d in page.iter(f"{SVG}desc")]
    assert words == [
        "It starts in created. Event 1 moves it from created to sent. Event 2 leaves it sent. Event"
        " 3 moves it from sent to delivered. Event 5 contradicts and leaves it delivered.",
        "It starts in unknown. Event 1 moves it from unknown to degraded. Event 2 leaves it"
        " degraded.",
    ]


def test_every_transition_of_a_chart_is_drawn_once(samples: Ledger) -> None:
    """One arrow for each pair of states with a transition between them."""
    found = drawn(samples, DEGRADED)
    for region in samples.definitions.charts["delivery"].regions:
        pairs = {(t.source, t.dest) for t in region.transitions if t.source != t.dest}
        assert len(found[region.name].arrows) == len(pairs)
        assert [box.name for box in found[region.name].boxes] == list(region.states)


@in_file
@settings(max_examples=100, deadline=None)
@given(charts(), st.sampled_from([WIDE, COMPACT, TURNED]))
def test_any_chart_can_be_drawn(source: str, style: Style) -> None:
    """No two states lie on each other, and all lies within the picture, whatever room it has."""
    for one in diagrams(load_chart(source), (), style):
        for box in one.boxes:
            assert 0 < box.x < box.x + box.width < one.width
            assert 0 < box.y < box.y + box.height < one.height
        for box, other in combinations(one.boxes, 2):
            left, right = sorted((box, other), key=lambda one: one.x)
            upper, lower = sorted((box, other), key=lambda one: one.y)
            assert left.x + left.width < right.x or upper.y + upper.height < lower.y


def test_dossier_as_of_a_position_knows_no_more(samples: Ledger) -> None:
    """Events behind the position are neither told of nor counted."""
    found = said(samples, DEGRADED, as_of=6)
    assert (found["state"], found["route"], found["findings"]) == (
        "delivered",
        "xhtml",
        ["no_creation"],
    )
    assert [(e["number"], e["position"]) for e in found["timeline"]] == [(1, 5), (2, 6)]


def test_a_dossier_says_what_its_numbers_count(samples: Ledger) -> None:
    """All that is known, or what was known then; a number leads to the event, and a position too."""
    now, then = (samples.audit(tracking_id=DEGRADED, as_of=at) for at in (None, 6))
    for report, said in (
        (now, "the third of these;"),
        (then, "the third of those that were known"),
    ):
        assert said in report.to_markdown()
        page = report.to_html()
        assert said in page
        table = page.partition("The events in the order")[2].partition("</table>")[0]
        targets = re.findall(r'href="#([^"]+)"', table)
        assert report.dossier is not None
        assert targets == [
            name
            for one in report.dossier.exhibits
            for name in (f"event-{one.number}", f"position-{one.position}")
        ]
        assert all(page.count(f'id="{name}"') == 1 for name in targets)


def test_unknown_delivery_is_an_error(samples: Ledger) -> None:
    """There is no dossier of what was never heard of."""
    with pytest.raises(UnknownKey, match="no delivery 'NOPE' is known"):
        samples.audit(tracking_id="NOPE")


def test_long_body_is_cut_and_says_so(ledger: Ledger) -> None:
    """A body of megabytes doesn't make a page of megabytes."""
    note = "x" * (LONGEST_BODY + 1000)
    ledger.record(
        b"<POSTBACK><ORIGIN>SMS_MT</ORIGIN><CODE>N201</CODE><STATUS>Message Sent</STATUS>"
        b"<TRACKINGID>LONG</TRACKINGID><TO>16503333058</TO><NOTE>%s</NOTE></POSTBACK>"
        % note.encode()
    )
    page = ledger.audit(tracking_id="LONG", unmask=True).to_html()
    assert len(page) < LONGEST_BODY + 60_000
    assert "characters more." in page


def test_bytes_that_are_no_text_are_written_out(ledger: Ledger, tmp_path: Path) -> None:
    """A body in another encoding is shown, not guessed at."""
    ledger.record(
        b"<?xml version='1.0' encoding='iso-8859-1'?><POSTBACK><ORIGIN>SMS_MT</ORIGIN>"
        b"<CODE>N201</CODE><STATUS>Message Sent</STATUS><TRACKINGID>ODD</TRACKINGID>"
        b"<TO>16503333058</TO><NOTE>caf\xe9</NOTE></POSTBACK>"
    )
    page = ledger.audit(tracking_id="ODD", unmask=True).to_html()
    assert "caf\\xe9" in page
    assert ElementTree.fromstring(page) is not None


def test_dossier_names_the_part_of_each_event(tmp_path: Path) -> None:
    """In the table and at the event."""
    with Ledger(tmp_path / "l.db", providers=["smpp_parts"]) as ledger:
        for number in (1, 2):
            ledger.record((FIXTURES / f"providers/smpp_parts/part-{number}.json").read_bytes())
        (one,) = ledger.deliveries()
        dossier = ledger.audit(tracking_id=one.tracking_id, space=one.space)
    for part in ("delivered (part 1 of 2)", "delivered (part 2 of 2)"):
        assert dossier.to_html().count(part) == 2
        assert part in dossier.to_markdown()
