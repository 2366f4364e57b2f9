"""Adoption: what is shown depends on the definitions in force, and on no others before them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import strategies as st

from postledger import Ledger, Receipt
from postledger.projections import generations, replay
from postledger.state import patterns
from postledger.state.patterns import Statement, Unplaced
from tests.properties.shown import assert_same, falsified, folder, rows, run, shown
from tests.properties.worlds import Made, arrived, as_json, leaves, made, xml
from tests.stores import both_stores

QUICK, LONG = 60, 3_000
_VARIED = ("zone", "key", "time", "words", "chart", "ignores")
_READ = ("stream", "time", "identity")


def worlds(
    bodies: st.SearchStrategy[bytes] | None = None,
) -> tuple[st.SearchStrategy[Any], ...]:
    """Two sets of definitions, receipts, and how many of these come before the adoption."""
    return made(), made(), arrived(bodies), st.integers(0, 10)


def words_and_texts() -> st.SearchStrategy[bytes]:
    """Postbacks in which words of one vocabulary are free texts of the other."""
    return st.one_of(leaves().map(xml), leaves().map(xml), leaves().map(as_json))


def same_rows(one: Made, other: Made, received: list[Receipt], before: int) -> None:
    """Recorded under A and then read by B, the rows are those of a ledger that always read by B."""
    with (
        folder() as path,
        Ledger(path / "1.db", definitions=one.definitions) as ledger,
        Ledger(path / "2.db", definitions=other.definitions) as plain,
    ):
        ledger.record_many(received[:before])
        ledger.replay(other.definitions)
        ledger.record_many(received[before:])
        plain.record_many(received)
        assert rows(ledger) == rows(plain)


def same_in_all(one: Made, other: Made, received: list[Receipt], before: int) -> None:
    """All that is shown is the same, after each of several adoptions."""
    with (
        folder() as path,
        Ledger(path / "1.db", definitions=one.definitions) as ledger,
        Ledger(path / "A.db", definitions=one.definitions) as by_one,
        Ledger(path / "B.db", definitions=other.definitions) as by_other,
    ):
        by_one.record_many(received)
        by_other.record_many(received)
        ledger.record_many(received[:before])
        ledger.replay(other.definitions)
        ledger.record_many(received[before:])
        wanted = shown(by_one), shown(by_other)
        assert_same(shown(ledger), wanted[1])
        assert ledger.verify().problems == ()
        ledger.replay(one.definitions)
        assert_same(shown(ledger), wanted[0])
        ledger.replay(other.definitions)
        assert_same(shown(ledger), wanted[1])
        ledger.replay(index=True)
        assert_same(shown(ledger), wanted[1])
        assert ledger.verify().problems == ()


def counted(seen: Counter[str]) -> Callable[..., None]:
    """The property, which counts in how many runs the two definitions differ in what."""

    def check(one: Made, other: Made, received: list[Receipt], before: int) -> None:
        seen["runs"] += 1
        seen.update(name for name in _VARIED if getattr(one, name) != getattr(other, name))
        seen.update(_read_differently(one, other, received))
        same_in_all(one, other, received, before)

    return check


def _read_differently(one: Made, other: Made, received: list[Receipt]) -> set[str]:
    """In what the readings of any of the receipts differ."""
    both = [
        [said for receipt in received for said in _statements(made_, receipt)]
        for made_ in (one, other)
    ]
    return {
        name
        # Of other shapes, a body may have more members.
        for this, that in zip(*both, strict=False)
        for name, value, others in zip(_READ, this[:3], that[:3], strict=True)
        if value != others
    }


def _statements(made_: Made, receipt: Receipt) -> list[Statement]:
    envelope = patterns.Envelope(content_type=receipt.content_type)
    return patterns.Patterns(made_.definitions, patterns.wire.Limits()).read_plainly(
        receipt.body, envelope
    )


@both_stores
@pytest.mark.parametrize("bodies", [None, words_and_texts()], ids=["all", "words"])
def test_adoption_leaves_nothing_behind(bodies: st.SearchStrategy[bytes] | None) -> None:
    """What is shown after an adoption is what the definitions in force alone give."""
    _adopted(bodies, QUICK)


@pytest.mark.long
@pytest.mark.parametrize("bodies", [None, words_and_texts()], ids=["all", "words"])
def test_adoption_leaves_nothing_behind_in_many_runs(
    bodies: st.SearchStrategy[bytes] | None,
) -> None:
    """The same on many more examples."""
    _adopted(bodies, LONG)


def _adopted(bodies: st.SearchStrategy[bytes] | None, examples: int) -> None:
    seen: Counter[str] = Counter()
    run(counted(seen), examples, *worlds(bodies))
    assert all(seen[name] >= seen["runs"] / 10 for name in (*_VARIED, *_READ)), seen


# --- the property notices what it is there for ---


@pytest.fixture(params=_READ)
def kept(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A reading of the log that keeps one part of what the first reading said."""
    at = ("stream", "time", "identity").index(request.param)
    add = replay.add

    def keeping(reader: Any, generation: Any, rows: list[Unplaced], until: int) -> set[int]:
        live = generations.live(reader.log.store)
        if live is None or live.index_name == reader.index.name:
            return add(reader, generation, rows, until)
        index = live.index_of(reader.log.store)
        return add(reader, generation, [_first(index, one, at) for one in rows], until)

    monkeypatch.setattr(replay, "add", keeping)
    return str(request.param)


def _first(index: Any, new: Unplaced, at: int) -> Unplaced:
    row = index.store.one(
        f"SELECT stream, occurred_at, identity FROM {index.name} WHERE position = ? AND member = ?",
        new[3:5],
    )
    if row is None:
        # By the other definitions the body has fewer members.
        return new
    first = [*new]
    first[at] = index.stream_of(row[0]) if at == 0 else row[at]
    return tuple(first)  # type: ignore[return-value]


def test_kept_first_reading_is_noticed(kept: str) -> None:
    """What keeps the stream, the time or the identity of the first reading fails the property."""
    # What keeps the identity shows only where two say otherwise the same by the others.
    assert falsified(same_rows, 1_000, *worlds())


def _without_fixed_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "canonical_pair", lambda name, text: "")


def _without_fixed_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    made_ = patterns._reasons
    monkeypatch.setattr(
        patterns, "_reasons", lambda at: made_([one for one in at if isinstance(one, int)])
    )


@pytest.mark.parametrize(
    "mutant",
    [_without_fixed_identity, _without_fixed_reason],
    ids=["identity", "reason"],
)
def test_fixed_text_read_otherwise_is_noticed(
    mutant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What takes a fixed text for other than a varying one fails the property."""
    mutant(monkeypatch)
    assert falsified(same_rows, 1_000, *worlds(words_and_texts()))
