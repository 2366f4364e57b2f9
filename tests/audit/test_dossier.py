"""The dossier: the path through the statechart, each event, and its proof."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postledger import Ledger, Receipt, UnknownKey
from postledger.audit.diagram import Diagram, diagrams
from postledger.audit.dossier import LONGEST_BODY
from postledger.definitions.chart_toml import load_chart
from tests.audit.pages import SVG, tree
from tests.conftest import ledger_of
from tests.strategies import KEYS, charts, receipts

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


@settings(max_examples=25, deadline=None)
@given(st.lists(receipts(), min_size=1, max_size=12))
def test_proof_of_each_event_can_be_reckoned(given_: list[Receipt]) -> None:
    """Previous hash, head and body of an unmasked dossier give the hash that it shows."""
    with ledger_of(given_) as ledger:
        for key in KEYS:
            try:
                found = said(ledger, key, unmask=True)
            except UnknownKey:
                continue
            for e in found["timeline"]:
                proof = e["proof"]
                whole = f"{proof['head']}\n{e['body']}".encode()
                reckoned = sha256(bytes.fromhex(proof["previous"]) + whole).hexdigest()
                assert reckoned == proof["hash"]
                assert proof["anchor"] == f"{e['position']}:{reckoned}"


def test_path_is_that_of_the_timeline(samples: Ledger) -> None:
    """The arrows taken, the events that left the state as it was, and the contradiction."""
    found = drawn(samples, DEGRADED)
    taken = {name: [a.steps for a in one.arrows if a.steps] for name, one in found.items()}
    assert taken == {"delivery": [(1,), (3,)], "route": [(1,)]}
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


@settings(max_examples=100, deadline=None)
@given(charts())
def test_any_chart_can_be_drawn(source: str) -> None:
    """No two states lie on each other, and all lies within the picture."""
    for one in diagrams(load_chart(source), ()):
        places = [(box.x, box.y) for box in one.boxes]
        assert len(set(places)) == len(places)
        for box in one.boxes:
            assert 0 < box.x < box.x + box.width < one.width
            assert 0 < box.y < box.y + box.height < one.height
        for x, y in places:
            for other_x, other_y in places:
                apart_x = abs(x - other_x) > one.boxes[0].width
                assert (x, y) == (other_x, other_y) or apart_x or abs(y - other_y) > 36


def test_dossier_as_of_a_position_knows_no_more(samples: Ledger) -> None:
    """Events behind the position are neither told of nor counted."""
    found = said(samples, DEGRADED, as_of=6)
    assert (found["state"], found["route"], found["findings"]) == (
        "delivered",
        "xhtml",
        ["no_creation"],
    )
    assert [e["position"] for e in found["timeline"]] == [5, 6]


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
    page = ledger.audit(tracking_id="LONG").to_html()
    assert len(page) < LONGEST_BODY + 30_000
    assert "characters more." in page


def test_bytes_that_are_no_text_are_written_out(ledger: Ledger, tmp_path: Path) -> None:
    """A body in another encoding is shown, not guessed at."""
    ledger.record(
        b"<?xml version='1.0' encoding='iso-8859-1'?><POSTBACK><ORIGIN>SMS_MT</ORIGIN>"
        b"<CODE>N201</CODE><STATUS>Message Sent</STATUS><TRACKINGID>ODD</TRACKINGID>"
        b"<TO>16503333058</TO><NOTE>caf\xe9</NOTE></POSTBACK>"
    )
    page = ledger.audit(tracking_id="ODD").to_html()
    assert "caf\\xe9" in page
    assert ElementTree.fromstring(page) is not None
