"""Two stores, one ledger: a file and a schema on a server keep and show the same of the same receipts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from postledger import InvoiceRow, Ledger, LedgerError, Receipt
from postledger.log import log
from postledger.projections import generations
from tests.postgres_server import PostgresServer
from tests.properties import worlds
from tests.properties.shown import assert_same, folder, shown
from tests.properties.worlds import MOMENT, Made
from tests.samples import sent

TABLES = (
    "events", "envelopes", "templates", "nodes", "head", "generations",
    "index_1", "index_1_streams", "states_1", "search_1", "tallies_1",
)  # fmt: skip

_few = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@contextmanager
def on_each(server: PostgresServer, **options: Any) -> Iterator[tuple[Ledger, Ledger]]:
    """A new ledger in a file, and one on the server, of the same salts and the same id."""
    with ExitStack() as stack:
        path = stack.enter_context(folder())
        schema = stack.enter_context(server.new_schema())
        address = server.address(schema, durability="off")
        opened = [_salted(stack, where, options) for where in (path / "test.db", address)]
        yield opened[0], opened[1]


def _salted(stack: ExitStack, where: Path | str, options: dict[str, Any]) -> Ledger:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generations, "token_bytes", bytes)
        patch.setattr(generations, "now", lambda: MOMENT)
        patch.setattr(log, "os", SimpleNamespace(urandom=Random(1).randbytes))
        return stack.enter_context(Ledger(where, **options))


def record(ledger: Ledger, receipts: Sequence[Receipt], split: int) -> list[Any]:
    """Record some of them together, then one by one; returns what was answered."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log, "os", SimpleNamespace(urandom=Random(2).randbytes))
        answers = [ledger.record_many(receipts[:split])]
        answers += [ledger.record_many([one]) for one in receipts[split:]]
    return answers


def kept(ledger: Ledger) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables."""
    with ledger._connections.read() as own:
        return {
            table: sorted(own.store.execute(f"SELECT * FROM {table}").fetchall(), key=repr)
            for table in TABLES
        }


@_few
@given(made=worlds.made(), receipts=worlds.arrived(), split=st.integers(0, 9))
def test_the_same_receipts_have_the_same_rows_and_root(
    quick_postgres: PostgresServer, made: Made, receipts: list[Receipt], split: int
) -> None:
    """Log, index, states, search, tallies; timelines and reports; answers and anchors, bit for bit."""
    with on_each(quick_postgres, definitions=made.definitions) as ledgers:
        answers = [record(one, receipts, split) for one in ledgers]
        assert answers[0] == answers[1]
        assert ledgers[0].head() == ledgers[1].head()
        assert_same(*map(kept, ledgers))
        assert_same(*map(shown, ledgers))
        assert [one.verify() for one in ledgers] == [ledgers[0].verify()] * 2
        for one in ledgers:
            one.replay(index=True)
        assert_same(*map(shown, ledgers))


# --- texts and numbers of any kind ---

LETTERS = "\x00\x01\x02\x03aZz~\x7f%_\\'\"?é\u2028\uffff\U00010000\U0001f600"
KEYS = st.text(LETTERS, min_size=1, max_size=6)
STEMS = ("", "ab" * 60, "\x00" * 150, "\x01" * 199, "é" * 3_000, "k" * 100_000)


def postback(key: str, note: str) -> Receipt:
    """A postback of a delivery of any key, received when all others are."""
    said = {
        "ORIGIN": "MMS_MT", "CODE": "N101", "STATUS": "Message Sent", "SENTAS": "MMS",
        "TRACKINGID": key, "TO": "16503333058", "MMSID": "1", "SPID": note,
    }  # fmt: skip
    return Receipt(json.dumps(said).encode(), "application/json", MOMENT)


@_few
@example(stem="\x00" * 150, ends=["\x01", "\x00", "a", "\x02", "\x00a"], note="a\x00b")
@example(stem="k" * 100_000, ends=["a", "Z", "\U00010000", "\uffff", "é"], note="\x01\x02")
@given(
    stem=st.sampled_from(STEMS),
    ends=st.lists(KEYS, min_size=1, max_size=6, unique=True),
    note=st.text(LETTERS, max_size=4),
)
def test_texts_of_any_kind_go_through_and_sort_the_same(
    quick_postgres: PostgresServer, stem: str, ends: list[str], note: str
) -> None:
    """NUL, what stands for it on a server, long keys, characters beyond 16 bits: lists and beginnings."""
    receipts = [postback(stem + end, note) for end in ends]
    begins = {*ends, *(end[:1] for end in ends), stem[:250] or "a", stem + ends[0]}
    with on_each(quick_postgres) as ledgers:
        for one in ledgers:
            one.record_many(receipts)
        found = [[d.tracking_id for d in one.deliveries()] for one in ledgers]
        assert found[0] == found[1]
        # Of one time, in the order of their bytes.
        assert found[0] == sorted(found[0], key=str.encode)
        assert [*map(_spids, ledgers)] == [_spids(ledgers[0])] * 2
        for key in found[0]:
            assert ledgers[0].timeline(key)[0].event.body == ledgers[1].timeline(key)[0].event.body
        for begin in sorted(begins):
            assert _from(ledgers[0], begin) == _from(ledgers[1], begin)
            if begin.strip():
                assert _searched(ledgers[0], begin) == _searched(ledgers[1], begin)
        assert all(one.verify().ok for one in ledgers)


def _spids(ledger: Ledger) -> list[str | None]:
    return [d.spid for d in ledger.deliveries()]


def _from(ledger: Ledger, begin: str) -> list[str]:
    with ledger._connections.read() as own:
        return own.reader.index.keys_from(begin, "delivery", 5)


def _searched(ledger: Ledger, begin: str) -> list[str]:
    return [d.tracking_id for d in ledger.deliveries(search=begin)]


def test_long_texts_go_through_wherever_they_stand(quick_postgres: PostgresServer) -> None:
    """Longer than what an index of a server holds: in keys, names, reasons, sources and invoices."""
    long = Random(3).randbytes(5_000).hex()
    names = ("MMSID", "SPID", "STATUSDETAILS", "TO", "AGGREGATORID", "HANDSET")
    said = {name: f"{name}{long}" for name in names}
    bodies = [sent(f"{n}{long}", **said) for n in range(3)] + [
        sent(f"0{long}", **said, STATUS="Message Failed")
    ]
    receipts = [Receipt(one, f"text/{long}", MOMENT, source=f"s{long}") for one in bodies]
    with on_each(quick_postgres) as ledgers:
        for one in ledgers:
            record(one, receipts, 2)
            one.subscribe(f"n{long}", lambda _: None, live=False)
            rows = [InvoiceRow(2, f"0{long}"), InvoiceRow(3, f"9{long}"), InvoiceRow(4, f"0{long}")]
            assert [of.kind for row in one.reconcile(rows) for of in row.differences][:1]
        found = [[(d.tracking_id, d.to, d.spid) for d in one.deliveries()] for one in ledgers]
        assert found[0] == found[1]
        for one in ledgers:
            one.replay(index=True)
            assert one.verify().problems == ()
        for by in ("source", "spid", "reason"):
            assert ledgers[0].counts(by=[by]) == ledgers[1].counts(by=[by])
        assert ledgers[0].tallies(by=["source"]) == ledgers[1].tallies(by=["source"])
        assert_same(*map(shown, ledgers))


def test_half_a_character_is_refused_the_same(quick_postgres: PostgresServer) -> None:
    """In a key, a name, or what is asked for; what stood in a body is kept, and unreadable."""
    refused: list[list[str]] = []
    with on_each(quick_postgres) as ledgers:
        for one in ledgers:
            said = []
            for doing in (
                lambda one=one: one.created("\ud800", to="1"),
                lambda one=one: one.record(b"?", source="\ud800"),
                lambda one=one: one.delivery("\ud800"),
            ):
                with pytest.raises(LedgerError, match="half a character") as caught:
                    doing()
                said.append(str(caught.value).replace(str(one.path), ""))
            refused.append(said)
            body = rb'{"ORIGIN":"MMS_MT","CODE":"N101","TRACKINGID":"\ud800"}'
            assert one.record(body, content_type="application/json").event.reading == "unreadable"
        assert refused[0] == refused[1]


@pytest.mark.parametrize(
    "number", ["1e308", "-1e308", "1e-320", "1" + "0" * 400, "9223372036854775808", "-0.0", "1e999"]
)
def test_numbers_of_any_size_go_through(quick_postgres: PostgresServer, number: str) -> None:
    """As keys, and as what was charged."""
    body = (
        '{"ORIGIN":"MMS_MT","CODE":"N101","STATUS":"Message Sent","SENTAS":"MMS","TRACKINGID":'
        f'{number},"TO":"16503333058","MMSID":{number},"SPID":{number}}}'
    )
    ends = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC)
    receipts = [Receipt(body.encode(), "application/json", at) for at in ends]
    with on_each(quick_postgres) as ledgers:
        for one in ledgers:
            record(one, receipts, 1)
        assert_same(*map(shown, ledgers))
        assert_same(*map(kept, ledgers))
