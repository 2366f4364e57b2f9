"""The layout of an archive: its files, their columns, and the manifest that is written last."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from zlib import crc32

import attrs

from postledger.definitions.definitions import Definitions, from_sources, sources
from postledger.errors import DefinitionError, LedgerError
from postledger.lake.folder import Folder, arrow
from postledger.log.event import Envelope
from postledger.model import Anchor
from postledger.state.patterns import NOWHERE, Stream
from postledger.state.row import COLUMNS
from postledger.wire import Limits

MANIFEST, BEGUN = "manifest.json", "begun.json"
"""What an archive is known by, and what stands in its place until it is whole."""

TEMPLATES, ENVELOPES = "templates.parquet", "envelopes.parquet"
EVENTS, STATEMENTS = "events", "statements"
DELIVERIES, CHANGES = "deliveries", "changes"
"""The folders of the files with the events and what they say, with what became of deliveries, and with
what each event changed."""

DERIVED = (STATEMENTS, DELIVERIES, CHANGES)
"""What follows from the events, a file of each for a bucket."""

VERSION = 1
"""The version of the format."""

GROUP = 10_000
GROUP_BYTES = 32 << 20
"""How many rows, and bytes of bodies, a row group of events has: one is read to look up an event."""

PIECE = 100_000
"""How many rows all other row groups have, and are folded together: they stay in a processor's cache."""

PER_FILE = 500_000
"""How many events one file has."""

MOST_BUCKETS = 500
"""So many files are written to at once."""

ROWS = 200_000
"""How many rows are held in memory by default."""

ROW_BYTES = 1_000
"""A row of more bytes of texts counts as several."""

_FORMAT = "postledger archive"
_MOST = 1_000_000
_NAME = re.compile(
    r"(events|statements|deliveries|changes)/[0-9]{5,9}\.parquet|templates\.parquet|envelopes\.parquet"
)


class Raw(NamedTuple):
    """A row of the events: an event of the log, with the numbers of its envelope and template."""

    position: int
    received_at: int
    kind: str
    clock: str
    source: str
    sender: str
    content_type: str | None
    content_encoding: str | None
    part: str
    envelope: int | None
    template: int | None
    texts: list[str] | None
    body: bytes | None
    salt: bytes
    leaf: bytes


class Said(NamedTuple):
    """A row of the statements: what a member of an event says, with what the fold takes of the event."""

    space: str
    chart: str
    key: str
    occurred_at: int | None
    identity: bytes
    position: int
    member: int
    received_at: int
    template: int | None
    envelope: int | None
    texts: list[str] | None
    findings: int
    said: str | None


class Changed(NamedTuple):
    """A row of the changes: an event that changed the state of a delivery, as ``StateChanged`` has it.

    ``change`` is its key, ``state``, ``reason`` and ``findings`` are those of the delivery after it.
    """

    space: str
    chart: str
    key: str
    position: int
    member: int
    received_at: int
    occurred_at: int | None
    change: str
    before_state: str | None
    state: str
    reason: str | None
    findings: tuple[str, ...]
    before: list[tuple[str, str]] | None
    after: list[tuple[str, str]]


STREAM = Said._fields[:3]
"""What names a stream."""

ORDER = Said._fields[:7]
"""The order of the statements: stream, provider's time, identity, position, member."""

OPTIONAL = ("occurred_at", "template", "envelope", "texts", "said")
"""The columns of the statements that may be null."""

_TIMES = {"created_at", "sent_at", "outcome_at", "first_received_at"}
STATES = ("space", "chart", "key", *COLUMNS[1:])
"""The columns of the deliveries: the stream, and its row."""

FEW = (
    *("space", "chart", "member", "kind", "clock", "source", "sender", "content_type"),
    *("content_encoding", "part", "envelope", "template", "findings", "said", "state", "route"),
    *("read", "grade", "reason", "reason_class", "route_reason", "spid", "handset"),
)
"""The columns of few values, which a dictionary serves; to all others it is a burden."""


def schema_of(kind: str) -> Any:
    """The columns of a kind of file, with their types."""
    pa = arrow()
    time, text, texts = pa.timestamp("us", tz="UTC"), pa.string(), pa.list_(pa.string())
    types: dict[str, Any] = {
        **dict.fromkeys(("position", "events", "repeats"), pa.int64()),
        **dict.fromkeys(("member", "envelope", "template", "id"), pa.int32()),
        **dict.fromkeys(("received_at", "occurred_at", *_TIMES), time),
        **dict.fromkeys(("texts", "pieces"), texts),
        **dict.fromkeys(("identity", "salt", "digest", "skeleton"), pa.binary(16)),
        "leaf": pa.binary(32),
        "body": pa.binary(),
        **dict.fromkeys(("before", "after"), pa.map_(text, text)),
    }
    columns: Mapping[str, tuple[str, ...]] = {
        EVENTS: Raw._fields,
        STATEMENTS: Said._fields,
        DELIVERIES: STATES,
        CHANGES: Changed._fields,
        TEMPLATES: ("id", "digest", "skeleton", "pieces"),
        ENVELOPES: ("id", *(field.name for field in attrs.fields(Envelope))),
    }
    types["findings"] = pa.int64() if kind == STATEMENTS else texts
    return pa.schema([(name, types.get(name, text)) for name in columns[kind]])


def bucket_of(stream: Stream, position: int, buckets: int) -> int:
    """The bucket that a stream is in; what belongs to no stream is spread by its position."""
    if stream == NOWHERE:
        return position % buckets
    return crc32("\0".join(stream).encode()) % buckets


def kind_of(name: str) -> str:
    """The kind of a file, by its name."""
    return name.partition("/")[0]


def file_name(kind: str, number: int) -> str:
    """The name of one of the files of a kind."""
    return f"{kind}/{number:05}.parquet"


@attrs.frozen
class File:
    """What is known of a file: its rows, its bytes and its SHA-256 in hexadecimal."""

    rows: int
    bytes: int
    sha256: str


@attrs.frozen
class Manifest:
    """What an archive is of, and the files that it has.

    ``ledger`` is the id of the ledger in hexadecimal, ``anchor`` the head of its tree, ``limits`` those
    that its bodies were read within.
    """

    ledger: str
    anchor: Anchor
    definitions: Definitions
    limits: Limits
    buckets: int
    files: Mapping[str, File]

    def to_json(self) -> bytes:
        """The manifest as it is written."""
        counts: dict[str, int] = {}
        for name, file in self.files.items():
            kind = kind_of(name).removesuffix(".parquet")
            counts[kind] = counts.get(kind, 0) + file.rows
        said = {
            "format": _FORMAT,
            "version": VERSION,
            "ledger": self.ledger,
            "anchor": str(self.anchor),
            "counts": counts,
            "buckets": self.buckets,
            "limits": attrs.asdict(self.limits),
            "definitions": {"hash": self.definitions.hash, "sources": sources(self.definitions)},
            "files": {name: attrs.asdict(file) for name, file in self.files.items()},
        }
        return json.dumps(said, ensure_ascii=False, indent=1).encode()

    def names(self, kind: str) -> list[str]:
        """The names of the files of a kind, in their order."""
        return sorted(name for name in self.files if kind_of(name) == kind)


def manifest_of(folder: Folder, name: str = MANIFEST) -> Manifest:
    """The manifest of an archive; raises ``LedgerError`` where there is none, or not a whole one."""
    if not folder.has(name):
        begun = folder.has(BEGUN) and name == MANIFEST
        why = (
            "the archive is unfinished; run archive again"
            if begun
            else f"not an archive: {name} is missing"
        )
        raise LedgerError(f"{folder.name}: {why}")
    where = f"{folder.name}: {name} is damaged"
    try:
        said = json.loads(folder.read(name))
        version = said["version"]
        # In Python True is 1.
        if (said["format"], version) != (_FORMAT, VERSION) or type(version) is not int:
            raise LedgerError(
                f"{folder.name}: expected {_FORMAT} {VERSION}, got {said['format']} {version}"
            )
        definitions = from_sources((one, text) for one, text in said["definitions"]["sources"])
        manifest = Manifest(
            str(said["ledger"]),
            Anchor.parse(said["anchor"]),
            definitions,
            Limits(**said["limits"]),
            _buckets(said["buckets"], least=0 if name == BEGUN else 1),
            {_own_name(one): File(**file) for one, file in said["files"].items()},
        )
    except KeyError as error:
        raise LedgerError(f"{where}: {error} is missing") from None
    except (
        ValueError,
        TypeError,
        AttributeError,
        OverflowError,
        RecursionError,
        DefinitionError,
    ) as error:
        raise LedgerError(f"{where}: {error}") from None
    if definitions.hash != said["definitions"]["hash"]:
        raise LedgerError(f"{where}: its definitions are not those of its hash")
    return manifest


def _buckets(count: object, least: int) -> int:
    # guard: no bucket of an archive is passed over
    if not isinstance(count, int) or isinstance(count, bool) or not least <= count <= _MOST:
        raise ValueError(f"buckets must be from {least} to {_MOST}, got {count!r:.40}")
    return count


def _own_name(name: str) -> str:
    # guard: files of an archive are in its folder
    if not _NAME.fullmatch(name):
        raise ValueError(f"expected the name of a file of an archive, got {name!r:.80}")
    return name
