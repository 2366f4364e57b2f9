"""Interned values: templates and envelopes are bounded, and processes never disagree on a number."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from postledger import Ledger, LedgerError, Receipt
from postledger.log import interned as module
from postledger.log import schema
from postledger.log.event import Envelope
from postledger.log.interned import Interned
from postledger.store.sqlite import SqliteStore
from postledger.templates import Template
from tests.samples import sent


@pytest.fixture
def store() -> Iterator[SqliteStore]:
    """The tables of a log in memory."""
    made = SqliteStore(Path("test.db"), sqlite3.connect(":memory:", isolation_level=None))
    schema.make(made)
    yield made
    made.close()


def template(name: str, words: str = "") -> Template:
    """A template of its own, or the same skeleton with a word fixed."""
    return (
        Template((f"<{name}>", f"</{name}>{words}")) if words else Template((f"<{name}>", "", "x"))
    )


def skeleton(name: str) -> Template:
    """The skeleton of the templates with words."""
    return Template((f"<{name}>", f"</{name}>", ""))


def count(store: SqliteStore, table: str) -> int:
    """How many rows a table has."""
    row = store.one(f"SELECT count(*) FROM {table}")
    assert row is not None
    return int(row[0])


def test_equal_values_are_kept_once(store: SqliteStore) -> None:
    """By whatever connection, with the same number."""
    one, other = Interned(store), Interned(store)
    assert [one.envelope_id(Envelope(source=s)) for s in "aba"] == [1, 2, 1]
    assert [other.envelope_id(Envelope(source=s)) for s in "ba"] == [2, 1]
    made = template("A")
    assert one.admit(made, made) == made == other.admit(made, made)
    assert one.template_id(made) == other.template_id(made) == 1
    assert other.template(1) == made
    assert other.envelope(2) == Envelope(source="b")


def test_envelopes_are_bounded(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound they stand inline; those that are there are found."""
    monkeypatch.setattr(module, "MOST_ENVELOPES", 2)
    interned = Interned(store)
    numbers = [interned.envelope_id(Envelope(source=str(n))) for n in range(20)]
    assert numbers == [1, 2] + [None] * 18
    assert Interned(store).envelope_id(Envelope(source="1")) == 2
    assert count(store, "envelopes") == 2
    assert len(interned._envelope_ids) <= 4 * 2 + 1


def test_templates_are_bounded_in_number(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first sight makes one up to half of those allowed, then the second, then none."""
    monkeypatch.setattr(module, "MOST_TEMPLATES", 4)
    interned = Interned(store)
    made = [template(name) for name in "ABCDEF"]
    assert [interned.admit(one, one) for one in made] == [*made[:2], None, None, None, None]
    assert [interned.admit(one, one) for one in made] == [*made[:4], None, None]
    assert [interned.admit(one, one) for one in made] == [*made[:4], None, None]
    assert count(store, "templates") == 4


def test_templates_are_bounded_in_characters(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However few they are."""
    monkeypatch.setattr(module, "MOST_CHARACTERS", 200)
    interned = Interned(store)
    long = [Template((f"<{n}{'x' * 90}>", "")) for n in "ABCD"]
    admitted = [interned.admit(one, one) is not None for one in long * 3]
    assert admitted[:4] == [True, True, False, False] or admitted[:4] == [True, False, False, False]
    row = store.one("SELECT max(total) FROM templates")
    assert row is not None
    assert row[0] < 200 + 120
    assert sum(admitted[-4:]) == count(store, "templates")


def test_words_of_a_skeleton_are_bounded(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the one without words takes their place; those that are there are used."""
    monkeypatch.setattr(module, "MOST_WORDED", 2)
    interned, plain = Interned(store), skeleton("A")
    worded = [Template(("<A>", f"</A>{word}")) for word in "xyz"]
    assert [interned.admit(one, plain) for one in worded] == [*worded[:2], plain]
    assert [interned.admit(one, plain) for one in worded] == [*worded[:2], plain]
    assert interned.admit(plain, plain) == plain
    other = Template(("<B>", "</B>x"))
    assert interned.admit(other, skeleton("B")) == other


def test_seen_templates_are_bounded(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process remembers to know a second sight does not grow."""
    monkeypatch.setattr(module, "MOST_TEMPLATES", 2)
    monkeypatch.setattr(module, "_MOST_SEEN", 3)
    interned = Interned(store)
    interned.admit(template("A"), template("A"))
    for number in range(20):
        interned.admit(template(f"N{number}"), template(f"N{number}"))
        assert len(interned._seen) <= 3


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("pieces = '[]'", "it is not what was interned"),
        ('pieces = \'["<B>","","x"]\'', "it is not what was interned"),
        ("pieces = '[1]'", "damaged"),
        ("pieces = '['", "damaged"),
        ("digest = x'00'", "it is not what was interned"),
    ],
)
def test_damaged_template_is_refused(store: SqliteStore, change: str, told: str) -> None:
    """It is named by its number."""
    Interned(store).admit(template("A"), template("A"))
    store.execute("DROP TRIGGER templates_no_update")
    store.execute(f"UPDATE templates SET {change}")
    with pytest.raises(LedgerError, match=rf"template 1 is damaged: .*{told}|template 1 is {told}"):
        Interned(store).template(1)


def test_what_is_rolled_back_is_not_taken_for_kept(ledger: Ledger) -> None:
    """A write that fails takes its templates and envelopes with it; the next one interns them again."""
    connections = ledger._connections
    body = sent("a")
    with pytest.raises(RuntimeError), connections.write() as own:
        interned = own.log.interned
        assert interned.envelope_id(Envelope(source="mine")) == 2
        interned.admit(template("A"), template("A"))
        raise RuntimeError
    store = connections._own().store
    assert (count(store, "envelopes"), count(store, "templates")) == (1, 0)
    ledger.record_many([Receipt(body, source="mine"), Receipt(body, source="other")])
    assert [event.source for event in ledger.events(after=0)] == ["mine", "other"]
    assert ledger.verify().problems == ()


def test_two_ledgers_of_one_file_agree(ledger: Ledger) -> None:
    """Whoever interns first, the numbers are those of the file."""
    with Ledger(ledger.path) as other:
        for number in range(6):
            writer = (ledger, other)[number % 2]
            writer.record(b"<N%d><A>1</A></N%d>" % (number // 2, number // 2), source=str(number))
        for one in (ledger, other):
            assert [e.source for e in one.events(after=0)] == list("012345")
        assert count(other._connections._own().store, "templates") == 3
    assert ledger.verify().problems == ()


@pytest.mark.parametrize(
    "bound", ["MOST_TEMPLATES", "MOST_CHARACTERS", "MOST_WORDED", "MOST_ENVELOPES"]
)
@pytest.mark.parametrize("most", [0, 1, 2])
def test_which_texts_are_fixed_never_shows(
    bound: str,
    most: int,
    specification: list[bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A ledger with no room for templates says the same as one with all of them."""

    def told(name: str) -> object:
        with Ledger(tmp_path / name) as ledger:
            ledger.record_many(map(_at, enumerate(specification)))
            assert ledger.verify().problems == ()
            events = [(e.position, e.body, e.identity, e.postback) for e in ledger.events(after=0)]
            return events, [d.to_dict() for d in ledger.deliveries()]

    whole = told("whole.db")
    monkeypatch.setattr(module, bound, most)
    assert told("bounded.db") == whole


def _at(numbered: tuple[int, bytes]) -> Receipt:
    number, body = numbered
    return Receipt(
        body, "text/xml", datetime(2026, 1, 1, 0, number, tzinfo=UTC), source=str(number)
    )
