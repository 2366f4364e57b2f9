"""The peers: what people use today, given the same events already parsed.

None of them reads XML, and none keeps the body: they get the nodes as a dict, which is to their
advantage. All write to SQLite in WAL mode with ``synchronous=FULL``.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, cast
from uuid import NAMESPACE_OID, UUID, uuid5

import msgpack
from eventsourcing.application import AggregateNotFoundError, Application
from eventsourcing.domain import Aggregate, AggregateEvent
from eventsourcing.persistence import Transcoder

Nodes = dict[str, str]
"""One postback, parsed: the names and texts of its nodes."""

_LEAF = re.compile(r"<([A-Z]+)>([^<]*)</")


def nodes_of(body: bytes) -> Nodes:
    """The nodes of a body: parsed for the peers beforehand, at no cost to them."""
    return dict(_LEAF.findall(body.decode()))


def key_of(nodes: Nodes) -> str:
    """What a postback is about: its TRACKINGID, or else its MMSID."""
    return nodes.get("TRACKINGID") or "MMS " + nodes["MMSID"]


# --- eventsourcing on SQLite ---


class _MessagePack(Transcoder):
    """The quicker and smaller one of those tried (orjson, the library's own JSON)."""

    def encode(self, obj: Any) -> bytes:
        return bytes(msgpack.packb(obj, default=datetime.isoformat))

    def decode(self, data: bytes) -> Any:
        return msgpack.unpackb(data)


class Delivery(Aggregate):
    """One delivery: its state is the last status said."""

    class Begun(Aggregate.Created):
        nodes: Nodes

    class Told(Aggregate.Event):
        nodes: Nodes

        def apply(self, aggregate: Delivery) -> None:
            aggregate.hear(self.nodes)

    def __init__(self, nodes: Nodes) -> None:
        self.texts: Nodes = {}
        self.hear(nodes)

    def hear(self, nodes: Nodes) -> None:
        self.texts.update(nodes)


class _Blind(AggregateEvent):
    nodes: Nodes


class EventSourcing(Application[UUID]):
    """The library's application, at the best settings found: a cache of aggregates, no copies."""

    env = {  # noqa: RUF012
        "PERSISTENCE_MODULE": "eventsourcing.sqlite",
        "AGGREGATE_CACHE_MAXSIZE": "100000",
        "AGGREGATE_CACHE_FASTFORWARD": "n",
        "DEEPCOPY_FROM_AGGREGATE_CACHE": "n",
    }

    def __init__(self, path: Path, **settings: str) -> None:
        super().__init__({"SQLITE_DBNAME": str(path), **settings})
        self._path = path
        self._versions: dict[UUID, int] = {}

    def construct_transcoder(self) -> Transcoder:
        return _MessagePack()

    def tell(self, batch: Iterable[Nodes]) -> None:
        """Load, trigger, save: one transaction."""
        told: dict[UUID, Delivery] = {}
        for nodes in batch:
            key = uuid5(NAMESPACE_OID, key_of(nodes))
            delivery = told.get(key) or self._load(key)
            if delivery is None:
                delivery = Delivery._create(Delivery.Begun, id=key, nodes=nodes)
            else:
                delivery.trigger_event(Delivery.Told, nodes=nodes)
            told[key] = delivery
        self.save(*told.values())

    def _load(self, key: UUID) -> Delivery | None:
        try:
            return self.repository.get(key, deepcopy_from_cache=False)
        except AggregateNotFoundError:
            return None

    def append(self, batch: Iterable[Nodes]) -> None:
        """Append without loading, the versions kept in a dict: less than an application does."""
        events = []
        for nodes in batch:
            key = uuid5(NAMESPACE_OID, key_of(nodes))
            version = self._versions[key] = self._versions.get(key, 0) + 1
            at = _Blind.create_timestamp()
            events.append(_Blind(key, version, at, nodes))
        self.save(*events)

    def fold(self) -> dict[UUID, Delivery]:
        """The state of every delivery: the library's own mutation of its own aggregates.

        In the order of the log, page by page, with all aggregates in memory.
        """
        told: dict[UUID, Delivery] = {}
        start = 1
        while page := self.recorder.select_notifications(start, 1000):
            for notification in page:
                event: Any = self.mapper.to_domain_event(notification)
                told[event.originator_id] = event.mutate(told.get(event.originator_id))
            start = page[-1].id + 1
        return told

    def fold_each(self, keys: Iterable[UUID]) -> int:
        """The state of every delivery from its repository; gives the number of events."""
        empty = EventSourcing(self._path)
        return sum(cast(Delivery, empty.repository.get(key)).version for key in keys)


# --- SQL by hand ---

_COLUMNS = ("TRACKINGID", "STATUS", "TO", "MMSID", "SPID", "HANDSET", "AGGREGATORID", "TIMESTAMP")
_UPSERT = f"""
INSERT INTO deliveries VALUES ({", ".join("?" * len(_COLUMNS))})
ON CONFLICT DO UPDATE SET
{", ".join(f'"{c}" = coalesce(excluded."{c}", "{c}")' for c in _COLUMNS[1:])}
"""


class Upsert:
    """The latest status of each delivery, overwritten by every postback: no history, no reasons."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        columns = ", ".join(f'"{name}" TEXT' for name in _COLUMNS[1:])
        self._db.execute(f"CREATE TABLE deliveries (TRACKINGID TEXT PRIMARY KEY, {columns})")

    def one(self, nodes: Nodes) -> None:
        """One statement, committed."""
        self._db.execute(_UPSERT, self._row(nodes))

    def many(self, batch: Sequence[Nodes]) -> None:
        """One transaction."""
        self._db.execute("BEGIN")
        self._db.executemany(_UPSERT, map(self._row, batch))
        self._db.execute("COMMIT")

    def _row(self, nodes: Nodes) -> list[str | None]:
        return [key_of(nodes), *(nodes.get(name) for name in _COLUMNS[1:])]

    def close(self) -> None:
        self._db.close()
