"""Bodies: whatever is received comes back byte for byte, with what was said of it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import strategies as st

from postledger import UNVERIFIED, Ledger, Receipt
from postledger.model import ACCEPTED, SENDER
from tests.properties.hostile import any_bodies
from tests.properties.shown import folder, run
from tests.stores import both_stores

QUICK, LONG = 150, 10_000

_NAMES = st.text(st.characters(blacklist_categories=["Cs"]), max_size=12)
_TYPES = st.one_of(
    st.none(),
    _NAMES,
    st.sampled_from(
        ("text/xml", "application/json; charset=utf-16", "text/xml; charset=utf-7", "x")
    ),
    st.sampled_from(("application/x-www-form-urlencoded", "multipart/form-data; boundary=a")),
)
_RECEIPTS = st.builds(
    Receipt,
    body=any_bodies(),
    content_type=_TYPES,
    received_at=st.datetimes(timezones=st.just(UTC)),
    imported=st.booleans(),
    source=_NAMES,
    content_encoding=st.one_of(st.none(), st.sampled_from(("gzip", "identity", ""))),
    sender=st.one_of(st.just(""), _NAMES, st.just(UNVERIFIED)),
    query=st.booleans(),
)


def comes_back(received: list[Receipt]) -> None:
    """What was recorded is what ``events`` gives, at once and from the file opened again."""
    said = received[0].sender
    # What no check is called comes from another ledger only.
    sender = said if said != ACCEPTED and SENDER.fullmatch(said) else ""
    with folder() as path:
        with Ledger(path / "test.db") as ledger:
            ledger.record_many(received[1:])
            recorded = ledger.record(
                received[0].body,
                content_type=received[0].content_type,
                received_at=received[0].received_at,
                source=received[0].source,
                content_encoding=received[0].content_encoding,
                sender=sender,
                query=received[0].query,
            )
            assert recorded.event.body == received[0].body
            first = Receipt(
                **{**_fields(received[0]), "imported": False, "sender": sender}  # type: ignore[arg-type]
            )
            wanted = [*received[1:], first]
            assert _received(ledger) == wanted
            assert ledger.verify().problems == ()
        with Ledger(path / "test.db", readonly=True) as again:
            assert _received(again) == wanted


def _fields(receipt: Receipt) -> dict[str, object]:
    return {name: getattr(receipt, name) for name in Receipt.__slots__ if name != "__weakref__"}


def _received(ledger: Ledger) -> list[Receipt]:
    return [
        Receipt(
            event.body,
            event.content_type,
            event.received_at,
            event.imported,
            event.source,
            event.content_encoding,
            event.sender,
            event.query,
        )
        for event in ledger.events()
        if event.member == 0 and event.kind == "receipt"
    ]


@both_stores
def test_bodies_come_back_as_received() -> None:
    """Every body comes back byte for byte with its source, type and time, also after reopening."""
    run(comes_back, QUICK, st.lists(_RECEIPTS, min_size=1, max_size=8))


@pytest.mark.long
def test_bodies_come_back_as_received_in_many_runs() -> None:
    """The same on many more examples."""
    run(comes_back, LONG, st.lists(_RECEIPTS, min_size=1, max_size=8))


@pytest.mark.parametrize("at", ["first", "second"])
def test_body_like_the_markup_of_another_is_kept(at: str) -> None:
    """A leaf where another body has an attribute is not taken for it."""
    bodies = [b'<P a="v"><B/></P>', b'<P a=">v</"><B/></P>']
    with folder() as path, Ledger(path / "test.db") as ledger:
        for body in bodies if at == "second" else bodies[::-1]:
            ledger.record(body, received_at=datetime(2026, 1, 1, tzinfo=UTC))
        assert sorted(event.body for event in ledger.events(after=0)) == sorted(bodies)
        assert ledger.verify().problems == ()
