"""The answer: what ``record`` tells of an event that it has just appended, from what is in hand."""

from __future__ import annotations

from postledger import projections
from postledger.courses import Courses
from postledger.facts import Facts, Stream
from postledger.model import Recorded
from postledger.projections import Row
from postledger.recording import Appended
from postledger.timeline import event_of, verdict_at


def answer(appended: Appended, facts: Facts, stream: Stream | None, row: Row | None) -> Recorded:
    """The public value of an event, whose stream and its row are given as they are with it."""
    event = event_of(appended.stored, facts, appended.kind)
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
