"""The figures of the design's last table, each beside its floor and its peers."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

from benchmarks.floors import Statements, blind_fold
from benchmarks.measure import Figure, bound, file_bytes, rate, rates
from benchmarks.peers import EventSourcing, Nodes, Upsert, nodes_of
from benchmarks.postbacks import receipts
from postledger import Ledger, Receipt
from postledger.definitions.chart_toml import load_chart
from postledger.projections.generations import generations as projections
from postledger.projections.generations import replay
from postledger.projections.rows import rows_of
from postledger.spans import folded
from postledger.state import streams as facts

BATCH = 1000
ROUNDS = 5
ONE_BY_ONE = 2000

_ONE = "record, one by one"
_BULK = "bulk ingest, XML to projection"
_FOLD = "fold of the whole log, from blocks"
_PLAIN = "fold of the whole log, row by row"
_COMPARISON = "comparison by another chart, from blocks"
_REBUILD = "rebuild, projection written"
_SQL = "its own SQL, rows ready made"


def of_speed(folder: Path, events: int) -> Iterator[Figure]:
    """All rates and sizes, on a ledger of so many events (and some of them one by one)."""
    told = list(islice(receipts(), events))
    parsed = [nodes_of(receipt.body) for receipt in told]
    yield from _one_by_one(folder, told[:ONE_BY_ONE], parsed[:ONE_BY_ONE])
    yield from _bulk(folder, told, parsed)
    yield from _folds(folder, events)
    yield from _disk(folder, events)


def _one_by_one(folder: Path, told: Sequence[Receipt], parsed: Sequence[Nodes]) -> Iterator[Figure]:
    def ours(number: int) -> Callable[[], int]:
        ledger = Ledger(folder / f"one-{number}.db")

        def timed() -> int:
            for receipt in told:
                ledger.record(
                    receipt.body,
                    content_type=receipt.content_type,
                    received_at=receipt.received_at,
                )
            return len(told)

        return timed

    def upsert(number: int) -> Callable[[], int]:
        peer = Upsert(folder / f"one-upsert-{number}.db")
        return lambda: len([peer.one(nodes) for nodes in parsed])

    def eventsourcing(number: int) -> Callable[[], int]:
        peer = EventSourcing(folder / f"one-eventsourcing-{number}.db")
        return lambda: len([peer.tell([nodes]) for nodes in parsed])

    def sql(number: int) -> Callable[[], int]:
        filled = folder / f"one-{number}.db"
        floor = Statements(filled, folder / f"one-sql-{number}.db")
        return lambda: floor.write(1)

    contenders = {"ours": ours, "upsert": upsert, "eventsourcing": eventsourcing, "sql": sql}
    got = rates(contenders, ROUNDS)
    yield rate(_ONE, got["ours"], "bare UPSERT", got["upsert"], 0.7)
    yield rate(_ONE, got["ours"], "eventsourcing", got["eventsourcing"], 2.5)
    yield rate(_ONE, got["ours"], _SQL, got["sql"], None)
    yield rate(
        "bare UPSERT, one by one", got["upsert"], "eventsourcing", got["eventsourcing"], None
    )


def _bulk(folder: Path, told: Sequence[Receipt], parsed: Sequence[Nodes]) -> Iterator[Figure]:
    batches = [parsed[i : i + BATCH] for i in range(0, len(parsed), BATCH)]

    def ours(number: int) -> Callable[[], int]:
        ledger = Ledger(folder / f"bulk-{number}.db")
        return lambda: ledger.record_many(told).position

    def peer_of(tell: Callable[[list[Nodes]], object]) -> Callable[[], int]:
        def timed() -> int:
            for batch in batches:
                tell(list(batch))
            return len(parsed)

        return timed

    contenders = {
        "ours": ours,
        "eventsourcing": lambda n: peer_of(EventSourcing(folder / f"bulk-es-{n}.db").tell),
        "blind": lambda n: peer_of(EventSourcing(folder / f"bulk-blind-{n}.db").append),
        "upsert": lambda n: peer_of(Upsert(folder / f"bulk-upsert-{n}.db").many),
        "sql": lambda n: partial(
            Statements(folder / f"bulk-{n}.db", folder / f"bulk-sql-{n}.db").write, BATCH
        ),
    }
    got = rates(contenders, ROUNDS)
    yield rate(_BULK, got["ours"], "eventsourcing, load and save", got["eventsourcing"], 2)
    yield rate(_BULK, got["ours"], "eventsourcing, append alone", got["blind"], None)
    yield rate(_BULK, got["ours"], "UPSERT, batched", got["upsert"], None)
    yield rate(_BULK, got["ours"], _SQL, got["sql"], None)


def _folds(folder: Path, events: int) -> Iterator[Figure]:
    path = folder / "bulk-0.db"
    ledger, peer = Ledger(path), EventSourcing(folder / "bulk-es-0.db")
    optimized = Ledger(folder / "bulk-2.db")
    keys = list(peer.fold())

    def rebuild(_: int) -> Callable[[], int]:
        return lambda: (ledger.rebuild(), events)[1]

    def verify(_: int) -> Callable[[], int]:
        return lambda: ledger.verify().events

    contenders = {
        "optimize": lambda _: lambda: (optimized.optimize(), events)[1],
        "fold": lambda _: lambda: fold(optimized),
        "plain": lambda _: lambda: plain_fold(ledger),
        "select": lambda _: lambda: plain_select(path),
        "blind": lambda _: lambda: blind_fold(path),
        "repository": lambda _: lambda: peer.fold_each(keys),
        "mutations": lambda _: lambda: (peer.fold(), events)[1],
        "comparison": lambda _: lambda: compare(optimized),
        "plain comparison": lambda _: lambda: compare(ledger),
        "rebuild": rebuild,
        "copy": lambda n: lambda: select_and_insert(path, folder / f"copy-{n}.db"),
        "verify": verify,
    }
    got = rates(contenders, ROUNDS)
    yield rate(_FOLD, got["fold"], "plain SELECT of its rows", got["select"], 0.6)
    yield rate(_FOLD, got["fold"], "eventsourcing, repository", got["repository"], 15)
    yield rate(_FOLD, got["fold"], "eventsourcing, all in memory", got["mutations"], None)
    yield rate(_PLAIN, got["plain"], "plain SELECT of its rows", got["select"], None)
    yield rate(_PLAIN, got["plain"], "eventsourcing, repository", got["repository"], None)
    yield rate(_PLAIN, got["plain"], "SELECT and rows picked blindly", got["blind"], None)
    yield rate(_COMPARISON, got["comparison"], "row by row", got["plain comparison"], None)
    yield Figure("optimize: the blocks made", got["optimize"], "events/s")
    yield rate(_REBUILD, got["rebuild"], "SELECT and INSERT", got["copy"], 1 / 1.5)
    yield Figure("verify", got["verify"], "events/s")
    ledger.close()
    optimized.close()


def fold(ledger: Ledger) -> int:
    """The row of every delivery and content, with the help of blocks; gives the number of events."""
    with ledger._session.read() as reader:
        return sum(count for _, count, _ in folded(reader.log, reader.facts))


def plain_fold(ledger: Ledger) -> int:
    """The same from the log alone."""
    with ledger._session.read() as reader:
        return sum(count for _, count, _ in rows_of(reader.log, reader.facts))


def compare(ledger: Ledger) -> int:
    """What would change by a chart of another version; gives the number of events."""
    chart = ledger.definitions.charts["delivery"]
    later = load_chart(chart.source.replace(f"version = {chart.version}", "version = 99", 1))
    told: list[int] = []
    changed = list(
        ledger.differences(ledger.definitions.with_charts([later]), progress=told.append)
    )
    assert not changed
    return sum(told)


def plain_select(path: Path) -> int:
    """Read the rows that the fold reads, in its order, through nothing but sqlite3."""
    db = sqlite3.connect(path)
    rows = db.execute(f"{facts._SELECT} WHERE e.stream_id > 0 {facts._ORDER}")
    # The quickest way to do nothing with each row.
    deque(rows, maxlen=0)
    count = db.execute("SELECT count(*) FROM events WHERE repeats IS NULL").fetchone()[0]
    db.close()
    return int(count)


def select_and_insert(path: Path, copy: Path) -> int:
    """Read what the fold reads and write the rows that it makes, ready made."""
    with Ledger(path) as ledger, ledger._session.read() as reader:
        live = ledger._session.live(reader.log.db)
        made = reader.log.db.conn.execute(f"SELECT * FROM {live.table}").fetchall()
    count = plain_select(path)
    db = sqlite3.connect(copy)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute(projections._CREATE.format(table="states"))
    holes = ", ".join("?" * len(made[0]))
    for start in range(0, len(made), replay.CHUNK):
        with db:
            db.executemany(
                f"INSERT INTO states VALUES ({holes})", made[start : start + replay.CHUNK]
            )
    db.close()
    return count


def _disk(folder: Path, events: int) -> Iterator[Figure]:
    ours = file_bytes(folder / "bulk-1.db") / events
    theirs = file_bytes(folder / "bulk-es-0.db") / events
    yield bound("disk, body and projection included", ours, "bytes/event", 300)
    yield Figure("disk", ours, "bytes/event", "eventsourcing, nodes alone", theirs)
    optimized = file_bytes(folder / "bulk-2.db") / events
    yield bound("disk, blocks too", optimized, "bytes/event", 300)
