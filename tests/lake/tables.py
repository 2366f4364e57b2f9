"""Tables of a ledger's events in the order of the fold, as an archive has them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from postledger.lake.columns import NAMES
from postledger.log.as_of import EVERYTHING, Bounds
from postledger.projections.reader import Reader
from postledger.templates import texts_of

_TYPES = (
    pa.int64(), pa.string(), pa.timestamp("us", tz="UTC"), pa.binary(16), pa.int64(), pa.int32(),
    pa.timestamp("us", tz="UTC"), pa.int32(), pa.int32(), pa.list_(pa.string()), pa.int64(),
    pa.string(),
)  # fmt: skip
"""The types of the columns, in the order of ``NAMES``."""

_UNDATED = 2**63 - 1


def table_of(reader: Reader, bounds: Bounds = EVERYTHING) -> Any:
    """The members of all events that belong to streams, as far as the bounds have them."""
    told = [
        (
            row[0], chart, None if row[1] == _UNDATED else row[1], *row[2:8],
            None if row[8] is None else texts_of(row[8]), *row[9:],
        )
        for _, chart, rows in reader.index.streams(bounds=bounds)
        for row in rows
    ]  # fmt: skip
    columns = list(zip(*told, strict=True)) or [()] * len(NAMES)
    arrays = [pa.array(c, kind) for c, kind in zip(columns, _TYPES, strict=True)]
    return pa.table(arrays, names=list(NAMES))
