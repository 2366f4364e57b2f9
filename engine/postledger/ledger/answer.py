"""The answer: what ``record`` tells of an event that it has just appended, from what is in hand."""

from __future__ import annotations

from collections.abc import Mapping

from postledger.ledger.writing import Appended, Recording
from postledger.model import Recorded
from postledger.projections.generations import Row
from postledger.projections.generations import generations as projections
from postledger.state.plans import Courses
from postledger.state.streams import Facts, Stream
from postledger.state.timeline import event_of, verdict_at


def answer(appended: Appended, recording: Recording, rows: Mapping[int, Row]) -> Recorded:
    """The public value of an event of a recording; ``rows`` are those of its streams."""
    facts, stream_id = recording.facts, appended.entry.stream_id
    event = event_of(appended.stored, facts, appended.kind)
    stream, row = recording.streams.get(stream_id), rows.get(stream_id)
    if event.repeats is not None:
        verdict = "repeated"
    elif event.kind == "postback":
        verdict = "no_effect" if stream is None else _verdict(stream, appended.position, facts)
    else:
        verdict = event.kind
    if row is None or event.key is None or event.chart != "delivery":
        return Recorded(event, verdict, None)
    return Recorded(event, verdict, projections.delivery_of(event.key, row))


def _verdict(stream: Stream, position: int, facts: Facts) -> str:
    """The verdict on the event at a position of a stream."""
    _, chart, events = stream
    by_course = Courses(facts).verdict_of(chart, events, position)
    return by_course or verdict_at(facts.of_rows(chart, events), position)
