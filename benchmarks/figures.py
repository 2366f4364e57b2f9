"""The figures of the design's last table, each beside its floor and its peers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

from benchmarks.floors import OUTLINES, Statements, blind_fold, select, select_and_insert
from benchmarks.measure import Figure, bound, file_bytes, rate, rates
from benchmarks.peers import EventSourcing, Nodes, Upsert, nodes_of
from benchmarks.postbacks import receipts
from postledger import Ledger, Receipt
from postledger.definitions.chart_toml import load_chart

BATCH = 1000
ROUNDS = 5
ONE_BY_ONE = 2000

_ONE = "record, one by one"
_BULK = "bulk ingest, XML to projection"
_FOLD = "fold of the whole log, row by row"
_STATES = "states folded again and written"
_REREAD = "log read again, index and states written"
_COMPARISON = "comparison by another chart"
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
    yield rate(_ONE, got["ours"], "bare UPSERT", got["upsert"], None)
    yield rate(_ONE, got["ours"], "eventsourcing", got["eventsourcing"], None)
    yield rate(_ONE, got["ours"], _SQL, got["sql"], 0.6)
    yield rate(
        "bare UPSERT, one by one", got["upsert"], "eventsourcing", got["eventsourcing"], None
    )


def _bulk(folder: Path, told: Sequence[Receipt], parsed: Sequence[Nodes]) -> Iterator[Figure]:
    batches = [parsed[i : i + BATCH] for i in range(0, len(parsed), BATCH)]

    def ours(number: int) -> Callable[[], int]:
        ledger = Ledger(folder / f"bulk-{number}.db")
        return lambda: (ledger.record_many(told), len(told))[1]

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
    yield rate(_BULK, got["ours"], "eventsourcing, load and save", got["eventsourcing"], 1.5)
    yield rate(_BULK, got["ours"], "eventsourcing, append alone", got["blind"], None)
    yield rate(_BULK, got["ours"], "UPSERT, batched", got["upsert"], None)
    yield rate(_BULK, got["ours"], _SQL, got["sql"], None)


def _folds(folder: Path, events: int) -> Iterator[Figure]:
    path, again = folder / "bulk-0.db", folder / "bulk-2.db"
    ledger, replayed = Ledger(path), Ledger(again)
    peer = EventSourcing(folder / "bulk-es-0.db")
    keys = list(peer.fold())

    def replay(*, index: bool) -> Callable[[int], Callable[[], int]]:
        return lambda _: lambda: (replayed.replay(index=index), events)[1]

    contenders = {
        "fold": lambda _: lambda: fold(ledger),
        "select": lambda _: lambda: select(path),
        "outlines": lambda _: lambda: select(path, OUTLINES),
        "blind": lambda _: lambda: blind_fold(path),
        "repository": lambda _: lambda: peer.fold_each(keys),
        "mutations": lambda _: lambda: (peer.fold(), events)[1],
        "comparison": lambda _: lambda: compare(ledger),
        "states": replay(index=False),
        "reread": replay(index=True),
        "copy": lambda n: lambda: select_and_insert(path, folder / f"copy-{n}.db"),
        "verify": lambda _: lambda: ledger.verify().events,
    }
    got = rates(contenders, ROUNDS)
    yield rate(_FOLD, got["fold"], "SELECT of its rows", got["select"], 0.5)
    yield rate(_FOLD, got["fold"], "SELECT of what plans need", got["outlines"], None)
    yield rate(_FOLD, got["fold"], "the same, rows picked blindly", got["blind"], None)
    yield rate(_FOLD, got["fold"], "eventsourcing, repository", got["repository"], 15)
    yield rate(_FOLD, got["fold"], "eventsourcing, all in memory", got["mutations"], None)
    yield rate(_STATES, got["states"], "SELECT and INSERT", got["copy"], None)
    yield rate(_REREAD, got["reread"], "states folded again", got["states"], 0.4)
    yield rate(_COMPARISON, got["comparison"], "SELECT of its rows", got["select"], None)
    yield rate("verify", got["verify"], "SELECT of its rows", got["select"], None)
    ledger.close()
    replayed.close()


def fold(ledger: Ledger) -> int:
    """The row of every delivery and content, nothing written; gives the number of events."""
    with ledger._connections.read() as own:
        return sum(count for _, count, _ in own.reader.rows())


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


def _disk(folder: Path, events: int) -> Iterator[Figure]:
    ours = file_bytes(folder / "bulk-1.db") / events
    theirs = file_bytes(folder / "bulk-es-0.db") / events
    yield bound("disk: log, index and states", ours, "bytes/event", 280)
    yield Figure("disk", ours, "bytes/event", "eventsourcing, nodes alone", theirs)
