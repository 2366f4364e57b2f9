"""Search: what is found, in which order, and that texts are only texts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postledger import Delivery, Ledger, Receipt
from postledger.state.search import matches, search_of
from tests.conftest import ledger_of
from tests.samples import DEGRADED, SMS, delivered, sent

EARLY = datetime(2026, 1, 1, tzinfo=UTC)

KEYS = st.sampled_from(["a", "ab", "abc", "b", "ab%", "A", "é", "12345", "1234"])
RECIPIENTS = st.sampled_from(["16501234", "+1 (650) 1234", "tel:+99901234", "1234", "ACME", "12"])
REASONS = st.sampled_from(["Message Sent", "No route to carrier", "no 1234", "Absent; no"])
TEXTS = st.one_of(
    KEYS,
    RECIPIENTS,
    st.sampled_from(["1234", "01234", "ROUTE", "no carrier", "501", "%", "_", '"no"', "no*", "a'"]),
    st.sampled_from(["a\0b", "\ud800", "NOT no", "x" * 10_000, "597", "mms"]),
    st.text(min_size=1, max_size=4).filter(str.strip),
)
RECEIPTS = st.lists(
    st.builds(
        lambda key, to, status, mms_id, at: Receipt(
            sent(key, TO=to, STATUS=status, MMSID=mms_id),
            received_at=EARLY + timedelta(seconds=at),
        ),
        KEYS,
        RECIPIENTS,
        REASONS,
        st.sampled_from([None, "597", "mms"]),
        st.integers(0, 5),
    ),
    max_size=12,
)


def plainly(ledger: Ledger, text: str, **as_of: int) -> list[Delivery]:
    """What a text finds by a look at each delivery, the newest first."""
    search = search_of(text)
    found = [
        one
        for one in ledger.deliveries(**as_of)
        if matches(search, one.tracking_id, one.to, one.mms_id, one.reason, one.labels.values())
    ]
    return found[::-1]


@settings(deadline=None)
@given(RECEIPTS, TEXTS, st.integers(1, 4))
def test_what_is_found_is_what_a_look_at_each_finds(
    receipts: list[Receipt], text: str, limit: int
) -> None:
    """In the same order, in pages or whole, now and as of any position."""
    with ledger_of(receipts) as ledger:
        found = plainly(ledger, text)
        assert list(ledger.deliveries(search=text)) == found
        assert list(ledger.deliveries(search=text, limit=limit)) == found[:limit]
        half = len(receipts) // 2
        assert list(ledger.deliveries(search=text, as_of=half)) == plainly(ledger, text, as_of=half)
        counted = ledger.counts(search=text, by=["state"])
        assert sum(one.deliveries for one in counted) == len(found)
        assert ledger.verify().ok


def test_a_search_goes_with_other_filters(filled: Path) -> None:
    """All of them hold."""
    with Ledger(filled, readonly=True) as ledger:
        assert [one.tracking_id for one in ledger.deliveries(search="3058", route="sms")] == [SMS]
        assert list(ledger.deliveries(search="3058", route="binary")) == []
        assert list(ledger.deliveries(search="1650")) == []
        found = ledger.deliveries(search="xhtml")
        assert [one.tracking_id for one in found] == [DEGRADED]


def test_many_are_found_page_by_page(tmp_path: Path) -> None:
    """The newest first; what is recorded between two pages is neither skipped nor repeated."""
    keys = [f"m{number}" for number in range(2_500)]
    with Ledger(tmp_path / "test.db") as ledger:
        ledger.record_many(sent(key) for key in keys)
        listed = ledger.deliveries(search="m")
        found = [next(listed).tracking_id]
        ledger.record(sent("m-new"))
        ledger.record(delivered("m1"))
        found += [one.tracking_id for one in listed]
    assert found == keys[::-1]


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    """At the call."""
    with Ledger(tmp_path / "test.db") as ledger:
        with pytest.raises(TypeError, match="search must be text, got 1"):
            ledger.deliveries(search=1)
        with pytest.raises(ValueError, match="search must be text to look for, got ''"):
            ledger.deliveries(search=" ")
