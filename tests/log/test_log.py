"""The log: its lookups say the same of few and of many, cached or not, and say what is missing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlite_utils import Database

from postledger import Ledger
from postledger.errors import IntegrityError
from postledger.log import sqlite
from postledger.log.entry import NOWHERE, Entry
from postledger.log.log import MANY, Log, damaged
from postledger.log.shapes import unreadable
from tests import strategies
from tests.conftest import ledger_of

KEYS = ("", "a", "b", "a\0b", "a\0", "\u00e9", '"', "\\", *map(str, range(2 * MANY)))


def body(key: str) -> bytes:
    """A creation, which names a stream of any key."""
    return strategies.body(
        ("ORIGIN", "SMS_MT"), ("CODE", "N201"), ("STATUS", "Message Sent"), ("TRACKINGID", key)
    )


@pytest.fixture
def log(ledger: Ledger) -> Iterator[Log]:
    """The log of a ledger with events of three streams, two of which have repeats."""
    ledger.record_many(map(body, "aabcbb"))
    with ledger._connections.read() as reader:
        yield reader.log


@settings(max_examples=40)
@given(st.lists(st.sampled_from(KEYS), max_size=30), st.lists(st.sampled_from(KEYS), max_size=30))
def test_streams_are_found_alike_however_many_are_asked_for(
    known: list[str], asked: list[str]
) -> None:
    """One by one or together, with any character in their keys."""
    with ledger_of([]) as ledger, ledger._connections.write() as reader:
        streams = [(chart, key) for key in known for chart in ("delivery", "content")]
        made = dict(zip(streams, reader.log.stream_ids(streams)[0], strict=True))
        wanted = [("delivery", key) for key in asked]
        log = Log(reader.log.db)
        found = {stream: log.find_stream(stream) for stream in wanted}
        assert found == {stream: made.get(stream) for stream in wanted}
        ids, new = log.stream_ids(wanted)
        assert new == {at for stream, at in zip(wanted, ids, strict=True) if stream not in made}
        assert all(made.get(stream, at) == at for stream, at in zip(wanted, ids, strict=True))
        assert [log.find_stream(stream) for stream in wanted] == ids


def test_repeats_are_counted_alike_however_many_streams_are_asked_for(log: Log) -> None:
    """One by one or together; a stream without repeats has none either way."""
    few = log.repeats_of([1, 2, 3])
    assert few == {1: 1, 2: 2, 3: 0}
    many = log.repeats_of([1, 2, 3, *range(100, 100 + MANY)])
    assert {stream: many.get(stream, 0) for stream in few} == few


def test_a_full_cache_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """When more streams and shapes are known than are kept in mind, they are looked up again."""
    told = [body(key) for key in "abcdab"] + [b"?", b"??", strategies.body(("X", "1"))] * 2
    with ledger_of(told) as ledger:
        plain = [(event.key, event.repeats, event.digest) for event in ledger.events()]
    monkeypatch.setattr(sqlite, "_MOST_CACHED", 1)
    with ledger_of([]) as ledger:
        for one in told:
            ledger.record(one)
        assert [(event.key, event.repeats, event.digest) for event in ledger.events()] == plain
        assert ledger.verify().ok
        (shapes,) = ledger._connections.own().log.db.execute("SELECT count(*) FROM shapes").fetchone()
        assert shapes == 3
        (streams,) = ledger._connections.own().log.db.execute("SELECT max(id) FROM streams").fetchone()
        assert streams == 4


def test_what_is_not_there_is_said(log: Log) -> None:
    """A stream, a shape and a position that are missing are told by their numbers."""
    assert log.stream_of(2) == ("delivery", "b")
    assert log.key_of(2) == "delivery b"
    assert log.find_stream(("delivery", "z")) is None
    with pytest.raises(IntegrityError, match=r"^stream 9 is missing$"):
        log.stream_of(9)
    with pytest.raises(IntegrityError, match=r"^shape 9 is missing$"):
        log.shape(9)
    with pytest.raises(IntegrityError, match=r"^position 9 is missing$"):
        log.at(9)


def test_events_are_read_between_positions(log: Log) -> None:
    """Behind the first, up to the second, however far beyond the log these are."""
    assert [event.position for event in log.events(2, 4)] == [3, 4]
    assert [event.position for event in log.events(4, 2**70)] == [5, 6]
    assert list(log.events(2**70)) == []
    assert [event.position for event in log.of_stream(2)] == [3, 5, 6]
    assert list(log.streams_of(0, 2)) == [1]
    assert dict(log.charts(1, 3)) == {2: "delivery", 3: "delivery"}


def test_an_event_is_found_by_its_identity(log: Log) -> None:
    """Stream, time and digest find it; a repeat is not found in its place."""
    third = log.at(3)
    assert log.find((2, third.occurred_at, third.digest)) == 3
    assert log.find((1, third.occurred_at, third.digest)) is None
    assert log.find((2, third.occurred_at, bytes(16))) is None


def test_an_entry_is_reread_where_its_stream_has_it(log: Log) -> None:
    """Only then: neither in another stream, nor in one that there is not."""
    third = log.at(3)

    def entry(key: str, digest: bytes) -> Entry:
        stream = ("delivery", key)
        return Entry(
            0, stream, 0, third.occurred_at, digest, 0, None, None, None, b"", False, None, 1
        )

    assert log.is_reread(entry("b", third.digest))
    assert not log.is_reread(entry("b", bytes(16)))
    assert not log.is_reread(entry("a", third.digest))
    assert not log.is_reread(entry("z", third.digest))


def test_damage_is_told_with_its_position() -> None:
    """What is known of it stands behind; what Python says of the text does not."""
    assert str(damaged(7, IntegrityError("shape 3 is missing"))) == "position 7: shape 3 is missing"
    assert str(damaged(7, IndexError("list index"))) == "position 7: its texts don't fit its shape"


def test_no_more_is_kept_in_mind_than_is_meant_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known stays known up to that number; beyond it a log begins anew to learn."""
    monkeypatch.setattr(sqlite, "_MOST_CACHED", 3)
    with ledger_of([]) as ledger, ledger._connections.write() as reader:
        log = Log(reader.log.db)
        streams = [("delivery", key) for key in "abcd"]
        for count, stream in enumerate(streams, 1):
            log.stream_ids([stream])
            assert [*log._stream_ids] == [NOWHERE, *(streams[:count] if count < 4 else [stream])]
        shapes = [unreadable(content_type) for content_type in "abcde"]
        for count, shape in enumerate(shapes, 1):
            log.shape_id(shape)
            assert [*log._shape_ids] == (shapes[:count] if count < 5 else [shape])


def test_a_damaged_last_value_of_the_chain_is_told_with_its_position() -> None:
    """A damaged record may hold a text there; what is appended must not be chained to it."""
    db = Database(memory=True)
    try:
        db.execute("CREATE TABLE events (position, chain)")
        db.execute("INSERT INTO events VALUES (7, 'a text')")
        with pytest.raises(
            IntegrityError, match=r"^position 7: the value of the chain is damaged$"
        ):
            Log(db).head()
    finally:
        db.close()
