"""Merging: receipts of several ledgers put together show the same in whatever order that is done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import strategies as st

from postledger import UNVERIFIED, Ledger, Receipt
from postledger.log.event import Envelope
from postledger.model import ACCEPTED
from postledger.state.streams import Facts
from tests.properties.shown import (
    assert_same,
    events,
    falsified,
    folder,
    rows,
    run,
    shown,
    timelines,
)
from tests.properties.worlds import Made, arrived, made, moments, receipts
from tests.stores import both_stores

QUICK, LONG = 40, 3_000
_ARRIVED = arrived(most=12)
_WORLDS = (made(), made(), _ARRIVED, st.integers(0, 2**16 - 1), moments(), moments())


def exported(ledger: Ledger) -> list[Receipt]:
    """The receipts of a ledger as an import takes them."""
    return [
        Receipt(
            event.body,
            event.content_type,
            event.received_at,
            imported=True,
            source=event.source,
            content_encoding=event.content_encoding,
            sender=event.sender,
            query=event.query,
        )
        for event in ledger.events()
        if event.kind == "receipt" and event.member == 0
    ]


def halves(received: Iterable[Receipt], split: int) -> tuple[list[Receipt], list[Receipt]]:
    """Receipts dealt to two ledgers by the bits of a number."""
    dealt: tuple[list[Receipt], list[Receipt]] = ([], [])
    for index, receipt in enumerate(received):
        dealt[split >> index & 1].append(attrs.evolve(receipt, imported=False))
    return dealt


def recorded(path: Path, by: tuple[Made, Made], received: list[Receipt], adopted: int) -> Ledger:
    """A ledger of some receipts that adopted the second definitions between them."""
    ledger = Ledger(path, definitions=by[0].definitions)
    ledger.record_many(received[:adopted])
    ledger.replay(by[1].definitions)
    ledger.record_many(received[adopted:])
    return ledger


def merges_alike(
    one: Made, other: Made, received: list[Receipt], split: int, known: datetime, happened: datetime
) -> None:
    """Merged either way, and recorded by one ledger, all is shown the same: now and as of any time."""
    left, right = halves(received, split)
    with (
        folder() as path,
        recorded(path / "1.db", (one, other), left, split % 5) as first,
        recorded(path / "2.db", (other, other), right, split % 3) as second,
        Ledger(path / "3.db", definitions=other.definitions) as whole,
    ):
        whole.record_many(received[::-1])
        one_way, other_way = exported(second), exported(first)
        first.record_many(one_way)
        second.record_many(other_way)
        bounds: list[dict[str, Any]] = [
            {},
            {"as_of": known},
            {"occurred_by": happened.replace(year=2020, month=3, day=29)},
            {"as_of": known, "occurred_by": happened},
        ]
        for bound in bounds:
            wanted = shown(whole, **bound)
            assert_same(shown(first, **bound), wanted)
            assert_same(shown(second, **bound), wanted)
        assert first.verify().ok
        assert second.verify().ok


def imports_twice(one: Made, received: list[Receipt], split: int) -> None:
    """An export imported twice adds repeats and changes nothing else."""
    left, right = halves(received, split)
    with folder() as path, Ledger(path / "1.db", definitions=one.definitions) as ledger:
        ledger.record_many(left)
        ledger.record_many(attrs.evolve(receipt, imported=True) for receipt in right)
        before, steps, said = rows(ledger), timelines(ledger), events(ledger)
        ledger.record_many(attrs.evolve(receipt, imported=True) for receipt in right)
        assert _without_repeats(rows(ledger)) == _without_repeats(before)
        after = timelines(ledger)
        assert after.keys() == steps.keys()
        for key in steps:
            assert _distinct(after[key]) == _distinct(steps[key])
        added = len(events(ledger)) - len(said)
        assert _repeats(after, ledger) - _repeats(steps, ledger) <= added
        assert Counter(map(_said, said)).keys() == Counter(map(_said, events(ledger))).keys()
        assert ledger.verify().ok


def strangers_change_nothing(
    one: Made, other: Made, received: list[Receipt], forged: list[Receipt], split: int
) -> None:
    """Unverified copies of anything, in any order, change no row, no timeline and no other event."""
    verified = [receipt for receipt in received if receipt.sender != UNVERIFIED]
    strange = [attrs.evolve(receipt, sender=UNVERIFIED) for receipt in (*received, *forged)]
    left, right = halves([*verified, *strange], split)
    with (
        folder() as path,
        Ledger(path / "1.db", definitions=other.definitions) as alone,
        recorded(path / "2.db", (one, other), right[::-1], split % 5) as mixed,
    ):
        alone.record_many(attrs.evolve(receipt, imported=False) for receipt in verified)
        mixed.record_many(left)
        for _ in range(2):
            assert_same(rows(mixed), rows(alone))
            assert_same(timelines(mixed), timelines(alone))
            said = [event for event in events(mixed) if event["reading"] != UNVERIFIED]
            assert said == events(alone)
            assert mixed.verify().problems == ()
            mixed.replay(index=True)


def accepted_is_as_if_verified(
    one: Made, other: Made, received: list[Receipt], split: int, twice: int
) -> None:
    """What is accepted counts as if its check had passed, however often it is accepted."""
    passed = [
        attrs.evolve(receipt, sender=ACCEPTED) if receipt.sender == UNVERIFIED else receipt
        for receipt in received
    ]
    with (
        folder() as path,
        recorded(path / "1.db", (one, other), received, split) as ledger,
        Ledger(path / "2.db", definitions=other.definitions) as whole,
    ):
        end = ledger.head().size - 1
        count = sum(receipt.sender == UNVERIFIED for receipt in received)
        assert ledger.accept(0, end) == count
        whole.record_many(passed)
        assert_same(rows(ledger), rows(whole))
        assert_same(timelines(ledger), timelines(whole))
        assert ledger.accept(twice % (end + 1), end) <= count
        assert _without_repeats(rows(ledger)) == _without_repeats(rows(whole))
        assert ledger.verify().problems == ()


def _without_repeats(found: dict[Any, Any]) -> dict[Any, Any]:
    return {
        key: {
            name: tuple(one for one in value if one != "repeated") if name == "findings" else value
            for name, value in row.items()
            if name != "repeats"
        }
        for key, row in found.items()
    }


def _distinct(steps: list[Any]) -> list[Any]:
    # Numbers count repeats too.
    return [{**step, "number": None} for step in steps if step["verdict"] != "repeated"]


def _repeats(steps: dict[Any, Any], _: Ledger) -> int:
    return sum(step["verdict"] == "repeated" for one in steps.values() for step in one)


def _said(event: dict[str, Any]) -> Any:
    return event["body"], event["identity"], event["received_at"], event["source"]


@both_stores
def test_merge_in_either_order_shows_the_same() -> None:
    """Two ledgers merged in either order show the same, now and as of any time."""
    run(merges_alike, QUICK, *_WORLDS)


@pytest.mark.long
def test_merge_in_either_order_shows_the_same_in_many_runs() -> None:
    """The same on many more examples."""
    run(merges_alike, LONG, *_WORLDS)


@both_stores
def test_import_of_one_export_twice_adds_repeats() -> None:
    """A second import of the same receipts changes nothing but the number of repeats."""
    run(imports_twice, QUICK, made(), _ARRIVED, st.integers(0, 2**16 - 1))


@pytest.mark.long
def test_import_of_one_export_twice_adds_repeats_in_many_runs() -> None:
    """The same on many more examples."""
    run(imports_twice, LONG, made(), _ARRIVED, st.integers(0, 2**16 - 1))


_FORGED = st.lists(receipts(), max_size=4)
_STRANGE = (made(), made(), _ARRIVED, _FORGED, st.integers(0, 2**24 - 1))
_ACCEPTED = (made(), made(), _ARRIVED, st.integers(0, 8), st.integers(0, 20))


def test_unverified_copies_change_nothing() -> None:
    """Whatever strangers send, before the real ones or after, is listed and nothing else."""
    run(strangers_change_nothing, QUICK, *_STRANGE)


@pytest.mark.long
def test_unverified_copies_change_nothing_in_many_runs() -> None:
    """The same on many more examples."""
    run(strangers_change_nothing, LONG, *_STRANGE)


@both_stores
def test_what_is_accepted_is_as_if_verified() -> None:
    """States, findings and timelines are those of a ledger in which the check had passed."""
    run(accepted_is_as_if_verified, QUICK, *_ACCEPTED)


@pytest.mark.long
def test_what_is_accepted_is_as_if_verified_in_many_runs() -> None:
    """The same on many more examples."""
    run(accepted_is_as_if_verified, LONG, *_ACCEPTED)


def test_an_unverified_copy_that_is_read_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where what is unverified is read like anything else, the property fails."""
    monkeypatch.setattr(Envelope, "is_verified", True)
    assert falsified(strangers_change_nothing, 200, *_STRANGE)


def test_first_by_position_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where of equal events the first recorded counts as the first, the property fails."""
    monkeypatch.setattr(Facts, "ranked", lambda self, equal: equal)
    assert falsified(merges_alike, 200, *_WORLDS)


def test_whose_clock_gave_a_time_orders_no_repeats(tmp_path: Path) -> None:
    """Equal events of one moment stand in one order, whichever of them were imported."""
    body = b"<RESPONSE><STATUS>Success</STATUS><TRACKINGID>U01TXzE=</TRACKINGID></RESPONSE>"
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    received = [Receipt(body, kind, moment) for kind in (None, None, "text/xml")]
    seen = []
    for imported in (set[int](), {0, 1}, {2}):
        with Ledger(tmp_path / f"{len(seen)}.db") as ledger:
            for at in sorted(range(3), key=lambda at: at in imported):
                ledger.record_many([attrs.evolve(received[at], imported=at in imported)])
            seen.append([step.event.content_type for step in ledger.timeline("U01TXzE=")])
    assert seen == [[None, None, "text/xml"]] * 3
