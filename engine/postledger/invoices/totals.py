"""Totals: how many rows of an invoice differ, and what is billed and supported, by currency."""

from __future__ import annotations

from collections import Counter
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from typing import Any

import attrs

from postledger.invoices.invoice import KINDS, PRICE, Reconciled
from postledger.model import Amount, plain

_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)
"""Adds without rounding, however many digits that takes."""


@attrs.frozen
class InvoiceSums:
    """What is billed in one currency (``None``: rows that name none), added up exactly.

    ``supported`` are the prices that the postbacks state for what is rightly billed. ``unpriced`` is
    billed for deliveries whose postbacks state no price: nothing speaks for that price or against it.

    >>> InvoiceSums(Decimal("0.30"), supported=Decimal("0.1")).difference
    Decimal('0.20')
    """

    billed: Decimal = Decimal()
    supported: Decimal = Decimal()
    unpriced: Decimal = Decimal()

    @property
    def difference(self) -> Decimal:
        """What is billed and neither supported nor without a stated price: what to dispute."""
        return _EXACT.subtract(_EXACT.subtract(self.billed, self.supported), self.unpriced)

    def to_dict(self) -> dict[str, Any]:
        """The sums as JSON has them: texts, so that no reader rounds them."""
        return {**plain(self), "difference": plain(self.difference)}


class InvoiceTotals:
    """What was reconciled so far, counted; rows that can't be read are in no sum.

    >>> totals = InvoiceTotals()
    >>> for found in ledger.reconcile([InvoiceRow(2, "nobody", Amount(Decimal("0.01"), "EUR"))]):
    ...     totals.add(found)
    >>> totals.rows, totals.equal, totals.kinds["unknown"], totals.kinds["not_billed"]
    (1, 0, 1, 3)
    >>> totals.sums["EUR"].difference
    Decimal('0.01')
    """

    def __init__(self) -> None:
        self.rows = self.equal = 0
        self.kinds: Counter[str] = Counter()
        self.sums: dict[str | None, InvoiceSums] = {}

    def add(self, found: Reconciled) -> None:
        """Count a row, or a delivery that is not billed."""
        self.rows += found.row is not None
        self.equal += not found.differences
        self.kinds.update(one.kind for one in found.differences)
        row = found.row
        if row is None or row.price is None or row.problem is not None:
            return
        self._add(row.price, "billed")
        if found.delivery is not None and found.supported:
            stated = found.delivery.amounts.get(PRICE)
            if stated is None:
                self._add(row.price, "unpriced")
            else:
                currency = row.price.currency if stated.currency is None else stated.currency
                self._add(Amount(stated.value, currency), "supported")

    @property
    def differing(self) -> bool:
        """Whether anything differs."""
        return self.kinds.total() > 0

    def to_dict(self) -> dict[str, Any]:
        """The totals as JSON has them."""
        return {
            "rows": self.rows,
            "equal": self.equal,
            "kinds": {kind: self.kinds[kind] for kind in KINDS},
            "sums": [{"currency": name, **sums.to_dict()} for name, sums in self.listed()],
        }

    def listed(self) -> list[tuple[str | None, InvoiceSums]]:
        """The sums in the order of their currencies."""
        return sorted(self.sums.items(), key=lambda one: one[0] or "")

    def _add(self, amount: Amount, name: str) -> None:
        currency = None if amount.currency is None else amount.currency.upper()
        before = self.sums.get(currency, InvoiceSums())
        more = _EXACT.add(getattr(before, name), amount.value)
        self.sums[currency] = attrs.evolve(before, **{name: more})
