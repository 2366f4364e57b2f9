"""Blocks give what the log gives: the same rows, whatever came before or behind them."""

from __future__ import annotations

import re
import shutil
import tempfile
import zlib
from pathlib import Path
from typing import Any

import attrs
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from postledger import IntegrityError, Ledger, LedgerError, Receipt, blocks
from postledger.blocks import Block, Kind, block_of, packed, unpacked
from postledger.cli import main
from postledger.definitions.chart_toml import load_chart
from postledger.definitions.definitions import Definitions, builtin
from postledger.definitions.vocabulary_toml import load_vocabulary
from postledger.projections.compare import Difference
from postledger.projections.rows import Folded, rows_of
from postledger.spans import folded
from postledger.state import streams as facts
from postledger.state.fold import UNDATED
from postledger.state.plans import Course
from postledger.state.streams import Facts
from tests import strategies
from tests.conftest import ledger_of
from tests.faults import traffic
from tests.states import rows
from tests.test_replay import other


def both_ways(ledger: Ledger, after: int = 0) -> tuple[list[Folded], list[Folded]]:
    """The rows by blocks and by the log, each with nothing learned before."""
    with ledger._session.read() as reader:
        by_blocks = list(folded(reader.log, Facts(reader.log, ledger.definitions), after))
        by_log = list(rows_of(reader.log, Facts(reader.log, ledger.definitions), after))
    return by_blocks, by_log


def optimized(ledger: Ledger) -> int:
    """Optimize; gives the number of blocks that it wrote."""
    db = ledger._session.own().log.db.conn
    before = db.total_changes
    ledger.optimize()
    return db.total_changes - before


@settings(max_examples=40, deadline=None)
@given(
    st.lists(strategies.receipts(), max_size=30),
    st.lists(strategies.receipts(), max_size=10),
    st.sampled_from((1, 2, 3, 2_000)),
    st.integers(0, 6),
)
def test_blocks_give_the_rows_of_the_log(
    before: list[Receipt], behind: list[Receipt], span: int, after: int
) -> None:
    """Whatever was received before they were made and behind it, from any stream on."""
    with pytest.MonkeyPatch.context() as patch, ledger_of(before) as ledger:
        patch.setattr(blocks, "SPAN", span)
        ledger.optimize()
        by_blocks, by_log = both_ways(ledger, after)
        assert by_blocks == by_log
        ledger.record_many(behind)
        by_blocks, by_log = both_ways(ledger, after)
        assert by_blocks == by_log
        assert ledger.verify().problems == ()


@settings(max_examples=20, deadline=None)
@given(st.lists(strategies.receipts(), max_size=30))
def test_a_block_comes_back_as_it_was_packed(receipts: list[Receipt]) -> None:
    """Its columns are written and read without loss."""
    with ledger_of(receipts) as ledger, ledger._session.read() as reader:
        block = block_of(reader.facts, 1, 100, ledger.head()[0])
        assert unpacked(1, 100, block.position, packed(block)) == block


def test_repeats_before_and_behind_a_block_are_counted(tmp_path: Path) -> None:
    """They are no part of it, and change the row of their stream all the same."""
    with Ledger(tmp_path / "test.db") as ledger:
        ledger.record_many([*traffic.bodies(0, 9), *traffic.bodies(3, 6)])
        ledger.optimize()
        ledger.record_many(traffic.bodies(6, 8))
        by_blocks, by_log = both_ways(ledger)
        assert by_blocks == by_log
        assert [(count, row and row[15]) for _, count, row in by_blocks] == [(3, 0), (6, 3), (5, 2)]


def test_the_rows_behind_any_stream_and_in_the_gap_of_a_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a block is missing, and from the midst of one on, they are those of the log."""
    monkeypatch.setattr(blocks, "SPAN", 4)
    with Ledger(tmp_path / "test.db") as ledger:
        ledger.record_many(traffic.bodies(0, 42))
        ledger.optimize()
        for missing in (0, 5, 1):
            with ledger._session.write() as reader:
                reader.log.db.conn.execute("DELETE FROM blocks WHERE first = ?", (missing,))
            for after in range(15):
                by_blocks, by_log = both_ways(ledger, after)
                assert by_blocks == by_log
                assert len(by_log) == 14 - after if after < 14 else by_log == []


def test_an_altered_event_stands_in_no_block(tmp_path: Path) -> None:
    """The fold from the log says where it is."""
    with Ledger(tmp_path / "test.db") as ledger:
        ledger.record_many(traffic.bodies(0, 9))
        with ledger._session.write() as reader:
            reader.log.db.execute("DROP TRIGGER events_no_update")
            for position, change in (
                (2, "json_insert(fields, '$[#]', 'x')"),
                (5, "'[]'"),
                (8, "NULL"),
            ):
                sql = f"UPDATE events SET fields = {change} WHERE position = ?"
                reader.log.db.execute(sql, (position,))
            block = block_of(reader.facts, 1, 3, 9)
        assert (block.left, block.streams) == ([1, 2, 3], [])
        ledger.optimize()
        with pytest.raises(IntegrityError, match="position 5"):
            both_ways(ledger)


def test_streams_of_a_block_are_not_read_from_the_log(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Once their course is known, the log is asked for those alone that events came to since."""
    with Ledger(tmp_path / "test.db") as ledger:
        ledger.record_many(traffic.bodies(0, 60))
        ledger.optimize()
        ledger.record(traffic.body(0).replace(b"N101", b"N999"))
        asked: list[list[int]] = []
        by_log = Facts.rows_of

        def rows_asked(facts: Facts, streams: list[int], *rest: object) -> object:
            asked.append(streams)
            return by_log(facts, streams)

        with ledger._session.read() as reader:
            expected = list(rows_of(reader.log, reader.facts))
            monkeypatch.setattr(Facts, "rows_of", rows_asked)
            monkeypatch.setattr(facts.Facts, "rows", lambda *_: iter(()))
            assert list(folded(reader.log, reader.facts)) == expected
        assert asked == [[1]]


def test_a_long_stream_and_one_with_an_escaped_text_stand_in_no_block(tmp_path: Path) -> None:
    """They are left to the log, and their rows are there all the same."""
    escaped = traffic.body(3).replace(b"0001570", b"0\\1")
    long = [traffic.body(0).replace(b"05:00:00", b"05:%02d:00" % n) for n in range(20)]
    with Ledger(tmp_path / "test.db") as ledger:
        ledger.record_many([*long, escaped, traffic.body(6)])
        assert ledger.optimize() == 1
        with ledger._session.read() as reader:
            block = block_of(reader.facts, 1, 3, ledger.head()[0])
        assert (block.left, block.streams) == ([1, 2], [3])
        by_blocks, by_log = both_ways(ledger)
        assert by_blocks == by_log
        assert [count for _, count, _ in by_blocks] == [20, 1, 1]


def test_streams_whose_words_decide_take_their_own_course_each(tmp_path: Path) -> None:
    """A vocabulary that came after the events knows words that their shapes leave open."""
    with Ledger(tmp_path / "test.db") as ledger:
        ledger.record_many(
            traffic.body(3 * n).replace(b"Message Sent", b"Said %d" % (n % 3)) for n in range(9)
        )
        ledger.optimize()
        (shipped,) = (v for v in ledger.definitions.vocabularies if v.name == "skycore")
        words = tmp_path / "words.toml"
        words.write_text(shipped.source.replace('"Message Sent", "9"', '"Said 1", "9"'))
        later = ledger.definitions.with_files(vocabulary=[words])
        with ledger._session.read() as reader:
            new = Facts(reader.log, later)
            by_blocks = list(folded(reader.log, new))
            assert by_blocks == list(rows_of(reader.log, Facts(reader.log, later)))
        assert [row is not None and row[1] for _, _, row in by_blocks] == [False, "sent", False] * 3
        told = [difference.key for difference in ledger.differences(later)]
        assert told == ["TU1T1", "TU1T4", "TU1T7"]
        ledger.rebuild(later)
        assert [difference.key for difference in ledger.differences(builtin())] == told


def test_a_word_that_two_vocabularies_take_otherwise_is_told(tmp_path: Path) -> None:
    """Of streams that run alike but for that word."""
    (shipped,) = (v for v in builtin().vocabularies if v.name == "skycore")

    def spoken(*said: tuple[str, str]) -> Definitions:
        source = shipped.source
        for known, more in said:
            assert known in source
            source = source.replace(known, f"{known}, {more}")
        return builtin().with_vocabularies([load_vocabulary(source)])

    sends, expires = '"Message Sent", "9"', '"Message Sent/Expired", "30"'
    old = spoken((sends, '"Said 1", "Said 2"'))
    with Ledger(tmp_path / "test.db") as ledger:
        ledger.record_many(
            traffic.body(3 * n).replace(b"Message Sent", b"Said %d" % (n % 3)) for n in range(9)
        )
        ledger.rebuild(old)
        ledger.optimize()
        new = spoken((sends, '"Said 1"'), (expires, '"Said 2"'))
        changed = [(one.key, one.before and one.before.state) for one in ledger.differences(new)]
        assert changed == [("TU1T2", "sent"), ("TU1T5", "sent"), ("TU1T8", "sent")]


def test_courses_that_are_forgotten_change_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether words decide is asked of the shapes, and not of what happens to be remembered."""
    monkeypatch.setattr("postledger.state.plans._MOST", 2)
    test_streams_whose_words_decide_take_their_own_course_each(tmp_path)


def test_a_comparison_says_the_same_with_blocks(
    ledger: Ledger, specification: list[bytes], tmp_path: Path
) -> None:
    """By another chart the same deliveries change, for the same reasons; adopted, it holds."""
    ledger.record_many(specification)
    definitions = other(tmp_path, last_stands=True)
    before = list(ledger.differences(definitions))
    ledger.optimize()
    assert list(ledger.differences(definitions)) == before != []
    ledger.rebuild(definitions)
    assert ledger.verify().problems == ()
    assert ledger.delivery(before[0].key).state == "failed"


CHANGES = (
    "first outcome",
    "last outcome",
    "another word",
    "another meaning",
    "no order",
    "no change",
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(strategies.receipts(), max_size=30),
    st.lists(strategies.receipts(), max_size=6),
    st.sampled_from((1, 3, 2_000)),
    st.sampled_from(CHANGES),
)
def test_a_comparison_by_blocks_is_that_by_the_log(
    before: list[Receipt], behind: list[Receipt], span: int, changed: str
) -> None:
    """Every difference, with its reason, in the same order; and each event is counted once."""
    with (
        pytest.MonkeyPatch.context() as patch,
        tempfile.TemporaryDirectory() as folder,
        ledger_of(before) as ledger,
    ):
        patch.setattr(blocks, "SPAN", span)
        definitions = changes(Path(folder))[changed]
        ledger.optimize()
        ledger.record_many(behind)
        by_blocks = compared(ledger, definitions)
        with ledger._session.write() as reader:
            reader.log.db.conn.execute("DELETE FROM blocks")
        assert compared(ledger, definitions) == by_blocks
        if changed == "no change":
            assert by_blocks[0] == []


def compared(ledger: Ledger, definitions: Definitions) -> tuple[list[Difference], int]:
    """The differences, and how many events were told of on the way."""
    told: list[int] = []
    return list(ledger.differences(definitions, progress=told.append)), sum(told)


def changes(folder: Path) -> dict[str, Definitions]:
    """What may be compared with."""
    (shipped,) = (v for v in builtin().vocabularies if v.name == "skycore")
    shipped_chart = builtin().charts["delivery"]

    def spoken(known: str, instead: str) -> Definitions:
        assert known in shipped.source
        return builtin().with_vocabularies(
            [load_vocabulary(shipped.source.replace(known, instead))]
        )

    unordered = re.sub(r'after = "sent", ', "", shipped_chart.source)
    return {
        "first outcome": other(folder, last_stands=False),
        "last outcome": other(folder, last_stands=True),
        "another word": spoken('"Message Sent/Failed"', '"Message Sent/Lost"'),
        "another meaning": spoken('trigger = "expired"', 'trigger = "rejected"'),
        "no order": builtin().with_charts([load_chart(unordered)]),
        "no change": builtin(),
    }


@pytest.mark.parametrize(
    ("change", "body", "told"),
    [
        ("another meaning", traffic.body(1).replace(b"/Delivered", b"/Expired"), "rejected"),
        ("no order", traffic.body(1), "delivered"),
    ],
)
def test_streams_of_one_course_but_for_a_word_or_a_finding_are_told_to_differ(
    change: str, body: bytes, told: str, tmp_path: Path
) -> None:
    """Their rows are picked from the same places all the same."""
    with Ledger(tmp_path / "test.db") as ledger:
        ledger.record(body)
        ledger.optimize()
        (difference,) = ledger.differences(changes(tmp_path)[change])
        assert difference.after is not None
        assert difference.after.state == told
        assert difference.before != difference.after


def test_blocks_that_lie_over_each_other_give_each_stream_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a fold and in a comparison, and in what is told of their progress."""
    monkeypatch.setattr(blocks, "SPAN", 4)
    with Ledger(tmp_path / "test.db") as ledger:
        ledger.record_many(traffic.bodies(0, 30))
        definitions = other(tmp_path, last_stands=True)
        expected = compared(ledger, definitions)
        ledger.optimize()
        with ledger._session.write() as reader:
            over = block_of(reader.facts, 3, 7, 30)
            row = (3, 7, 30, packed(over))
            reader.log.db.conn.execute("INSERT INTO blocks VALUES (?, ?, ?, ?)", row)
        by_blocks, by_log = both_ways(ledger)
        assert by_blocks == by_log
        assert compared(ledger, definitions) == expected


def test_of_streams_that_both_charts_give_the_same_course_no_row_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A comparison of blocks is quicker than a fold: it looks at the kinds that differ alone."""
    with Ledger(tmp_path / "test.db") as ledger:
        ledger.record_many(traffic.bodies(0, 60))
        failed = traffic.body(2).replace(b"N102", b"E101")
        failed = failed.replace(b"Message Sent/Rejected", b"Message Failed")
        ledger.record(failed)
        ledger.optimize()
        made: list[int] = []
        row = Course.row

        def counted(course: Course, stream_id: int, *rest: Any) -> Any:
            made.append(stream_id)
            return row(course, stream_id, *rest)

        monkeypatch.setattr(Course, "row", counted)
        list(ledger.differences(other(tmp_path, last_stands=True)))
        assert set(made) == {1}


def test_optimize_again_writes_only_what_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks that say what the log says stay; those behind the last stream are taken away."""
    monkeypatch.setattr(blocks, "SPAN", 5)
    with Ledger(tmp_path / "test.db") as ledger:
        ledger.record_many(traffic.bodies(0, 36))
        assert optimized(ledger) == 3
        assert optimized(ledger) == 0
        ledger.record(traffic.body(3).replace(b"N101", b"N999"))
        ledger.record(traffic.body(36))
        assert optimized(ledger) == 2
        monkeypatch.setattr(blocks, "SPAN", 7)
        ledger.optimize()
        with ledger._session.read() as reader:
            spans = reader.log.db.execute(
                "SELECT first, last FROM blocks ORDER BY first"
            ).fetchall()
        assert spans == [(1, 7), (8, 13)]
        by_blocks, by_log = both_ways(ledger)
        assert by_blocks == by_log


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE blocks SET columns = zeroblob(10)",
        "UPDATE blocks SET columns = substr(columns, 1, 40)",
        "UPDATE blocks SET columns = ?",
    ],
    ids=["zeros", "cut", "other columns"],
)
def test_a_damaged_block_is_left_to_the_log_told_by_verify_and_made_anew(
    tmp_path: Path, sql: str
) -> None:
    """No state hangs on it."""
    path = tmp_path / "test.db"
    with Ledger(path) as ledger:
        ledger.record_many(traffic.bodies(0, 30))
        ledger.optimize()
        columns = zlib.compress(b"[[1,10,30],[],[0],[1],[1],[1],[]]\nx")
        with ledger._session.write() as reader:
            reader.log.db.conn.execute(sql, (columns,) if "?" in sql else ())
        by_blocks, by_log = both_ways(ledger)
        assert by_blocks == by_log
        told = "the block of streams 1 to 10 is not what the log says; run optimize"
        assert ledger.verify().problems == (told,)
        assert CliRunner().invoke(main, ["verify", str(path)]).exit_code == 1
        assert ledger.optimize() == 10
        assert ledger.verify().problems == ()


def test_a_flipped_bit_of_a_block_loses_no_stream(tmp_path: Path) -> None:
    """In its columns, and in what its row says of it: the rows are those of the log, or it is told."""
    path = tmp_path / "test.db"
    with Ledger(path) as ledger:
        ledger.record_many(traffic.bodies(0, 30))
        ledger.optimize()
        # Events behind the block, and streams behind its last.
        ledger.record_many([traffic.body(0).replace(b"N101", b"N999"), *traffic.bodies(30, 36)])
        columns = ledger.query("SELECT columns FROM blocks")[0]["columns"]
        _, expected = both_ways(ledger)
    whole, told = path.read_bytes(), 0
    start = whole.index(columns)
    # The row of a table: its length, its key, its header, the other columns, and then the blob.
    flips = [(at, bit) for at in range(start - 12, start + 4) for bit in range(8)]
    flips += [(at, at % 8) for at in range(start + 4, start + len(columns), 5)]
    for at, bit in flips:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
        try:
            with Ledger(path, readonly=True) as ledger:
                assert both_ways(ledger)[0] == expected, (at - start, bit)
                told += not ledger.verify().ok
        except LedgerError:
            told += 1
        else:
            mended(path)
    # What stands before the row may be nothing.
    assert told >= len(columns) // 5


def mended(path: Path) -> None:
    """What is wrong with the blocks of a ledger, ``optimize`` mends, or it says that it can't."""
    with Ledger(path) as ledger:
        try:
            ledger.optimize()
        except LedgerError:
            return
        assert ledger.verify().problems == ()


def first_block(ledger: Ledger) -> Block:
    """The first block of a ledger."""
    with ledger._session.read() as reader:
        block = blocks._at(reader.log.db, 1)
    assert block is not None
    return block


def forged(ledger: Ledger, **changed: object) -> None:
    """Put another block in place of the first one, well made."""
    columns = packed(attrs.evolve(first_block(ledger), **changed))  # type: ignore[arg-type]
    with ledger._session.write() as reader:
        reader.log.db.conn.execute("UPDATE blocks SET columns = ?", (columns,))


def test_a_forged_text_is_told_by_verify_and_enters_no_state_by_a_replay(tmp_path: Path) -> None:
    """What is built again by the same definitions follows from the log alone."""
    with Ledger(tmp_path / "test.db") as ledger:
        ledger.record_many(traffic.bodies(0, 3))
        before = rows(ledger)
        ledger.optimize()
        forged(ledger, texts=["forged"] * 15)
        assert len(ledger.verify().problems) == 1
        ledger.rebuild()
        assert rows(ledger) == before


def test_a_forged_text_enters_no_state_by_adopting_other_charts(
    ledger: Ledger, specification: list[bytes], tmp_path: Path
) -> None:
    """They give the same states as without blocks."""
    ledger.record_many(specification)
    definitions = other(tmp_path, last_stands=True)
    ledger.rebuild(definitions)
    expected = rows(ledger)
    ledger.rebuild(builtin())
    ledger.optimize()
    block = first_block(ledger)
    forged(ledger, texts=["forged"] * len(block.texts))
    ledger.rebuild(definitions)
    assert rows(ledger) == expected
    assert len(ledger.verify().problems) == 1


def test_what_is_recorded_behind_a_comparison_hangs_on_no_block(tmp_path: Path) -> None:
    """A forged block teaches the thread that compared nothing that it records by."""
    with Ledger(tmp_path / "test.db") as ledger:
        ledger.record_many(traffic.bodies(0, 2))
        ledger.optimize()
        block = first_block(ledger)
        (kind,) = block.kinds
        forged(ledger, kinds=[kind._replace(times=(0, UNDATED))])
        with pytest.raises(IntegrityError, match="stream 1 is not what its block says"):
            list(ledger.differences(other(tmp_path, last_stands=True)))
        undated = traffic.body(4).replace(b"2013-11-05T05:00:01-05:00", b"soon")
        assert undated != traffic.body(4)
        recorded = [ledger.record(body) for body in (traffic.body(3), undated)][-1]
        assert recorded.delivery is not None
        assert recorded.delivery.outcome_at is None
        assert "timestamp_missing" in recorded.delivery.findings
        assert ledger.delivery("TU1T1") == recorded.delivery


def test_a_forged_word_teaches_no_course(tmp_path: Path) -> None:
    """Nor does a comparison go by it: what streams say is asked of the log."""
    with Ledger(tmp_path / "test.db") as ledger:
        ledger.record(traffic.body(0).replace(b"Message Sent", b"Said 1"))
        ledger.optimize()
        block = first_block(ledger)
        assert "Said 1" in block.texts
        forged(ledger, texts=[text.replace("Said 1", "Said 2") for text in block.texts])
        (shipped,) = (v for v in ledger.definitions.vocabularies if v.name == "skycore")
        words = tmp_path / "words.toml"
        words.write_text(shipped.source.replace('"Message Sent", "9"', '"Said 2", "9"'))
        with pytest.raises(IntegrityError, match="stream 1 is not what its block says"):
            list(ledger.differences(ledger.definitions.with_files(vocabulary=[words])))


def test_a_projection_that_was_taken_away_comes_back_from_the_log_alone(tmp_path: Path) -> None:
    """When the ledger is opened again, whatever stands in its blocks."""
    path = tmp_path / "test.db"
    with Ledger(path) as ledger:
        ledger.record_many(traffic.bodies(0, 3))
        before = rows(ledger)
        ledger.optimize()
        forged(ledger, texts=["forged"] * 15)
        with ledger._session.write() as reader:
            reader.log.db.conn.execute("DELETE FROM projections")
    with Ledger(path) as ledger:
        assert rows(ledger) == before


@pytest.mark.parametrize(
    ("first", "last", "position"),
    [(1, 3, 10), (1, 4, 9), (4, 9, 9), (2, 1, 9), (0, 0, 9), (-5, 3, 9)],
    ids=["to come", "beyond", "behind", "turned round", "nowhere", "below"],
)
def test_a_block_of_what_the_log_has_not_is_told_and_taken_away(
    first: int, last: int, position: int, tmp_path: Path
) -> None:
    """Of positions to come and of streams that there are not, though it says nothing wrong of others."""
    with Ledger(tmp_path / "test.db") as ledger:
        ledger.record_many(traffic.bodies(0, 9))
        with ledger._session.write() as reader:
            columns = packed(block_of(reader.facts, first, last, position))
            row = (first, last, position, columns)
            reader.log.db.conn.execute("INSERT INTO blocks VALUES (?, ?, ?, ?)", row)
        by_blocks, by_log = both_ways(ledger)
        assert by_blocks == by_log
        told = f"the block of streams {first} to {last} is not what the log says; run optimize"
        assert ledger.verify().problems == (told,)
        ledger.optimize()
        assert ledger.verify().problems == ()
        assert len(ledger.query("SELECT * FROM blocks")) == 1


def test_a_forged_kind_teaches_no_course(tmp_path: Path) -> None:
    """A block whose streams have not the events that it says ends in one line."""
    with Ledger(tmp_path / "test.db") as ledger:
        ledger.record_many(traffic.bodies(0, 3))
        ledger.optimize()
        kind = Kind("delivery", (3, 2, 1), (0, 1, 2), (0, 1, 2), 0, 15)
        forged(ledger, kinds=[kind])
        with pytest.raises(IntegrityError, match="stream 1 is not what its block says"):
            list(ledger.differences(other(tmp_path, last_stands=True)))
        assert kind.course not in ledger._session.own().facts.courses


def test_a_block_must_be_whole() -> None:
    """Columns of other lengths than they want of each other are damage."""
    kind = Kind("delivery", (1, 2), (0, 1), (0, 1), 0, 3)
    whole = Block(1, 2, 9, [kind], [1, 2], [0, 0], [5, 4], [1, 2, 3, 4], list("abcdef"), [])
    assert unpacked(1, 2, 9, packed(whole)) == whole
    for name in ("streams", "kind_of", "received", "times", "texts"):
        column = getattr(whole, name)
        for other_length in (column[:-1], [*column, *column[-1:]]):
            damaged = attrs.evolve(whole, **{name: other_length})
            assert unpacked(1, 2, 9, packed(damaged)) is None, name


def test_a_value_of_no_possible_type_ends_optimize_in_one_line(tmp_path: Path) -> None:
    """The file is told to be damaged, and where."""
    with Ledger(tmp_path / "test.db") as ledger:
        ledger.record_many(traffic.bodies(0, 3))
        with ledger._session.write() as reader:
            reader.log.db.execute("DROP TRIGGER events_no_update")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("postledger.state.streams._SELECT", _TEXT)
            with pytest.raises(IntegrityError, match=r"test\.db: the file is damaged: guard"):
                ledger.optimize()


_TEXT = facts._SELECT.replace("e.received_at", "'x' || e.position").replace("e.position,", "NULL,")


def test_progress_tells_of_every_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the numbers of the streams of each block."""
    monkeypatch.setattr(blocks, "SPAN", 4)
    with Ledger(tmp_path / "test.db") as ledger:
        ledger.record_many(traffic.bodies(0, 30))
        told: list[int] = []
        assert ledger.optimize(progress=told.append) == 10
        assert told == [4, 4, 2]


def test_the_command_says_what_it_did_and_needs_to_write(tmp_path: Path) -> None:
    """One line; a ledger for reading only is refused in one line."""
    path = tmp_path / "test.db"
    with Ledger(path) as ledger:
        ledger.record_many(traffic.bodies(0, 30))
    told = CliRunner().invoke(main, ["optimize", str(path)])
    assert (told.exit_code, told.stdout) == (0, "10 streams in blocks\n")
    with (
        Ledger(path, readonly=True) as ledger,
        pytest.raises(LedgerError, match="for reading only"),
    ):
        ledger.optimize()


def test_blocks_survive_a_copy(tmp_path: Path) -> None:
    """They are in the file, and nowhere else."""
    path = tmp_path / "test.db"
    with Ledger(path) as ledger:
        ledger.record_many(traffic.bodies(0, 30))
        ledger.optimize()
    copy = shutil.copy(path, tmp_path / "copy.db")
    with Ledger(copy, readonly=True) as ledger:
        assert ledger.verify().problems == ()
        by_blocks, by_log = both_ways(ledger)
        assert by_blocks == by_log
