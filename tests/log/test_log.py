"""The log: what is appended is read back whole, and what is missing or damaged is named."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from postledger import Ledger, Receipt
from postledger.errors import IntegrityError
from postledger.log import interned, schema
from postledger.log.event import Clock, Entry, Envelope, Kind, Part
from postledger.log.log import Head, Log
from postledger.log.tree import EMPTY, STRIDE, extend, root_of
from postledger.store.sqlite import SqliteStore
from postledger.templates import Template, split, written
from tests.samples import delivered, sent


@pytest.fixture
def log() -> Iterator[Log]:
    """An empty log in memory."""
    store = SqliteStore(Path("test.db"), sqlite3.connect(":memory:"))
    schema.make(store)
    yield Log(store)
    store.close()


def entry(body: bytes, at: int = 0, envelope: Envelope | None = None) -> Entry:
    """An event whose body is kept whole."""
    return Entry(at, envelope or Envelope(), body)


EVERYTHING = Envelope(
    Kind.STATEMENT, Clock.STATED, "skycore", "unverified", "text/xml", "gzip", Part.QUERY
)


def test_what_is_appended_is_read_back(log: Log) -> None:
    """Whole bodies and templates, times before 1970, every field of the envelope."""
    body = sent("a")
    found = split(body)
    assert found is not None
    template = log.interned.admit(Template(found[0]), Template(found[0]))
    told = [
        entry(b"", -1, EVERYTHING),
        Entry(7, Envelope(), body, template, written(found[1])),
        entry(b"\x00\xff", 10**15),
    ]
    head, rows = log.append(told, log.head())
    leaves = [row[8] for row in rows]
    stored = list(log.events())
    assert [(e.position, e.received_at, e.envelope, e.body) for e in stored] == [
        (n, one.received_at, one.envelope, one.body) for n, one in enumerate(told)
    ]
    assert [e.leaf for e in stored] == [e.computed_leaf() for e in stored] == leaves
    assert head == log.head() == log.computed_head()
    assert head.frontier.root() == root_of(leaves)
    assert stored[1].texts == found[1]


def test_salts_are_random_and_their_own(log: Log) -> None:
    """Equal bodies have different salts and leaves; a copy gives those of the original."""
    log.append([entry(b"a"), entry(b"a")], log.head())
    one, other = log.events()
    assert len({one.salt, other.salt}) == 2
    log.append([entry(b"b")], log.head(), salts=bytes(range(16)))
    assert log.at(2).salt == bytes(range(16))


def test_salts_are_asked_for_each_time(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """None is kept, so that two processes after a fork don't share any."""
    asked: list[int] = []

    def urandom(size: int) -> bytes:
        asked.append(size)
        return bytes(size)

    monkeypatch.setattr(os, "urandom", urandom)
    log.append([entry(b"a"), entry(b"b")], log.head())
    log.append([entry(b"c")], log.head())
    assert asked == [32, 16]


def test_nodes_stand_every_256_events(log: Log) -> None:
    """However the events came together, one head row and the nodes say how far the tree has come."""
    for count in (1, STRIDE - 2, 1, STRIDE + 3, 5):
        log.append([entry(b"a")] * count, log.head())
    size = 2 * STRIDE + 8
    leaves = log.leaves(0, size)
    frontier, nodes = extend(EMPTY, leaves)
    assert log.head() == Head(frontier, -1) == log.computed_head()
    assert log.nodes(0, 2) == [node for _, node in nodes]
    assert log.store.one("SELECT count(*) FROM head") == (1,)


def test_last_adoption_is_in_the_head(log: Log) -> None:
    """Also where the head has to be worked out of the events."""
    adoption = Envelope(Kind.ADOPTION)
    log.append(
        [entry(b"1", 0, adoption), entry(b"2"), entry(b"3", 0, adoption), entry(b"4")], Head()
    )
    assert log.head().adoption == log.computed_head().adoption == 2
    assert [e.position for e in log.adoptions()] == [0, 2]
    assert [e.position for e in log.adoptions(1)] == [0]


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM head",
        "UPDATE head SET size = 1",
        "UPDATE head SET frontier = x'00'",
        "UPDATE head SET size = 99",
    ],
)
def test_head_that_is_wrong_is_worked_out_of_the_events(log: Log, damage: str) -> None:
    """To append depends on no row but the events, and sets the head right."""
    log.append([entry(b"1", 0, Envelope(Kind.ADOPTION)), entry(b"2"), entry(b"3")], log.head())
    right = log.head()
    log.store.execute(damage)
    assert log.head() == right
    head, _ = log.append([entry(b"4")], log.head())
    assert log.head() == head == log.computed_head()
    assert log.store.one("SELECT size FROM head") == (4,)


def test_events_are_read_between_positions(ledger: Ledger) -> None:
    """From the first, up to the last, however far beyond the log these are."""
    ledger.record_many(map(sent, "abcdef"))
    log = ledger._connections._own().log
    assert [event.position for event in log.events(3, 4)] == [3, 4]
    assert [event.position for event in log.events(5, 2**70)] == [5, 6]
    assert list(log.events(2**70)) == []
    assert (log.last(), log.size()) == (6, 7)
    assert [row[0] for row in log.rows(1, 3)] == [1, 2]
    assert len(log.leaves(2, 5)) == 3


def test_what_is_missing_is_named(log: Log) -> None:
    """A position, a template, an envelope, a leaf and a node by their numbers."""
    log.append([entry(b"a")], log.head())
    for asking, told in (
        (lambda: log.at(9), "position 9 is missing"),
        (lambda: log.interned.template(9), "template 9 is missing"),
        (lambda: log.interned.envelope(9), "envelope 9 is missing"),
        (lambda: log.leaves(0, 2), "positions 0 to 1: expected 2 leaves, got 1"),
        (lambda: log.nodes(0, 1), "nodes 0 to 0 of the tree: expected 1, got 0"),
    ):
        with pytest.raises(IntegrityError, match=f"^{told}$"):
            asking()


DAMAGES = {
    "leaf = x'00'": "its leaf is damaged",
    "salt = NULL": "its body or its salt is missing",
    "body = x'00'": "it has both a body and the texts of a template",
    "texts = NULL": "its texts don't fit its template",
    "template = NULL": "its texts don't fit its template",
    "texts = '[\"a\"]'": "expected 4 texts, got 1",
    'texts = \'["a", "b"]\'': "its texts are damaged: they are not written as texts are",
    "texts = '[\"\\'": "its texts are damaged",
    "template = 99": "template 99 is missing",
    "envelope = 99": "envelope 99 is missing",
    "envelope = NULL": "an envelope is damaged",
    "inline = '[]'": "it has both an envelope and the number of one",
    "received_at = 9223372036854775807": "its time of reception must be from the year 1 to 9999",
    "template = NULL, texts = NULL": "its body or its salt is missing",
}


@pytest.mark.parametrize("change", DAMAGES)
def test_damage_is_told_with_its_position(ledger: Ledger, change: str) -> None:
    """What is known of it stands after it; verify tells the same."""
    ledger.record_many([sent("a"), delivered("a")])
    log = ledger._connections._own().log
    log.store.execute("DROP TRIGGER events_no_update")
    log.store.execute(f"UPDATE events SET {change} WHERE position = 1")
    log.store.conn.commit()
    with pytest.raises(IntegrityError, match=f"^position 1: {DAMAGES[change]}"):
        log.at(1)
    assert f"position 1: {DAMAGES[change]}" in "\n".join(ledger.verify().problems)
    assert ledger.record(b"?").event.position == 3


def test_an_inline_envelope_is_read(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the table of envelopes is full, it stands in the row of the event."""
    monkeypatch.setattr(interned, "MOST_ENVELOPES", 1)
    ledger.record_many([Receipt(sent("a"), "a/b", source="x"), Receipt(sent("a"), "a/b")])
    log = ledger._connections._own().log
    assert log.store.one("SELECT count(*) FROM envelopes") == (1,)
    assert log.store.one("SELECT count(*) FROM events WHERE inline IS NOT NULL") == (2,)
    assert [(e.source, e.content_type) for e in ledger.events(after=0)] == [
        ("x", "a/b"),
        ("", "a/b"),
    ]
    assert (ledger.delivery("a").events, ledger.delivery("a").repeats) == (1, 1)
    assert ledger.verify().problems == ()
    ledger.replay(index=True)
    assert ledger.verify().problems == ()
