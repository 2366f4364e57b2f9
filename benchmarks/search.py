"""Search: the first page of what a text finds in a large ledger, and what the index for it takes.

Texts are those of deliveries at random, of all ages. A page is asked for some times, and the quickest
counts; the figures are the median and the worst of all texts: a kind may be slow somewhere alone.
"""

from __future__ import annotations

import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import attrs
import click

from benchmarks.measure import Figure, bound
from benchmarks.postbacks import START, receipts
from benchmarks.report import table
from postledger import Delivery, Ledger
from postledger.projections.queries import Query
from postledger.projections.search import page_of

PAGE = 50
"""How many deliveries a first page shows."""

GOAL = 5
BYTES = 40
_PIECE, _TEXTS, _TIMES = 20_000, 20, 3
_ID_LENGTHS = (5, 8, 9, 10, 12)


@attrs.frozen
class Asked:
    """Texts of one kind, and what else is asked for."""

    texts: Sequence[str]
    wanted: Mapping[str, Any] = attrs.field(factory=dict)


def fill(path: Path, events: int) -> None:
    """A ledger of so many events."""
    traffic = receipts(seed=7)
    with Ledger(path) as ledger:
        for done in range(0, events, _PIECE):
            ledger.record_many(islice(traffic, min(_PIECE, events - done)))


def some(ledger: Ledger) -> list[Delivery]:
    """Deliveries at random, each with an MMSID."""
    rng = random.Random(7)
    found: list[Delivery] = []
    with ledger._connections.read() as own:
        while len(found) < _TEXTS:
            _, chart, key = own.reader.index.stream_of(rng.randint(1, own.reader.index.newest()))
            if chart == "delivery" and (one := ledger.delivery(key)).mms_id is not None:
                found.append(one)
    return found


def kinds(ledger: Ledger) -> dict[str, Asked]:
    """What is asked for."""
    found = some(ledger)
    numbers = [one.to or "" for one in found]
    reason, many = Asked(["Aggregator said: 13"]), ["handset"]
    soon = {"until": START.replace(minute=10)}
    return {
        "a recipient": Asked([f"+1 ({to[1:4]}) {to[4:7]}-{to[7:]}" for to in numbers]),
        "the last four digits": Asked([to[-4:] for to in numbers]),
        "an id": Asked([one.tracking_id for one in found]),
        **{
            f"the first {length} characters of an id": Asked(
                [one.tracking_id[:length] for one in found]
            )
            for length in _ID_LENGTHS
        },
        "an MMSID": Asked([one.mms_id or "" for one in found]),
        "a word of many reasons": Asked(many),
        "words of few reasons": reason,
        "words that no reason has": Asked(["no such words"]),
        "many reasons, a carrier": Asked(many, {"spid": found[0].spid}),
        "many reasons, a state that none is in": Asked(many, {"state": "failed"}),
        "many reasons, the first ten minutes": Asked(many, soon),
        "an id that all have, the first ten minutes": Asked(["TU1T"], soon),
    }


def took(ledger: Ledger, text: str, wanted: Mapping[str, Any]) -> tuple[float, float]:
    """The least milliseconds of a first page: by the clock, and of the processor."""
    walls, spent = [], []
    for _ in range(_TIMES):
        began, worked = time.perf_counter(), time.process_time()
        for _ in ledger.deliveries(search=text, limit=PAGE, **wanted):
            pass
        spent.append(time.process_time() - worked)
        walls.append(time.perf_counter() - began)
    return min(walls) * 1e3, min(spent) * 1e3


def scanned(ledger: Ledger, text: str) -> float:
    """The milliseconds of the processor that it takes without the index."""
    with ledger._listing(None) as (store, listing):
        began = time.process_time()
        page_of(Query(search=text), store, attrs.evolve(listing, search=None), None, PAGE)
        return (time.process_time() - began) * 1e3


def bytes_a_delivery(path: Path) -> float:
    """What the table of the index takes in the file, for each delivery."""
    with closing(sqlite3.connect(path)) as db:
        (size,) = db.execute("SELECT sum(pgsize) FROM dbstat WHERE name LIKE 'search%'").fetchone()
        (count,) = db.execute("SELECT count(*) FROM deliveries").fetchone()
    return float(size) / float(count)


def figures(path: Path) -> Iterator[Figure]:
    """The first pages of a ledger, and the bytes."""
    with Ledger(path, readonly=True) as ledger:
        asked = kinds(ledger)
        for name, kind in asked.items():
            walls, spent = zip(*(took(ledger, t, kind.wanted) for t in kind.texts), strict=True)
            yield Figure(f"{name}: wall", statistics.median(walls), "ms")
            yield Figure(f"{name}: CPU", statistics.median(spent), "ms")
            if len(kind.texts) > 1:
                name = f"{name}, the worst of {len(kind.texts)}"
            yield bound(f"{name}: CPU", max(spent), "ms", GOAL)
        one = asked["a recipient"].texts[0]
        ours, theirs = took(ledger, one, {})[1], scanned(ledger, one)
        yield Figure("a recipient: CPU", ours, "ms", "a look at each", theirs)
    yield bound("index", bytes_a_delivery(path), "bytes a delivery", BYTES)


@click.command()
@click.option("--events", default=300_000, show_default=True, help="Events in the ledger.")
@click.option("--scratch", type=click.Path(path_type=Path), help="Folder for the ledger.")
@click.option("--ledger", type=click.Path(path_type=Path), help="One that was filled before.")
def main(events: int, scratch: Path | None, ledger: Path | None) -> None:
    """The first pages of searches of every kind."""
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        path = ledger or Path(folder) / "ledger.db"
        if ledger is None:
            fill(path, events)
        click.echo(table(list(figures(path))))


if __name__ == "__main__":
    main()
