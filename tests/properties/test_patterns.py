"""Patterns, templates and plans: the quick way gives what the plain way gives."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import strategies as st

from postledger import UNVERIFIED, Ledger, Receipt
from postledger.errors import ReadError
from postledger.log.event import Envelope, Kind, Part
from postledger.state import patterns
from postledger.state.patterns import Patterns, Statement, of_times
from postledger.templates import Template, split
from postledger.wire import Limits
from tests.properties.hostile import any_bodies, near_misses
from tests.properties.shown import folder, run
from tests.properties.worlds import Made, alike, arrived, made, receipts
from tests.stores import both_stores

QUICK, LONG = 120, 10_000
_ENVELOPES = st.builds(
    Envelope,
    kind=st.sampled_from((Kind.RECEIPT, Kind.RECEIPT, Kind.STATEMENT)),
    source=st.sampled_from(("", "one", "made", "skycore")),
    sender=st.sampled_from(("", "", "", "basic", UNVERIFIED)),
    content_type=st.sampled_from((None, "text/xml", "text/xml; charset=utf-7")),
    content_encoding=st.sampled_from((None, None, None, "gzip", "deflate", "gzip, gzip")),
    part=st.sampled_from((Part.BODY, Part.BODY, Part.BODY, Part.QUERY)),
)
_BODIES = st.lists(
    st.tuples(st.one_of(near_misses(), any_bodies()), _ENVELOPES), min_size=1, max_size=12
)
_REPEATED = st.lists(st.integers(0, 11), max_size=6)


def said(statement: Statement) -> tuple[Any, ...]:
    """All that a statement says, however it was come by."""
    pattern = statement.pattern
    fact = None if pattern is None else pattern.fact(1, b"", 0, 0, statement.texts, 0)
    undated = None if pattern is None else pattern.fact(2**63 - 1, b"", 0, 0, statement.texts, 0)
    reading = None if pattern is None else pattern.reading
    fields = (statement.kind, statement.postback, statement.problem, reading, fact, undated)
    return *statement[:4], *fields


def plainly(patterns_: Patterns, body: bytes, envelope: Envelope) -> list[tuple[Any, ...]]:
    """The same by the readers of record and the vocabularies alone."""
    if envelope.sender == UNVERIFIED:
        identity = patterns.unread_identity(body, 0, envelope)
        return [said(Statement(patterns.NOWHERE, 2**63 - 1, identity, 0, None, ()))]
    found = []
    for index, member in enumerate(patterns_.members(body, envelope)):
        if isinstance(member, ReadError):
            identity = patterns.unread_identity(body, index, envelope)
            found.append(
                said(Statement(patterns.NOWHERE, 2**63 - 1, identity, 0, None, (), str(member)))
            )
        else:
            read = said(patterns_.plainly(member))
            bare = attrs.evolve(member, attributes=())
            assert read[5] == bare
            found.append(read)
    return found


def patterns_are_plain(made_: Made, bodies: list[tuple[bytes, Envelope]], again: list[int]) -> None:
    """What is taken of a body is what is read of it plainly, whatever was taken before."""
    quick = Patterns(made_.definitions, Limits())
    plain = Patterns(made_.definitions, Limits())
    for body, envelope in [*bodies, *(bodies[at % len(bodies)] for at in again)]:
        taken = quick.take(body, envelope)
        wanted = plainly(plain, body, envelope)
        assert [said(one) for one in taken.statements] == wanted
        assert [said(one) for one in quick.read_plainly(body, envelope)] == wanted
        if taken.template is not None and taken.plain is not None:
            assert taken.template.fill(taken.texts) == body
            assert taken.plain.fill(taken.all_texts) == body


def rows_are_plain(one: Made, other: Made, received: list[Receipt]) -> None:
    """Facts by template and rows by plan are those of the plain way, under any definitions."""
    with folder() as path, Ledger(path / "test.db", definitions=one.definitions) as ledger:
        ledger.record_many(received)
        _plain_rows(ledger)
        ledger.replay(other.definitions)
        _plain_rows(ledger)


def _plain_rows(ledger: Ledger) -> None:
    with ledger._connections.read() as own:
        reader = own.reader
        for row in own.log.rows(1, own.log.size()):
            stored = own.log.at(row[0])
            if stored.kind == Kind.RECEIPT:
                wanted = plainly(reader.facts.patterns, stored.body, stored.envelope)
                assert [said(one) for one in reader.facts.statements_of(stored)] == wanted
                assert [(*one[:3], one[5]) for one in reader.facts.unplaced([row])] == [
                    (*one[:3], one[3] | of_times(one[1], stored.received_at)) for one in wanted
                ]
        # Twice: first a plan is learned, then it is used.
        for _ in range(2):
            for stream, chart, rows in reader.index.streams():
                assert reader.row(stream, chart, rows) == reader.plain_row(stream, rows)


def test_patterns_read_as_the_plain_way() -> None:
    """A body read by its pattern says what the readers and vocabularies say of it."""
    run(patterns_are_plain, QUICK, made(), _BODIES, _REPEATED)


@pytest.mark.long
def test_patterns_read_as_the_plain_way_in_many_runs() -> None:
    """The same on many more examples."""
    run(patterns_are_plain, LONG, made(), _BODIES, _REPEATED)


_SOURCES = st.builds(Envelope, source=st.sampled_from(("", "one", "made", "skycore")))
_ALIKE = alike().flatmap(
    lambda bodies: st.tuples(*(st.tuples(st.just(body), _SOURCES) for body in bodies)).map(list)
)


def test_patterns_of_one_kind_of_body_read_as_the_plain_way() -> None:
    """Bodies that differ in deciding words, in texts that are bodies or in their source alone."""
    run(patterns_are_plain, QUICK * 2, made(), _ALIKE, _REPEATED)


@pytest.mark.long
def test_patterns_of_one_kind_of_body_in_many_runs() -> None:
    """The same on many more examples."""
    run(patterns_are_plain, LONG, made(), _ALIKE, _REPEATED)


_ARRIVED = st.one_of(arrived(most=25), st.lists(receipts(near_misses()), max_size=12))


@both_stores
def test_plans_give_the_rows_of_the_fold() -> None:
    """Facts of templates and rows of plans are those of the plain way."""
    run(rows_are_plain, QUICK // 2, made(), made(), _ARRIVED)


@pytest.mark.long
def test_plans_give_the_rows_of_the_fold_in_many_runs() -> None:
    """The same on many more examples."""
    run(rows_are_plain, LONG // 2, made(), made(), _ARRIVED)


def splits(body: bytes) -> None:
    """A template fixes markup only, and gives the body back."""
    found = split(body)
    if found is None:
        return
    pieces, texts = found
    assert Template(pieces).fill(texts) == body
    assert all(text.isascii() and text.isprintable() and text == text.strip() for text in texts)
    # With other texts it is split at the same places.
    others = [_other(text) for text in texts]
    assert split(Template(pieces).fill(others)) == (pieces, others)


def _other(text: str) -> str:
    return str(len(text) + 1)


def test_templates_split_and_fill() -> None:
    """A body that has a template is split into markup and plain texts, and filled again."""
    run(splits, QUICK * 3, st.one_of(near_misses(), any_bodies()))


@pytest.mark.long
def test_templates_split_and_fill_in_many_runs() -> None:
    """The same on many more examples."""
    run(splits, LONG, st.one_of(near_misses(), any_bodies()))
