"""As of: what was known then is what a ledger shows that has only those events."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from hypothesis import strategies as st

from postledger import Event, Ledger, Receipt
from tests import strategies
from tests.properties.shown import folder, rows, run, timelines
from tests.properties.worlds import Made, arrived, made, moments, spoken
from tests.stores import both_stores

QUICK, LONG = 30, 3_000
# Of a bundle some members may have happened by a time, and others not.
_SINGLE = arrived(st.one_of(spoken(), spoken(), strategies.bodies()), most=12)
_WORLDS = (made(), made(), _SINGLE, st.integers(0, 16), moments())


def as_of_is_alone(
    one: Made, other: Made, received: list[Receipt], last: int, known: datetime
) -> None:
    """Rows and timelines as of a position or time are those of the events until then alone."""
    happened = known.replace(year=2020, month=3, day=29, hour=known.second % 4)
    with folder() as path, Ledger(path / "1.db", definitions=one.definitions) as ledger:
        ledger.record_many(received[: last // 2])
        ledger.replay(other.definitions)
        ledger.record_many(received[last // 2 :])
        adopted_at = 1 + len(received[: last // 2])
        position = last + (last > last // 2)
        by_then = one if position < adopted_at else other
        for bounds, by, keeps in (
            ({"as_of": position}, other, lambda e: e.position <= position),
            ({"as_of": known}, other, lambda e: e.received_at <= known),
            (
                {"occurred_by": happened},
                other,
                lambda e: (e.occurred_at or e.received_at) <= happened,
            ),
            (
                {"as_of": position, "occurred_by": happened},
                other,
                lambda e: e.position <= position and (e.occurred_at or e.received_at) <= happened,
            ),
            (
                {"as_of": adopted_at - 1, "definitions": "then"},
                one,
                lambda e: e.position < adopted_at,
            ),
            ({"as_of": position, "definitions": "then"}, by_then, lambda e: e.position <= position),
        ):
            _is_alone(ledger, by, bounds, keeps)


def _is_alone(
    ledger: Ledger, by: Made, bounds: dict[str, Any], keeps: Callable[[Event], bool]
) -> None:
    kept = [
        Receipt(
            event.body,
            event.content_type,
            event.received_at,
            imported=True,
            source=event.source,
            sender=event.sender,
        )
        for event in ledger.events()
        if event.kind == "receipt" and keeps(event)
    ]
    with folder() as path, Ledger(path / "2.db", definitions=by.definitions) as alone:
        alone.record_many(kept)
        assert rows(ledger, **bounds) == rows(alone)
        wanted = timelines(alone)
        assert timelines(ledger, wanted, **bounds) == wanted if wanted else True


@both_stores
def test_as_of_shows_what_those_events_alone_give() -> None:
    """What is shown as of a position, a time, or both is what those events alone give."""
    run(as_of_is_alone, QUICK, *_WORLDS)


@pytest.mark.long
def test_as_of_shows_what_those_events_alone_give_in_many_runs() -> None:
    """The same on many more examples."""
    run(as_of_is_alone, LONG, *_WORLDS)
