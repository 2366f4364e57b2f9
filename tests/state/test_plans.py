"""Plans give of any stream the row that the fold gives."""

from __future__ import annotations

import gc
import weakref
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from postledger import Ledger, Receipt
from postledger.findings import Verdict
from postledger.projections.reader import Reader
from postledger.state import patterns
from postledger.state import plans as module
from postledger.state.plans import Plans
from postledger.state.row import Row, folded_row
from postledger.state.timeline import verdict_on
from tests import strategies
from tests.conftest import ledger_of
from tests.samples import sent

Both = tuple[Row | None, Row | None]


def rows_both_ways(ledger: Ledger) -> list[Both]:
    """Of each stream the row by its plan (where it has one) and by the fold."""
    with ledger._connections.read() as own:
        reader = Reader.of(
            own.log, own.reader.index, ledger.definitions, own.reader.facts.patterns.limits
        )
        found: list[Both] = []
        for _ in range(2):
            for stream, chart, rows in reader.index.streams():
                distinct, repeats = reader.facts.distinct(rows)
                again = sum(map(len, repeats.values()))
                row = folded_row(
                    stream, reader.facts.facts(distinct), again, reader.facts.source_of(distinct)
                )
                found.append((reader.plans.row_of(stream, chart, distinct, again), row))
                for at, event in enumerate(distinct):
                    planned = reader.plans.verdict_on(chart, distinct, at)
                    plainly = verdict_on(reader.facts.facts(distinct), event[2])
                    assert planned is None or planned == plainly
        return found


@settings(max_examples=40, deadline=None)
@given(st.lists(strategies.receipts(), max_size=30))
def test_a_plan_gives_the_row_of_the_fold(receipts: list[Receipt]) -> None:
    """Whatever was received, a stream's row by its plan is that of the fold, or there is none."""
    with ledger_of(receipts) as ledger:
        for by_plan, folded in rows_both_ways(ledger):
            assert by_plan is None or by_plan == folded


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
def test_times_recipients_and_repeats_change_no_plan(told: list[tuple[str, ...]]) -> None:
    """Events of one moment, without a time, late, repeated or of other recipients are folded alike."""
    form = "<POSTBACK>{}<TRACKINGID>{}</TRACKINGID><TIMESTAMP>{}</TIMESTAMP>{}{}</POSTBACK>"
    with ledger_of(Receipt(form.format(*one).encode()) for one in told) as ledger:
        for by_plan, folded in rows_both_ways(ledger):
            assert by_plan is None or by_plan == folded


def test_most_streams_have_a_plan() -> None:
    """Plain streams don't reach the fold once their like was folded."""
    form = "<POSTBACK>{}<TRACKINGID>{}</TRACKINGID><TO>1</TO></POSTBACK>"
    told = [form.format(said, key) for key in "abc" for said in SAID.elements[:4]]
    with ledger_of(Receipt(one.encode()) for one in told) as ledger:
        both = rows_both_ways(ledger)
        assert [by_plan for by_plan, _ in both] == [folded for _, folded in both]
        assert None not in [by_plan for by_plan, _ in both]


def test_an_altered_row_has_no_plan() -> None:
    """Where the texts of an event are gone, the plan leaves it to the fold to say so."""
    form = "<POSTBACK>{}<TRACKINGID>a</TRACKINGID><TO>1</TO></POSTBACK>"
    told = [Receipt(form.format(SAID.elements[0]).encode())]
    with ledger_of(told) as ledger, ledger._connections.read() as own:
        plans = Plans(own.reader.facts)
        ((stream, chart, rows),) = own.reader.index.streams()
        assert plans.row_of(stream, chart, rows, 0) is not None
        for texts in ("[]", '["a","b","c","d","e","f","g"]', None):
            altered = [(*rows[0][:8], texts, *rows[0][9:])]
            assert plans.row_of(stream, chart, altered, 0) is None


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
    with ledger_of(told) as ledger, ledger._connections.write() as own:
        whole = [row for _, row in rows_both_ways(ledger)][:4]
        own.store.execute("DROP TRIGGER events_no_update")
        for number, at in enumerate(events):
            change = ("json_insert(texts, '$[#]', 'x')", "json_remove(texts, '$[0]')")[number % 2]
            own.store.execute(f"UPDATE events SET texts = {change} WHERE position = ?", (at,))
        plans = Plans(own.reader.facts)
        found = [plans.row_of(n, chart, rows, 0) for n, chart, rows in own.reader.index.streams()]
        assert found[0] is None
        assert found[1:] == whole[1:]


def test_events_of_one_time_of_reception_have_no_planned_verdict() -> None:
    """A plan tells of the last to arrive; where several are that, the fold tells."""
    form = "<POSTBACK>{}<TRACKINGID>a</TRACKINGID><TO>1</TO></POSTBACK>"
    at = datetime(2026, 1, 1, tzinfo=UTC)
    for delay, planned in ((0, None), (1, Verdict.APPLIED), (-1, None)):
        told = [
            Receipt(form.format(said).encode(), None, at + timedelta(seconds=delay * number))
            for number, said in enumerate(SAID.elements[:2])
        ]
        with ledger_of(told) as ledger, ledger._connections.read() as own:
            ((_, chart, rows),) = own.reader.index.streams()
            last = [row[3] for row in rows].index(2)
            assert Plans(own.reader.facts).verdict_on(chart, rows, last) == planned


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams of ever new kinds don't grow it, and have the rows of the fold all the same."""
    monkeypatch.setattr(module, "MOST_PLANS", 3)
    form = "<POSTBACK>{}<TRACKINGID>{}</TRACKINGID><N{}>1</N{}></POSTBACK>"
    told = [form.format(said, f"{n}", n, n) for n in range(6) for said in SAID.elements]
    with ledger_of(Receipt(one.encode()) for one in told) as ledger:
        assert all(row is None or row == other for row, other in rows_both_ways(ledger))
        with ledger._connections.read() as own:
            assert len(own.reader.plans._known) <= 3


def test_plans_keep_no_layout_alive(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Layouts of many fields are forgotten by their number: plans that were learned hold none."""
    monkeypatch.setattr(patterns, "MOST_HELD", 1_000)
    families: list[weakref.ref[patterns.Family]] = []
    made = patterns.Family.__init__

    def making(self: patterns.Family, *arguments: Any) -> None:
        families.append(weakref.ref(self))
        made(self, *arguments)

    monkeypatch.setattr(patterns.Family, "__init__", making)
    for number in range(8):
        # More fields than a body with a template may have.
        fields = {f"N{number}_{at}": "1" for at in range(300)}
        ledger.record(sent(f"m{number}", **fields))
    gc.collect()
    assert len(families) >= 8
    assert len([one for one in families if one() is not None]) <= 4
