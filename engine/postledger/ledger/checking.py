"""Checking: what the rules of alerts judge, read from a ledger."""

from __future__ import annotations

from collections.abc import Iterable

from postledger.alerts.counted import Counted, Periods, add_events, carriers_of, events_of
from postledger.ledger.connections import Own
from postledger.model import Event
from postledger.projections.queries import Listing
from postledger.projections.reader import Reader
from postledger.state.row import HOUR


def counted_of(
    own: Own, reader: Reader, listing: Listing, periods: Periods, running: Iterable[Event] | None
) -> Counted:
    """What was counted as of a time: the states as of it are in ``listing``.

    ``running`` are the events of the hour in which the time lies, up to it, where others followed;
    ``None`` where none did, so that the tallies have that hour as it was.
    """
    tallies, hour = own.generation.tallies_of(own.store), periods.at // HOUR
    until = hour + 1 if running is None else hour
    sources = events_of(tallies, periods.first_hour, until)
    for event in running or ():
        add_events(sources, hour, event.source, event.reading, 1)
    carriers = carriers_of(own.store, listing, reader.index, periods)
    return Counted(periods.at, carriers, sources, tallies.newest())
