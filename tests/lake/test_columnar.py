"""The columnar fold gives the rows of the plain one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import strategies as st

from postledger import Ledger, Receipt
from postledger.lake import columnar, columns
from postledger.lake.columns import in_whole_streams
from postledger.lake.layout import STREAM, Said
from postledger.log.as_of import EVERYTHING, Bounds
from postledger.projections.reader import Reader
from postledger.state.plans import Plan, Plans
from tests import strategies
from tests.conftest import ledger_of
from tests.lake.tables import plainly, statements_of, told
from tests.properties.hostile import near_misses
from tests.properties.shown import falsified, folder, run
from tests.properties.worlds import Made, alike, arrived, made, moments, receipts, spoken
from tests.samples import delivered, sent
from tests.state.test_said import POSTBACKS, ledger_of_own

QUICK, LONG = 60, 4_000


def in_columns(reader: Reader, tables: Iterable[Any]) -> list[tuple[Any, ...]]:
    """The deliveries of all streams of tables."""
    return told(columnar.states(reader, tables))


def pieces_of(table: Any, size: int) -> Iterator[Any]:
    """A table cut into pieces of so many rows, wherever streams begin."""
    for at in range(0, len(table), size):
        yield table.slice(at, size)


def same(reader: Reader, size: int, bounds: Bounds = EVERYTHING) -> None:
    """Whether both ways give the same rows, findings included, however the events are cut."""
    table, wanted = statements_of(reader, bounds), plainly(reader, bounds)
    assert in_columns(reader, [table]) == wanted
    assert in_columns(reader, list(pieces_of(table, size))) == wanted
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "PIECE", size)
        assert in_columns(reader, [table]) == wanted


def worlds_are_the_same(
    one: Made, other: Made, received: list[Receipt], size: int, last: int, known: datetime
) -> None:
    """Under any definitions, and as of any time."""
    with folder() as path, Ledger(path / "1.db", definitions=one.definitions) as ledger:
        ledger.record_many(received)
        moment = int(known.timestamp() * 1_000_000)
        bounds = (EVERYTHING, Bounds(position=last), Bounds(received_by=moment))
        for definitions in (one.definitions, other.definitions):
            ledger.replay(definitions)
            with ledger._connections.read() as own:
                for some in bounds:
                    same(own.reader, size, some)


_ALIKE = alike().flatmap(
    lambda bodies: st.tuples(*(receipts(st.just(body)) for body in bodies)).map(list)
)
_RECEIVED = st.one_of(
    arrived(most=25),
    arrived(spoken(), most=40),
    st.lists(receipts(near_misses()), max_size=12),
    _ALIKE,
    st.lists(strategies.receipts(), max_size=30),
)
_WORLD = (made(), made(), _RECEIVED, st.integers(1, 9), st.integers(0, 16), moments())


def test_rows_of_columns_are_those_of_the_fold() -> None:
    """Whatever was received: late, repeated, contradicting, undated, in bundles, of other definitions."""
    run(worlds_are_the_same, QUICK, *_WORLD)


@pytest.mark.long
def test_rows_of_columns_are_those_of_the_fold_in_many_runs() -> None:
    """The same on many more examples."""
    run(worlds_are_the_same, LONG, *_WORLD)


def said_is_the_same(postbacks: list[dict[str, Any]]) -> None:
    """Labels, amounts and reasons that are made of several texts, whatever these are."""
    with ledger_of_own(postbacks) as ledger, ledger._connections.read() as own:
        same(own.reader, 3)


def test_what_is_made_of_texts_is_that_of_the_fold() -> None:
    """Of many streams at once, texts that JSON escapes among them."""
    run(said_is_the_same, QUICK, st.lists(POSTBACKS, max_size=12))


def _late_is_missed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(columnar, "_LATE", 0)


def _recipients_are_not_compared(patch: pytest.MonkeyPatch) -> None:
    nobody = columnar.np.zeros
    patch.setattr(columnar._Gather, "_differ", lambda self: nobody(len(self._some), dtype=bool))


def _texts_are_shifted(patch: pytest.MonkeyPatch) -> None:
    origins = Plan.origins

    def shifted(self: Plan) -> list[tuple[int, Any]]:
        return [(k, 0) if k == columnar.TEXT else (k, v) for k, v in origins(self)]

    patch.setattr(Plan, "origins", shifted)


@pytest.mark.parametrize(
    "fault", [_late_is_missed, _recipients_are_not_compared, _texts_are_shifted]
)
def test_the_property_fails_where_the_fold_is_wrong(
    fault: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It finds what is broken on purpose."""
    fault(monkeypatch)
    assert falsified(worlds_are_the_same, 300, *_WORLD)


def test_most_streams_are_picked_by_plans() -> None:
    """Plain streams don't reach the fold of one stream, repeats and recipients of one kind included."""
    bodies = [*map(sent, "abcdefgh"), *map(delivered, "abcdefgh"), sent("a")]
    with ledger_of(map(Receipt, bodies)) as ledger, ledger._connections.read() as own:
        asked: list[str] = []

        class Counting:
            plans = own.reader.plans

            @staticmethod
            def row(stream: int, chart: str, rows: Any) -> Any:
                asked.append(chart)
                return own.reader.row(stream, chart, rows)

        found = told(columnar.states(Counting(), [statements_of(own.reader)]))
        assert found == plainly(own.reader)
        assert asked == []


WORDED = """
name = "worded"
version = 1
roots = [""]
[fields]
id = "id"
status = "status"
to = "to"
[[postbacks]]
match = { status = true }
chart = "delivery"
key = "id"
means = [
    { status = { fold = "sent" }, trigger = "sent_sms" },
    { status = { fold = "done" }, trigger = "delivered" },
    { status = { fold = "lost" }, trigger = "failed" },
]
"""


def test_words_that_no_template_fixes_decide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Streams of one kind of body differ in what the bodies say; without that the rows would be wrong."""
    (own := tmp_path / "own.toml").write_text(WORDED)
    said = ("Sent", "DONE", "lost", "Done", "odd", "LOST")
    received = [
        Receipt(json.dumps({"id": f"k{n}", "status": word, "to": "1"}).encode(), "application/json")
        for n in range(36)
        for word in ((said[n % 6], said[n // 6]) if n % 2 else (said[n % 6],))
    ]
    with Ledger(tmp_path / "1.db", vocabulary=own) as ledger:
        ledger.record_many(received)
        with ledger._connections.read() as own_reader:
            same(own_reader.reader, 7)
            monkeypatch.setattr(Plans, "deciding", lambda self, rows: ())
            with pytest.raises(AssertionError):
                same(own_reader.reader, 7)


def test_a_long_stream_is_folded(ledger: Ledger) -> None:
    """One of more events than plans have, which lies in many tables."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(30):
        stamp = (at + timedelta(seconds=number)).isoformat()
        ledger.record(sent("long", TIMESTAMP=stamp, HANDSET=f"h{number}"))
    ledger.record(sent("short"))
    with ledger._connections.read() as own:
        same(own.reader, 4)


def test_no_events_are_no_rows(ledger: Ledger) -> None:
    """An empty ledger gives none."""
    with ledger._connections.read() as own:
        assert in_columns(own.reader, [statements_of(own.reader)]) == []


def test_columns_have_one_type_in_all_tables(filled: Path) -> None:
    """So that tables of states can be put together, whatever streams they are of."""
    with Ledger(filled) as ledger, ledger._connections.read() as own:
        tables = list(columnar.states(own.reader, pieces_of(statements_of(own.reader), 2)))
    assert len(tables) > 2
    assert len({str(one.schema) for one in tables}) == 1


def test_a_number_of_no_template_is_taken_for_no_other(ledger: Ledger) -> None:
    """However large it is: the stream can't be folded, as the plain way says too."""
    for key in "ab":
        ledger.record(sent(key))
    with ledger._connections.read() as own:
        table = statements_of(own.reader)
        sound, altered = table["template"].to_pylist()
        numbers = pa.array([sound, altered + (1 << 44)], pa.int64())
        other = table.set_column(Said._fields.index("template"), "template", numbers)
        states = [row[3] for row in in_columns(own.reader, [other])]
    assert states == ["sent", "unfolded"]


def test_tables_are_cut_where_streams_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that goes on in the next table waits for it; a large table is several pieces."""
    monkeypatch.setattr(columns, "PIECE", 3)
    parts = ([1, 1], [1], [], [1, 2, 2], [3], [3], [4, 5, 5, 5, 5, 6, 7, 7, 8])
    tables = [
        pa.table({one: pa.array(map(str, part), pa.string()) for one in STREAM}) for part in parts
    ]
    found = [list(map(int, table["key"].to_pylist())) for table in in_whole_streams(tables)]
    assert found == [[1] * 4, [2, 2], [3, 3], [4], [5] * 4, [6, 7, 7], [8]]


@pytest.mark.parametrize("package", ["numpy", "pyarrow"])
def test_without_its_packages_it_says_what_to_install(package: str) -> None:
    """One line, and nothing else of the engine takes them."""
    code = (
        f"import sys; sys.modules['{package}'] = None; import postledger\n"
        "try: import postledger.lake.columnar\n"
        "except postledger.PostledgerError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    line = "a columnar fold requires NumPy and PyArrow: {} -m pip install numpy pyarrow\n"
    assert done.stdout == line.format(sys.executable)
