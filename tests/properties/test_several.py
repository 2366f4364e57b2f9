"""Several ledgers, read as one, show what one ledger with the events of all shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime
from typing import Any

import attrs
import pytest
from hypothesis import strategies as st

from postledger import Ledger, Ledgers, Receipt
from postledger.ledger import several
from postledger.log.event import READ
from tests.properties.shown import assert_same, falsified, figures, folder, run, shown
from tests.properties.worlds import Made, arrived, made, moments

QUICK, LONG = 25, 2_000
_DEALT = st.lists(st.integers(0, 3), min_size=40, max_size=40)
_WORLDS = (made(), arrived(most=12), st.integers(1, 4), _DEALT, moments(), moments())


def several_show_as_one(
    one: Made,
    received: list[Receipt],
    count: int,
    dealt: Sequence[int],
    known: datetime,
    happened: datetime,
) -> None:
    """Lists, timelines and figures are those of one ledger, and each place has its event."""
    given = list(_told_apart(received))
    owners = [dealt[at % len(dealt)] % count for at in range(len(given))]
    with ExitStack() as stack:
        path = stack.enter_context(folder())
        parts = [
            stack.enter_context(Ledger(path / f"{n}.db", definitions=one.definitions))
            for n in range(count)
        ]
        whole = stack.enter_context(Ledger(path / "whole.db", definitions=one.definitions))
        whole.record_many(given)
        # What is recorded later is taken in by a refresh.
        early = len(given) // 2
        for receipt, owner in zip(given[:early], owners, strict=False):
            parts[owner].record_many([receipt])
        ledgers = stack.enter_context(Ledgers(*(part.path for part in parts)))
        for receipt, owner in zip(given[early:], owners[early:], strict=True):
            parts[owner].record_many([receipt])
        for ledger in (*parts, whole):
            ledger.accept(0, ledger.head().size - 1)
        ledgers.refresh()
        bounds: list[dict[str, Any]] = [
            {},
            {"as_of": known, "occurred_by": happened},
        ]
        for bound in bounds:
            assert_same(shown(ledgers._merge.ledger, **bound), shown(whole, **bound))
            assert figures(ledgers, **bound) == figures(whole, **bound)
        _assert_placed(ledgers, parts)


def _told_apart(received: Sequence[Receipt]) -> Iterator[Receipt]:
    """Receipts of which those that are equal in what orders repeats are equal in all."""
    known: dict[Any, Receipt] = {}
    for one in received:
        first = known.setdefault((one.received_at, one.source, one.body), one)
        yield attrs.evolve(first, imported=False)


def _assert_placed(ledgers: Ledgers, parts: Sequence[Ledger]) -> None:
    """Each event of the merge stands where its place says, and none of the parts is missing."""
    known = {
        (name, event.position, event.member): event
        for name, part in zip(ledgers.names, parts, strict=True)
        for event in part.events()
        if event.kind in READ
    }
    for event in ledgers._merge.ledger.events():
        if event.kind in READ:
            place = ledgers.place(event.position)
            there = known.pop((place.ledger, place.position, event.member))
            assert (there.body, there.received_at, there.source, there.sender) == (
                event.body,
                event.received_at,
                event.source,
                event.sender,
            )
    assert not known


def test_several_ledgers_show_what_one_shows() -> None:
    """However receipts are dealt to ledgers, these show what one with all of them shows."""
    run(several_show_as_one, QUICK, *_WORLDS)


@pytest.mark.long
def test_several_ledgers_show_what_one_shows_in_many_runs() -> None:
    """The same on many more examples."""
    run(several_show_as_one, LONG, *_WORLDS)


def test_a_lost_receipt_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A merge that leaves out the last event of a page falsifies the property."""
    taken = several.pages

    def pages(*args: Any) -> Any:
        return (page[:-1] for page in taken(*args))

    monkeypatch.setattr(several, "pages", pages)
    assert falsified(several_show_as_one, QUICK, *_WORLDS)
