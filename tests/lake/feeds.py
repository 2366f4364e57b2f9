"""Engines that bring the statements of an archive in the order of the fold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import polars

from postledger.lake.layout import ORDER

Feed = Callable[[Path], Any]

_ORDER = "space, chart, key, occurred_at NULLS LAST, identity, position, member"


def sorted_by_duckdb(archived: Path) -> Any:
    """The statements of an archive, sorted by DuckDB."""
    query = f"SELECT * FROM '{archived}/statements/*.parquet' ORDER BY {_ORDER}"
    return duckdb.connect().sql(query).to_arrow_reader()


def sorted_by_polars(archived: Path) -> Any:
    """The statements of an archive, sorted by Polars."""
    scan = polars.scan_parquet(f"{archived}/statements/*.parquet")
    return scan.sort(list(ORDER), nulls_last=True).collect()


FEEDS = [sorted_by_duckdb, sorted_by_polars]
