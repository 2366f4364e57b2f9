"""What a ledger says of every stream, for comparing ledgers."""

from __future__ import annotations

from typing import Any

from postledger import Ledger
from postledger.findings import Finding, names
from postledger.projections.queries import Query

_OF_ARRIVAL = {*names(Finding.LATE | Finding.REPEATED)}


def states(ledger: Ledger, **when: Any) -> dict[tuple[str, str], dict[str, Any]]:
    """Every row by chart and key, without what speaks of arrival."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for chart in ledger.definitions.charts:
        for delivery in ledger.deliveries(Query(chart=chart), **when):
            row = delivery.to_dict()
            del row["repeats"]
            row["findings"] = [f for f in row["findings"] if f not in _OF_ARRIVAL]
            rows[chart, delivery.tracking_id] = row
    return rows


def rows(ledger: Ledger, **when: Any) -> dict[tuple[str, str], dict[str, Any]]:
    """Every row by chart and key, whole."""
    return {
        (chart, delivery.tracking_id): delivery.to_dict()
        for chart in ledger.definitions.charts
        for delivery in ledger.deliveries(Query(chart=chart), **when)
    }
