"""The pages next to the deliveries: carriers, unread bodies, parked messages, integrity."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from postledger import UNVERIFIED, Ledger, Receipt
from postledger.console.asking import Asking
from postledger.console.views.carriers import carriers_of
from postledger.console.views.unread import unread_of
from postledger.server.endpoints import endpoint_of
from postledger.server.forwarder import Forwarder
from postledger.server.schedule import Schedule
from tests.console import VIEWER, Visitor, visitor
from tests.samples import delivered, failed, sent

NUMBER = "16503333058"
VOCABULARY = """
name = "novel"
version = 1
roots = [""]
[fields]
tracking_id = "id"
status = "state"
to = "msisdn"
[[postbacks]]
match = { status = "there" }
chart = "delivery"
key = "tracking_id"
means = [{ trigger = "delivered" }]
"""


def novel(key: str, state: str = "there", number: str = NUMBER) -> bytes:
    """A body of a provider that no vocabulary knows."""
    return json.dumps({"id": key, "state": state, "msisdn": number}).encode()


@pytest.fixture
def unread(ledger: Ledger, tmp_path: Path) -> Visitor:
    """One who may unmask, on a ledger of what can't be read."""
    for n in range(3):
        ledger.record(novel(f"k{n}", number=f"1650333305{n}"))
    ledger.record(b"<html>" + b"x" * 1_000_000)
    ledger.record(novel("forged"), sender=UNVERIFIED)
    ledger.record(sent("read"))
    return visitor(ledger, access_record=tmp_path / "access.jsonl")


def test_bodies_of_one_wording_stand_together(unread: Visitor, ledger: Ledger) -> None:
    """However their numbers and ids differ; none of these is shown."""
    found = unread_of(Asking(ledger)).wordings
    assert [(one.reading, one.count) for one in found] == [
        ("unrecognised", 3),
        ("unverified", 1),
        ("unreadable", 1),
    ]
    text = unread.page("/unread")
    assert "3 × Wording not known" in text
    assert "1650333" not in text
    assert len(text) < 50_000


def test_a_vocabulary_is_tried_with_what_is_unmasked(
    unread: Visitor, tmp_path: Path, ledger: Ledger
) -> None:
    """It says how the body would be read, and writes nothing."""
    head = ledger.head()
    assert "1650333" not in unread.page("/event", position=3)
    # What it says of a body would tell what is masked.
    form = {"csrf": unread.token("/", "/sign-out"), "position": "3", "toml": VOCABULARY}
    assert unread.submit("/event/try", form).status_code == 403
    assert unread.get("/event/body?position=3").status_code == 403
    token = unread.token("/event", "/event/unmask", position=3)
    form = {"csrf": token, "position": "3", "reason": "a new provider"}
    assert unread.submit("/event/unmask", form).headers["location"] == "/event?position=3"
    assert json.loads((tmp_path / "access.jsonl").read_text())["position"] == 3
    assert "16503333052" in unread.page("/event", position=3)
    assert unread.get("/event/body?position=3").text == novel("k2", number="16503333052").decode()
    for toml, said in (
        (VOCABULARY, ("Postback 1 of 1: recognised", "delivered", "k2")),
        (VOCABULARY.replace('"there"', '"gone"'), ("not recognised", "expected &#39;gone&#39;")),
        ("name = <script>", ("not TOML", "name = &lt;script&gt;")),
    ):
        form = {
            "csrf": unread.token("/event", "/event/try", position=3),
            "position": "3",
            "toml": toml,
        }
        text = unread.submit("/event/try", form).text
        assert all(one in text for one in said), text
        assert "<script>" not in text
    form["csrf"] = unread.token("/event", "/event/try", position=3)
    assert unread.submit("/event/try", {**form, "toml": "#" * 70_000}).status_code == 413
    assert ledger.head() == head


def test_other_events_are_said_not_to_be_there(unread: Visitor) -> None:
    """The genesis, what is beyond the end, and what is no position."""
    for position, status in ((0, 404), (999, 404), ("x", 400), ("", 400), ("9" * 40, 400)):
        assert unread.get("/event", params={"position": position}).status_code == status


def test_a_content_type_that_bodies_are_read_by_is_shown(ledger: Ledger) -> None:
    """As in a dossier; any other may hold anything."""
    shown = ("text/xml", "application/json; charset=utf-8", f"text/xml; x={NUMBER}", NUMBER)
    for content_type in shown:
        ledger.record(sent("typed"), content_type=content_type)
    visited = visitor(ledger)
    pages = [visited.page("/event", position=at + 1) for at in range(len(shown))]
    types = [re.findall("<dt>Type</dt><dd>(.*?)</dd>", page) for page in pages]
    assert types == [[shown[0]], [shown[1]], ["text/xml; •••"], ["•••"]]
    assert "<dd>text/xml</dd>" in visited.page("/delivery", id="typed", event=1)


def test_carriers_are_held_against_the_days_before(ledger: Ledger) -> None:
    """The worst change first; who has none comes last."""
    at = datetime.now(UTC)
    for days, carrier, bodies in (
        (20, "0001470", (delivered("a"), delivered("b"))),
        (1, "0001470", (delivered("c"), failed("d"))),
        (20, "0001570", (delivered("e"),)),
        (1, "0001570", (delivered("f"), sent("g"))),
        (1, "0001950", (failed("h"),)),
    ):
        ledger.record_many(
            Receipt(body.replace(b"0001470", carrier.encode()), received_at=at - timedelta(days))
            for body in bodies
        )
    found = carriers_of(Asking(ledger)).listed
    assert [(one.name, one.sums, one.points) for one in found] == [
        ("0001470", (2, 2, 1), -50.0),
        ("0001570", (2, 1, 1), 0.0),
        ("0001950", (1, 1, 0), None),
    ]
    text = visitor(ledger).page("/carriers")
    assert "-50.0 points" in text
    assert "Delivered, of those" in text
    assert "The delivered share is of those with an outcome." in text


def test_parked_messages_are_listed(ledger: Ledger) -> None:
    """With the endpoint, what it answered last, and what waits behind."""
    ledger.record(sent("parked-one"))
    url = "http://127.0.0.1:9/hook"
    schedule = Schedule(waits=())
    Forwarder(ledger, url, allow_private=True, schedule=schedule).run(live=False)
    assert endpoint_of(ledger, url).status().parked == 1
    known = visitor(ledger)
    text = known.page("/parked")
    assert "parked-one" in text
    assert "127.0.0.1:9" in text
    assert "1 message is parked" in known.page("/")


def test_integrity_says_when_all_was_verified(ledger: Ledger) -> None:
    """And how much came since; before the first time it says that there was none."""
    ledger.record(sent("a"))
    known = visitor(ledger)
    assert "Not verified yet" in known.page("/integrity")
    ledger.verified(ledger.verify())
    ledger.record(sent("b"))
    text = known.page("/integrity")
    assert "All held when it was last verified" in text
    assert str(ledger.head()) in text


def test_a_viewer_is_told_who_may_try(ledger: Ledger, tmp_path: Path) -> None:
    """The page says that somebody must unmask the body, has no form for it, and takes none."""
    ledger.record(novel("a"))
    viewer = visitor(ledger, name=VIEWER, access_record=tmp_path / "access.jsonl")
    text = viewer.page("/event", position=1)
    assert "somebody must unmask it" in text
    assert "/event/unmask" not in text
    form = {"csrf": viewer.token("/", "/sign-out"), "position": "1", "reason": "let me see"}
    assert viewer.submit("/event/unmask", form).status_code == 403
