"""Reconciliation: the rows of an invoice and the deliveries of a ledger, page by page.

Which ids are billed stands in a scratch table and not in memory; each page is a short transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from hashlib import sha256
from itertools import islice

import attrs

from postledger.arguments import all_of
from postledger.invoices.invoice import InvoiceRow, Reconciled, compared, not_billed
from postledger.keys import keys_meant
from postledger.model import DELIVERY, Delivery
from postledger.progress import Progress, silent
from postledger.projections.index import chunks
from postledger.projections.queries import After, Listing, Query, after_of, page_of, rows_of_keys
from postledger.state.row import Row, delivery_of
from postledger.store.store import Store

PAGE = 1_000
"""How many rows, or deliveries, are looked at in one transaction."""

_BILLED = "CREATE TABLE {} (key BLOB PRIMARY KEY, line INTEGER) STRICT, WITHOUT ROWID"
"""The ids that are billed, by their digests, and on which line first.

No line where no row of it can be read. An index of a server holds no text of any length.
"""
_BILL = "INSERT INTO {} VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET line = excluded.line"

Reading = Callable[[], AbstractContextManager[tuple[Store, Listing]]]
"""What opens a read transaction: the store, and where the live states are."""


@attrs.frozen
class Ids:
    """The ids of one space, and the scratch table of those that are billed."""

    reading: Reading
    billed: str
    space: str
    progress: Progress = silent

    def reconciled(self, rows: Iterable[InvoiceRow], query: Query) -> Iterator[Reconciled]:
        """Each row next to its delivery, then the deliveries of the query that no row bills."""
        with self.reading() as (store, _):
            store.execute(_BILLED.format(self.billed))
        given = iter(rows)
        while page := list(islice(given, PAGE)):
            yield from self._page(all_of(InvoiceRow, "rows", page))
            self.progress(len(page))
        yield from self._missing(query)

    def _page(self, page: Sequence[InvoiceRow]) -> list[Reconciled]:
        with self.reading() as (store, listing):
            ids = {row.tracking_id for row in page if row.tracking_id is not None}
            keys, found = self._found(store, listing, ids)
            lines = self._lines(store, {keys.get(one, one) for one in ids})
            known = dict(lines)
            done: list[Reconciled] = []
            for asked in page:
                row, key = _placed(asked, keys)
                if key is None:
                    done.append(compared(row, None, None))
                    continue
                readable = row.problem is None
                first_line = known.get(key) if readable else None
                done.append(compared(row, self._delivery(key, found), first_line))
                if known.get(key) is None:
                    known[key] = row.line if readable else None
            changed = [(_digest(k), n) for k, n in known.items() if k not in lines or lines[k] != n]
            store.executemany(_BILL.format(self.billed), changed)
            return done

    def _found(
        self, store: Store, listing: Listing, ids: set[str]
    ) -> tuple[dict[str, str], dict[str, Row]]:
        """The keys that ids stand for in another spelling, and the rows of the deliveries."""
        found = rows_of_keys(store, listing, self.space, ids)
        keys: dict[str, str] = {}
        for one in sorted(ids):
            if one not in found and "/" in one:
                # Each for itself: many slashes may stand for many keys.
                meant = rows_of_keys(store, listing, self.space, set(keys_meant(one)))
                if meant:
                    keys[one] = next(iter(meant)) if len(meant) == 1 else _UNCLEAR
                    found.update(meant)
        return keys, found

    def _delivery(self, key: str, found: dict[str, Row]) -> Delivery | None:
        row = found.get(key)
        return None if row is None else delivery_of((self.space, DELIVERY, key), row)

    def _lines(self, store: Store, keys: Iterable[str]) -> dict[str, int | None]:
        """Of keys that are billed the first line."""
        lines: dict[str, int | None] = {}
        digests = {_digest(key): key for key in keys}
        for chunk in chunks(sorted(digests)):
            holes = ", ".join("?" * len(chunk))
            rows = store.execute(
                f"SELECT key, line FROM {self.billed} WHERE key IN ({holes})", chunk
            )
            lines.update((digests[bytes(digest)], line) for digest, line in rows.fetchall())
        return lines

    def _missing(self, query: Query) -> Iterator[Reconciled]:
        after: After | None = None
        while True:
            with self.reading() as (store, listing):
                page = page_of(query, store, listing, after, PAGE)
                billed = self._lines(store, [key for (_, _, key), _ in page])
                missing = [delivery_of(*one) for one in page if one[0][2] not in billed]
            yield from map(not_billed, missing)
            self.progress(len(page))
            if len(page) < PAGE:
                return
            after = after_of(page)


_UNCLEAR = "\0"
"""What stands for several keys, and is none."""


def _placed(row: InvoiceRow, keys: dict[str, str]) -> tuple[InvoiceRow, str | None]:
    """The row and its key; a row whose id may be that of several deliveries can't be read."""
    key = None if row.tracking_id is None else keys.get(row.tracking_id, row.tracking_id)
    if key != _UNCLEAR:
        return row, key
    said = "the fields of the id fit several deliveries; write them as the ledger does"
    return attrs.evolve(row, problem=row.problem or said), None


def _digest(key: str) -> bytes:
    return sha256(key.encode("utf-8", "surrogatepass")).digest()
