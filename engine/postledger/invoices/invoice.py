"""The invoice: what its rows say, and how one differs from what the ledger knows."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import attrs

from postledger.arguments import shown as _short
from postledger.audit.mask import Mask
from postledger.model import Amount, Delivery, plain

DELIVERED = "delivered"
"""The state of the deliveries that belong on an invoice."""

PRICE, SEGMENTS = "price", "segments"
"""The names of the amounts that are compared, as vocabularies have them."""

_TEXT_OR_NONE = (str, type(None))
_AMOUNT_OR_NONE = (Amount, type(None))

KINDS = {
    "unreadable": "rows that can't be read",
    "unknown": "billed, but unknown to the ledger",
    "billed_twice": "billed again",
    "state_differs": "billed with another outcome than the ledger has",
    "price_differs": "the price differs from the one in the postbacks",
    "segments_differ": "the number of segments differs from the one in the postbacks",
    "not_billed": "delivered in the period, but not billed",
}
"""The kinds of differences, with what each means."""


@attrs.frozen
class InvoiceRow:
    """One row of an invoice; ``line`` is its number there.

    ``tracking_id`` is the id as the provider writes it, with ``/`` between the fields of one that has
    several. ``price`` and ``segments`` are exact, ``None`` where the invoice has none. ``delivered``
    says whether it is billed as delivered, or as not delivered; ``None``: it says neither. ``problem``
    is why the row can't be read: it is listed with that, and counts for nothing else but that its
    id, where it is known, is on the invoice.

    >>> InvoiceRow(2, "U01TXzgwNjc4", Amount(Decimal("0.0075"), "USD"), Decimal(1)).price.currency
    'USD'
    """

    line: int
    tracking_id: str | None
    price: Amount | None = None
    segments: Decimal | None = None
    delivered: bool | None = True
    problem: str | None = None

    def __attrs_post_init__(self) -> None:
        # One by one and not as ``typed`` fields: one is made for every row.
        if not isinstance(self.line, int):
            raise TypeError(f"line must be a whole number, got {_short(self.line)}")
        if not isinstance(self.tracking_id, _TEXT_OR_NONE):
            raise TypeError(f"tracking_id must be text or None, got {_short(self.tracking_id)}")
        if not isinstance(self.price, _AMOUNT_OR_NONE):
            raise TypeError(f"price must be an Amount or None, got {_short(self.price)}")
        if self.price is not None:
            _require_exact("price", self.price.value)
        if self.segments is not None:
            _require_exact("segments", self.segments)


def _require_exact(name: str, value: object) -> None:
    """Raise ``TypeError`` for what is no Decimal: a float may have been rounded already."""
    if not isinstance(value, Decimal) or not value.is_finite():
        raise TypeError(f"{name} must be a finite Decimal, got {_short(value)}")


@attrs.frozen
class Discrepancy:
    """One thing in which invoice and ledger differ.

    ``kind`` is one of ``unreadable``, ``unknown``, ``billed_twice``, ``state_differs``,
    ``price_differs``, ``segments_differ`` and ``not_billed``. ``line`` is that of the invoice (``None``
    where it has none), ``first_line`` the one that billed the same before. ``billed`` is what the
    invoice says, ``ledger`` what the ledger says, ``reason`` why the state is not delivered, or why the
    row can't be read.

    >>> found = next(ledger.reconcile([InvoiceRow(2, "nobody")]))
    >>> [(one.kind, one.line) for one in found.differences]
    [('unknown', 2)]
    """

    kind: str
    line: int | None
    tracking_id: str | None
    to: str | None = None
    billed: str | None = None
    ledger: str | None = None
    reason: str | None = None
    first_line: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """The difference as JSON has it."""
        return dict(plain(self))


@attrs.frozen
class Reconciled:
    """A row of the invoice next to its delivery, and how they differ.

    ``row`` is ``None`` for a delivery that is not billed, ``delivery`` is ``None`` where none is
    known, or none is meant. Without ``differences`` the row is right.

    >>> found = next(ledger.reconcile([InvoiceRow(2, "U01TXzgwNjc4")]))
    >>> found.delivery.state, found.differences
    ('delivered', ())
    """

    row: InvoiceRow | None
    delivery: Delivery | None
    differences: tuple[Discrepancy, ...]

    @property
    def supported(self) -> bool:
        """Whether the ledger supports that the row is billed, whatever its price.

        It has the delivery, no row billed it before, and it was delivered if it is billed as that.
        """
        if self.row is None or self.delivery is None:
            return False
        if any(one.kind in ("unreadable", "billed_twice") for one in self.differences):
            return False
        return not self.row.delivered or self.delivery.state == DELIVERED


def compared(row: InvoiceRow, delivery: Delivery | None, first_line: int | None) -> Reconciled:
    """A row next to the delivery of its id; ``first_line`` is the row that billed it before."""
    return Reconciled(row, delivery, tuple(_differences(row, delivery, first_line)))


def not_billed(delivery: Delivery) -> Reconciled:
    """A delivery that is on no row."""
    price = delivery.amounts.get(PRICE)
    said = None if price is None else shown(price)
    return Reconciled(None, delivery, (_difference("not_billed", None, delivery, None, said),))


def masked(one: Discrepancy, delivery: Delivery | None, mask: Mask) -> Discrepancy:
    """The difference with what a report doesn't show of it hidden."""
    to = None if delivery is None else delivery.to
    return attrs.evolve(
        one,
        # guard: an id of no delivery may hold anybody's number
        tracking_id=mask.id(one.tracking_id, to, several=to is None or one.kind == "unreadable"),
        to=mask.recipient(to),
        reason=_reason(one, mask),
        billed=_masked(one.billed, to, mask),
        ledger=_masked(one.ledger, to, mask),
    )


def shown(amount: Amount) -> str:
    """An amount in one line, never in exponents."""
    return " ".join(filter(None, (format(amount.value, "f"), amount.currency)))


def same_price(one: Amount, other: Amount) -> bool:
    """Whether prices are equal as numbers, in one currency, however its case.

    Where either names no currency, only the numbers are compared.

    >>> same_price(Amount(Decimal("0.50"), "usd"), Amount(Decimal("0.5"), "USD"))
    True
    """
    named = one.currency is not None and other.currency is not None
    return one.value == other.value and (
        not named or str(one.currency).upper() == str(other.currency).upper()
    )


def _masked(text: str | None, to: str | None, mask: Mask) -> str | None:
    """An amount or a state, unless its digits tell a number."""
    return text if text is None or not any(map(str.isnumeric, text)) else mask.id(text, to)


def _reason(one: Discrepancy, mask: Mask) -> str | None:
    """Why the state is not delivered; of a row that can't be read what is wrong, without its text."""
    if one.kind != "unreadable" or one.reason is None or mask.words is None:
        return mask.text(one.reason)
    return one.reason.partition(", got ")[0]


def _differences(
    row: InvoiceRow, delivery: Delivery | None, first_line: int | None
) -> Iterator[Discrepancy]:
    if row.problem is not None:
        yield Discrepancy("unreadable", row.line, row.tracking_id, reason=row.problem)
    elif first_line is not None:
        again = _difference("billed_twice", row, delivery, _price(row))
        yield attrs.evolve(again, first_line=first_line)
    elif delivery is None:
        yield Discrepancy("unknown", row.line, row.tracking_id, billed=_price(row))
    else:
        yield from _of_delivery(row, delivery)


def _of_delivery(row: InvoiceRow, delivery: Delivery) -> Iterator[Discrepancy]:
    if row.delivered is not None and row.delivered is not (delivery.state == DELIVERED):
        said = DELIVERED if row.delivered else f"not {DELIVERED}"
        found = _difference("state_differs", row, delivery, said, delivery.state)
        yield attrs.evolve(found, reason=delivery.reason)
    price, segments = (delivery.amounts.get(name) for name in (PRICE, SEGMENTS))
    if row.price is not None and price is not None and not same_price(row.price, price):
        yield _difference("price_differs", row, delivery, _price(row), shown(price))
    if row.segments is not None and segments is not None and row.segments != segments.value:
        counts = format(row.segments, "f"), format(segments.value, "f")
        yield _difference("segments_differ", row, delivery, *counts)


def _difference(
    kind: str,
    row: InvoiceRow | None,
    delivery: Delivery | None,
    billed: str | None,
    ledger: str | None = None,
) -> Discrepancy:
    key = row.tracking_id if delivery is None and row is not None else None
    return Discrepancy(
        kind,
        None if row is None else row.line,
        key if delivery is None else delivery.tracking_id,
        None if delivery is None else delivery.to,
        billed,
        ledger,
    )


def _price(row: InvoiceRow) -> str | None:
    return None if row.price is None else shown(row.price)
