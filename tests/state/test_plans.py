"""Courses give of any stream the row that the fold gives."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from postledger import Ledger, Receipt
from postledger.log.log import fields_of, texts_of
from postledger.projections.rows import row
from postledger.state.plans import Courses
from postledger.state.streams import EventRow, Facts, repeats
from tests import strategies
from tests.conftest import ledger_of


def rows_both_ways(ledger: Ledger) -> list[tuple[object, object]]:
    """Of each stream the row by its course (where it takes one) and by the fold."""
    with ledger._connections.read() as reader:
        counts = dict(repeats(reader.log, 0, 2**63 - 1))
        courses = Courses(reader.facts)
        found = []
        for _ in range(2):
            for stream, chart, events in reader.facts.rows(0):
                count = counts.get(stream, 0)
                folded = row(stream, reader.facts.of_rows(chart, events), count)
                found.append((courses.row_of(stream, chart, events, count), folded))
    return found


@settings(max_examples=40, deadline=None)
@given(st.lists(strategies.receipts(), max_size=30))
def test_a_course_gives_the_row_of_the_fold(receipts: list[Receipt]) -> None:
    """Whatever was received, a stream's row by its course is that of the fold, or there is none."""
    with ledger_of(receipts) as ledger:
        for by_course, folded in rows_both_ways(ledger):
            assert by_course is None or by_course == folded


STAMPS = st.sampled_from(
    ["2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z", "2026-01-01 00:00:00", "never", ""]
)
SAID = st.sampled_from(
    [
        "<ORIGIN>SMS_MT</ORIGIN><CODE>N201</CODE><STATUS>Message Sent</STATUS>",
        "<ORIGIN>SMS_MT</ORIGIN><CODE>N202</CODE><STATUS>Message Sent/Delivered</STATUS>",
        "<ORIGIN>SMS_MT</ORIGIN><CODE>N202</CODE><STATUS>Message Sent/Failed</STATUS>",
        "<ORIGIN>MMS_MT</ORIGIN><CODE>N101</CODE><STATUS>Message Sent</STATUS><SENTAS>SMS</SENTAS>",
        "<ORIGIN>MMS_MT</ORIGIN><CODE>N999</CODE><STATUS>Message Sent</STATUS>",
    ]
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            SAID,
            st.sampled_from(["k1", "k2"]),
            STAMPS,
            st.sampled_from(["", "<TO>1</TO>", "<TO>2</TO>"]),
            st.sampled_from(["", "<STATUSDETAILS>why</STATUSDETAILS>", "<SPID>0\\1</SPID>"]),
        ),
        max_size=12,
    )
)
@example([(SAID.elements[1], "k1", "never", "<TO>1</TO>", "")] * 2)
def test_times_recipients_and_repeats_change_no_course(told: list[tuple[str, ...]]) -> None:
    """Events of one moment, without a time, late, repeated or of other recipients are folded alike."""
    form = "<POSTBACK>{}<TRACKINGID>{}</TRACKINGID><TIMESTAMP>{}</TIMESTAMP>{}{}</POSTBACK>"
    with ledger_of(Receipt(form.format(*one).encode()) for one in told) as ledger:
        for by_course, folded in rows_both_ways(ledger):
            assert by_course is None or by_course == folded


def test_most_streams_take_a_course() -> None:
    """Plain streams don't reach the fold once their like was folded."""
    form = "<POSTBACK>{}<TRACKINGID>{}</TRACKINGID><TO>1</TO></POSTBACK>"
    told = [form.format(said, key) for key in "abc" for said in SAID.elements[:4]]
    with ledger_of(Receipt(one.encode()) for one in told) as ledger:
        both = rows_both_ways(ledger)
        assert [by_course for by_course, _ in both] == [folded for _, folded in both]
        assert None not in [by_course for by_course, _ in both]


def test_an_altered_row_takes_no_course() -> None:
    """Where the texts of an event are gone, the course leaves it to the fold to say so."""
    form = "<POSTBACK>{}<TRACKINGID>a</TRACKINGID><TO>1</TO></POSTBACK>"
    with (
        ledger_of([Receipt(form.format(SAID.elements[0]).encode())]) as ledger,
        ledger._connections.read() as r,
    ):
        courses = Courses(r.facts)
        ((stream, chart, events),) = r.facts.rows(0)
        assert courses.row_of(stream, chart, events, 0) is not None
        altered: list[EventRow] = [(*events[0][:6], "[]", 0)]
        assert courses.row_of(stream, chart, altered, 0) is None


@pytest.mark.parametrize("events", [(1,), (1, 2)])
def test_an_altered_stream_teaches_nothing(events: tuple[int, ...]) -> None:
    """What is learned of a stream with a text too many, or too few, is not used for its like."""
    form = "<POSTBACK>{}<TRACKINGID>{}</TRACKINGID><TO>{}</TO><SPID>1</SPID>{}</POSTBACK>"
    why = ("<STATUSDETAILS>why</STATUSDETAILS>", "")
    told = [
        Receipt(form.format(SAID.elements[1 + step], key, key * 2, why[step]).encode())
        for key in "abcd"
        for step in (0, 1)
    ]
    with ledger_of(told) as ledger, ledger._connections.write() as reader:
        whole = [folded for _, folded in rows_both_ways(ledger)]
        reader.log.db.execute("DROP TRIGGER events_no_update")
        for number, at in enumerate(events):
            change = ("json_insert(fields, '$[#]', 'x')", "json_remove(fields, '$[0]')")[number % 2]
            reader.log.db.execute(f"UPDATE events SET fields = {change} WHERE position = ?", (at,))
        taught = Facts(reader.log, ledger.definitions)
        streams = list(reader.facts.rows(0))
        found = []
        for stream, chart, rows in streams:
            found.append(Courses(taught).row_of(stream, chart, rows, 0))
            assert bool(taught.courses) == (len(found) > 1)
        assert found[1:] == whole[1:4]


@given(st.lists(st.text()))
@example(['"', "\\", '","', "\x00", "\u2028", "é"])
@example([])
def test_texts_are_written_and_read_as_json(texts: list[str]) -> None:
    """The texts of an event are those of its JSON array, escaped or not."""
    written = json.dumps(texts, ensure_ascii=False, separators=(",", ":"))
    assert fields_of(texts) == written
    assert texts_of(written) == texts
