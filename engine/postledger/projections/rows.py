"""Rows: what the fold makes of streams, one row each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from postledger.errors import IntegrityError
from postledger.log.as_of import EVERYTHING, Bounds
from postledger.log.log import Log
from postledger.projections.generations import Row
from postledger.projections.generations import generations as projections
from postledger.state.fold import Fact, fold
from postledger.state.plans import Courses
from postledger.state.streams import EventRow, Facts, Stream, repeats

Folded = tuple[int, int, Row | None]
"""A stream, the number of its events, repeats too, and its row."""


def rows_of(
    log: Log,
    facts: Facts,
    after: int = 0,
    until: int = 2**63 - 1,
    bounds: Bounds = EVERYTHING,
    *,
    plainly: bool = False,
) -> Iterator[Folded]:
    """The rows of all streams behind ``after``, in order.

    ``plainly`` folds each stream by itself, whatever others run alike. Raises ``IntegrityError``
    with the stream and its positions where the fold fails.
    """
    counted = iter(repeats(log, after, until, bounds))
    repeated = next(counted, None)
    courses = None if plainly else Courses(facts)
    for stream_id, chart, events in facts.rows(after, until, bounds):
        while repeated is not None and repeated[0] < stream_id:
            repeated = next(counted, None)
        count = repeated[1] if repeated is not None and repeated[0] == stream_id else 0
        made = _row(courses, facts, stream_id, chart, events, count)
        yield stream_id, len(events) + count, made


def rows_in(log: Log, facts: Facts, streams: Sequence[Stream]) -> Iterator[Folded]:
    """The rows of streams whose events are at hand."""
    counts = log.repeats_of([stream for stream, _, _ in streams])
    courses = Courses(facts)
    for stream_id, chart, events in streams:
        count = counts.get(stream_id, 0)
        made = _row(courses, facts, stream_id, chart, events, count)
        yield stream_id, len(events) + count, made


def _row(
    courses: Courses | None,
    facts: Facts,
    stream_id: int,
    chart: str,
    events: list[EventRow],
    repeats: int,
) -> Row | None:
    """The row of one stream: by its course where others run alike, or else folded."""
    alike = courses and courses.row_of(stream_id, chart, events, repeats)
    return alike or row(stream_id, facts.of_rows(chart, events), repeats)


def row(stream_id: int, folding: list[Fact], repeats: int) -> Row | None:
    """The row of one stream; ``None`` where none of its events says anything to its chart."""
    chart = next((fact.effect.chart for fact in folding if fact.effect is not None), None)
    if chart is None:
        return None
    try:
        return projections.row_of(stream_id, fold(chart, folding), repeats)
    except Exception as error:
        positions = ", ".join(str(fact.position) for fact in folding)
        raise IntegrityError(
            f"the events at {positions} can't be folded by {chart.label}: {error!r}"
        ) from error
